"""Who runs solves: a few sandboxed processes at a time on this machine, watched by one thread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from bench.environment import Environment, allowed_cores, current_environment
from bench.sandbox import Limits, PackedInstance, SandboxedSolve, wait_for
from bench.worker import Answer
from instances.placement import Placement
from instances.registry import Algorithm

Done = Callable[[Answer, Environment], None]
"""Gets the answer of a solve, and the machine that it ran on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A solve to be run somewhere.

    Parameters
    ----------
    algorithm, packed, seed, limits, start, parameters
        As for :class:`~bench.sandbox.SandboxedSolve`.
    """

    algorithm: Algorithm
    packed: PackedInstance
    seed: int
    limits: Limits
    start: Placement | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Workers(Protocol):
    """Those who run solves, here or elsewhere."""

    def submit(self, request: Request, done: Done, begun: Callable[[], None] = ...) -> None:
        """Run a solve as soon as there is room; ``done`` gets its answer, exactly once."""

    def wait_for_room(self) -> None:
        """Wait until one more solve could begin."""

    def step(self) -> None:
        """Wait until something happens, and hand over the answers that have come."""

    def drain(self) -> None:
        """Wait for all solves."""


def _ignore() -> None:
    pass


class Pool:
    """Solves in flight, at most ``jobs`` of them; leaving it on an error kills them all.

    While there are no more jobs than processors, each job has processors of its own and its solves
    stay on them.

    Parameters
    ----------
    jobs
        How many processes run at once. More than one makes timings depend on each other.
    """

    def __init__(self, jobs: int) -> None:
        self._environment = current_environment()
        self._free = share_cores(allowed_cores(), jobs)
        self._active: dict[SandboxedSolve, tuple[Done, tuple[int, ...] | None]] = {}

    def submit(self, request: Request, done: Done, begun: Callable[[], None] = _ignore) -> None:
        """Begin a solve as soon as there is room; ``done`` gets its answer."""
        self.wait_for_room()
        begun()
        cores = self._free.pop()
        try:
            solve = SandboxedSolve(
                request.algorithm,
                request.packed,
                seed=request.seed,
                limits=request.limits,
                start=request.start,
                parameters=request.parameters,
                cores=cores,
            )
        except BaseException:
            self._free.append(cores)
            raise
        self._active[solve] = (done, cores)

    def wait_for_room(self) -> None:
        """Wait until fewer than ``jobs`` solves are in flight."""
        while not self._free:
            self.step()

    def drain(self) -> None:
        """Wait for all solves."""
        while self._active:
            self.step()

    def step(self) -> None:
        """Wait until something happens, and hand over the answers that have come."""
        wait_for(*self._active)
        for solve in list(self._active):
            answer = solve.poll()
            if answer is not None:
                done, cores = self._active.pop(solve)
                self._free.append(cores)
                done(answer, self._environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._active:
            self._active.popitem()[0].kill()


def share_cores(cores: tuple[int, ...], jobs: int) -> list[tuple[int, ...] | None]:
    """Give each job processors of its own; None for all of them, where there are too few.

    >>> share_cores((0, 1, 2, 5), 2), share_cores((0, 1), 3), share_cores((0, 1), 1)
    ([(2, 5), (0, 1)], [None, None, None], [(0, 1)])
    """
    share = len(cores) // jobs
    if share == 0:
        return [None] * jobs
    return [cores[job * share : (job + 1) * share] for job in reversed(range(jobs))]
