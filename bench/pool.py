"""A few sandboxed solves at a time, watched by one thread."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from bench.sandbox import SandboxedSolve, wait_for
from bench.worker import Answer


class Pool:
    """Solves in flight, at most ``jobs`` of them; leaving it on an error kills them all.

    Parameters
    ----------
    jobs
        How many processes run at once. More than one makes timings depend on each other.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._active: dict[SandboxedSolve, Callable[[Answer], None]] = {}

    def submit(self, begin: Callable[[], SandboxedSolve], done: Callable[[Answer], None]) -> None:
        """Begin a solve as soon as there is room; ``done`` gets its answer."""
        self.wait_for_room()
        self._active[begin()] = done

    def wait_for_room(self) -> None:
        """Wait until fewer than ``jobs`` solves are in flight."""
        while len(self._active) >= self._jobs:
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
                done = self._active.pop(solve)
                done(answer)

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
