"""Conformance of bound methods: rules about what they claim that no placement exceeds.

from instances.bound_conformance import check_bound

def test_my_bound_conforms() -> None:
    assert check_bound(MY_BOUND) == []
"""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

from instances.checker import check
from instances.conformance import CHECKS, TOLERANCE, Check, Finding, Subject
from instances.conformance_cases import Case
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, Status, StopReason, judge
from instances.structure.exhaustive import best_placement, why_not_exhaustive


def check_bound(
    algorithm: Algorithm, instances: Iterable[Instance | Case] | None = None
) -> list[Finding]:
    """Return every rule that a bound method breaks; an empty list when it conforms.

    Parameters
    ----------
    algorithm
        A method whose outcome carries a bound, with or without a placement.
    instances
        Instances, or cases of which more is known, instead of the built-in ones.
    """
    subject = Subject(algorithm, instances)
    return [finding for each in BOUND_CHECKS for finding in each(subject)]


def _largest_saving(case: Case) -> Fraction:
    """Return the exact saving of the best placement that is known; 0 when none is."""
    best = case.optimum
    if best is None and why_not_exhaustive(case.instance) is None:
        best = best_placement(case.instance)
    return Fraction(0) if best is None else check(case.instance, best).saving_ms


def _problem(case: Case, outcome: Outcome) -> str:
    """Say what is wrong with an outcome's bound, or nothing."""
    result = judge(case.instance, outcome, seconds=0.0)
    if result.status is Status.ERROR:
        return result.reason
    bound, largest = outcome.bound_saving_ms, _largest_saving(case)
    if outcome.bound_certified and bound < largest:  # a double against a fraction: exact
        return f"certifies {bound!r} ms, but a placement saves {float(largest)!r} ms"
    if bound < float(largest) * (1 - TOLERANCE):
        return f"claims {bound!r} ms, but a placement saves {float(largest)!r} ms"
    return ""


def _brings_a_bound(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        outcome = subject.outcome(case.instance)
        if not math.isfinite(outcome.bound_saving_ms):
            yield case.instance.name, f"brings no bound: {outcome.stop_reason} {outcome.reason}"


def _holds(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        problem = _problem(case, subject.outcome(case.instance))
        if problem:
            yield case.instance.name, problem


def _repeats_itself(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        seeds = (0, 0) if subject.algorithm.randomised else (0, 1)
        bounds = [subject.outcome(case.instance, seed=seed).bound_saving_ms for seed in seeds]
        if bounds[0] != bounds[1]:
            yield case.instance.name, f"claims {bounds[0]!r} ms, and {bounds[1]!r} ms the next time"


def _holds_when_it_is_stopped(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        outcome = subject.outcome(case.instance, time_limit=0.0)
        problem = _problem(case, outcome)
        if problem:
            yield case.instance.name, f"with a time limit of 0 s: {problem}"
        elif outcome.stop_reason not in (StopReason.TIME_LIMIT, StopReason.COMPLETED):
            yield case.instance.name, f"time limit of 0 s: stopped by {outcome.stop_reason}"


_SHARED = ("says what it supports", "supports something", "refuses unknown parameters")

BOUND_CHECKS: tuple[Check, ...] = (
    *(each for each in CHECKS if each.name in _SHARED),
    Check("brings a bound", _brings_a_bound),
    Check("holds", _holds),
    Check("repeats itself", _repeats_itself),
    Check("holds when it is stopped", _holds_when_it_is_stopped),
)
"""All rules, for ``pytest.mark.parametrize("check", BOUND_CHECKS, ids=str)``."""
