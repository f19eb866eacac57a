"""The placement of a plan and its certificate: methods one after the other until it is good."""

import dataclasses
import math
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.algorithms import find_algorithm
from bench.sandbox import Limits, PackedInstance, solve_in_sandbox
from bench.worker import Answer
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, Result, StopReason, judge, relative_gap

BASELINE = "popularity"
"""What the plan is compared with: every server stores what its users want most."""

_FIRST = "successive-hull"
_BOUND = "server-set"
_REST = ("layer-enumeration", "improve")
"""What follows while the gap is too large and time is left: an exact method where it can, then a
search."""

_SHARES = {_BOUND: 0.6, "layer-enumeration": 0.4, "improve": 0.9}
"""Shares of the time that is left when a method begins."""

_SHARE_OF_FIRST = 0.5
"""Share of the time for the first method, so that the bound has the other half."""

_LEAST_S = 0.2
"""With less time than this no further method begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One method that took part.

    Parameters
    ----------
    method
        Its name.
    seconds
        Its time.
    saving_ms, bound_ms
        Best saving and least bound after it, ms per token; NaN and infinite when there is none.
    note
        What went wrong; empty when nothing did.
    """

    method: str
    seconds: float
    saving_ms: float
    bound_ms: float
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Found:
    """The best placement and the best bound so far.

    Parameters
    ----------
    instance
        The instance.
    placement, saving_ms, method
        The best placement, its saving, and the method that found it; None, NaN and empty without.
    bound_ms, certified
        The least bound on the saving of any placement, and whether it holds in exact arithmetic.
    bounds_with_more_ms
        The same with more storage on one server at a time; float64 (N,).
    stages
        The methods, in their order.
    """

    instance: Instance
    bounds_with_more_ms: NDArray[np.float64]
    placement: Placement | None = None
    saving_ms: float = math.nan
    method: str = ""
    bound_ms: float = math.inf
    certified: bool = False
    stages: list[Stage] = field(default_factory=list)

    @property
    def gap(self) -> float:
        """(bound - saving) / bound; infinite when either is unknown."""
        return relative_gap(self.saving_ms, self.bound_ms)

    def take(self, algorithm: Algorithm, answer: Answer, started_here: bool) -> None:
        """Judge an answer and keep what is better.

        ``started_here``: the method began with the placement that is already known.
        """
        result = judge(self.instance, answer.outcome, seconds=answer.seconds)
        if result.placement is not None and not result.saving_ms <= self.saving_ms:
            self.placement, self.saving_ms = result.placement, result.saving_ms
            self.method = f"{self.method}, {algorithm.name}" if started_here else algorithm.name
        if result.bound_saving_ms < self.bound_ms and (
            result.bound_certified or not self.certified
        ):
            self.bound_ms, self.certified = result.bound_saving_ms, result.bound_certified
        if result.stop_reason is not StopReason.WRONG_CLAIM:
            more = answer.outcome.bounds_with_more_ms
            if more is not None:
                self.bounds_with_more_ms = np.minimum(self.bounds_with_more_ms, more)
        self.stages.append(
            Stage(
                method=algorithm.name,
                seconds=answer.seconds,
                saving_ms=self.saving_ms,
                bound_ms=self.bound_ms,
                note=_note(result),
            )
        )


class Finder:
    """Looks for the placement of a plan.

    Parameters
    ----------
    instance
        The instance.
    time_limit
        Seconds for all methods together.
    memory_bytes
        Memory for each; None for no limit.
    seed
        For randomised methods.
    """

    def __init__(
        self, instance: Instance, *, time_limit: float, memory_bytes: int | None, seed: int
    ) -> None:
        self._packed = PackedInstance.of(instance)
        self._end = time.monotonic() + time_limit
        self._memory_bytes = memory_bytes
        self._seed = seed

    @property
    def remaining_s(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    def baseline(self) -> Placement | None:
        """Return the placement of the method that the plan is compared with, if it finds one."""
        answer = self._run(find_algorithm(BASELINE), None, {}, self.remaining_s)
        return judge(self._packed.instance, answer.outcome, seconds=answer.seconds).placement

    def find(self, method: str | None, *, gap: float, extra_bytes: int) -> Found:
        """Look for a placement and a bound.

        Parameters
        ----------
        method
            What makes the placement; None for whatever is good.
        gap
            Gap that is good enough.
        extra_bytes
            Additional storage for which there shall be bounds, too.
        """
        instance = self._packed.instance
        found = Found(
            instance=instance, bounds_with_more_ms=np.full(instance.num_servers, math.inf)
        )
        first = find_algorithm(method or _FIRST)
        self._stage(found, first, {}, _SHARE_OF_FIRST)
        bound = find_algorithm(_BOUND)
        if first.name != _BOUND or extra_bytes:
            self._stage(found, bound, {"gap": gap, "extra_bytes": extra_bytes}, _SHARES[_BOUND])
        if method is not None:
            return found
        for name in _REST:
            if found.gap <= gap or self.remaining_s < _LEAST_S:
                break
            self._stage(found, find_algorithm(name), {}, _SHARES[name])
        return found

    def _stage(
        self, found: Found, algorithm: Algorithm, parameters: dict[str, object], share: float
    ) -> None:
        start = found.placement if algorithm.takes_start else None
        answer = self._run(algorithm, start, parameters, share * self.remaining_s)
        if answer.outcome.stop_reason is StopReason.UNSUPPORTED and found.placement is not None:
            return
        found.take(algorithm, answer, started_here=start is not None)

    def _run(
        self,
        algorithm: Algorithm,
        start: Placement | None,
        parameters: dict[str, object],
        time_s: float,
    ) -> Answer:
        answer = solve_in_sandbox(
            algorithm,
            self._packed,
            seed=self._seed,
            limits=Limits(time_s=max(time_s, _LEAST_S), memory_bytes=self._memory_bytes),
            start=start,
            parameters=parameters,
        )
        if answer.input_error is not None:
            raise answer.input_error.within(algorithm.name)
        return answer


def bound_of(
    instance: Instance, *, start: Placement, time_limit: float, memory_bytes: int | None
) -> Outcome | None:
    """Return what the bound method says of an instance; None when that is nothing certified."""
    answer = solve_in_sandbox(
        find_algorithm(_BOUND),
        PackedInstance.of(instance),
        seed=0,
        limits=Limits(time_s=max(time_limit, _LEAST_S), memory_bytes=memory_bytes),
        start=start,
    )
    result = judge(instance, answer.outcome, seconds=answer.seconds)
    if not result.bound_certified:
        return None
    return dataclasses.replace(answer.outcome, bound_saving_ms=result.bound_saving_ms)


def check_method(name: str) -> None:
    """Check the name of a method that is to make the placement.

    Raises
    ------
    InputError
        When there is none of that name, or it is there for the sake of its bound.
    """
    algorithm = find_algorithm(name)
    if algorithm.name == "lp":
        raise InputError("--with", f"{name!r} makes no placement, only a bound")


def _note(result: Result) -> str:
    if result.stop_reason in (StopReason.COMPLETED, StopReason.TIME_LIMIT):
        return ""
    return f"{result.stop_reason.value.replace('_', ' ')}: {result.reason}".rstrip(": ")
