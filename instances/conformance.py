"""Conformance: what every method has to do right, whoever wrote it.

For a method of your own, in a test of your own:

    from instances.conformance import CHECKS, check_algorithm

    def test_my_method_conforms() -> None:
        assert check_algorithm(MY_METHOD) == []

or, one test for each rule:

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_my_method(check: Check) -> None:
        assert check(Subject(MY_METHOD)) == []

Nothing here depends on a test framework, and no threshold on the clock.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np

from instances.conformance_cases import Case, conformance_cases
from instances.deadline import counting_looks
from instances.draws import Draws
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, run
from instances.reordering import reordered
from instances.result import Outcome, Result, Status, StopReason, judge

TOLERANCE = 1e-9
"""Relative difference between two savings that is excused."""

LOOKS = (1, 3, 10, 30)
"""Looks at the clock after which a method is interrupted."""

EVERY = 4
"""Of the cases every fourth is interrupted."""

SCALE = 4.0
"""Factor on all rates; a power of two, so that nothing is rounded differently."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a method breaks.

    Parameters
    ----------
    check
        Name of the rule.
    instance
        Name of the instance; empty when the rule is not about one.
    problem
        What happened, in one sentence.
    """

    check: str
    instance: str
    problem: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.check, self.instance, self.problem) if part)


class Subject:
    """A method on trial, with the cases it is tried on; plain runs are kept and shared.

    Parameters
    ----------
    algorithm
        The method.
    instances
        Instances, or cases of which more is known, to try it on; by default those of
        :func:`~instances.conformance_cases.conformance_cases`.
    """

    def __init__(
        self, algorithm: Algorithm, instances: Iterable[Instance | Case] | None = None
    ) -> None:
        self.algorithm = algorithm
        if instances is None:
            instances = _default_cases()
        self.cases = tuple(each if isinstance(each, Case) else Case(each) for each in instances)
        self._results: dict[int, Result] = {}

    @property
    def supported(self) -> Iterator[Case]:
        """The cases that the method says it can take."""
        return (c for c in self.cases if self.algorithm.supports(c.instance) is None)

    def outcome(
        self,
        instance: Instance,
        *,
        seed: int = 0,
        time_limit: float | None = None,
        start: Placement | None = None,
    ) -> Outcome:
        """Run the method."""
        rng = np.random.default_rng(seed)
        return run(self.algorithm, instance, rng=rng, time_limit=time_limit, start=start)

    def result(self, case: Case) -> Result:
        """Run the method with seed 0 and no limit, once, and judge what it says."""
        known = self._results.get(id(case))
        if known is None:
            known = judge(case.instance, self.outcome(case.instance), seconds=0.0)
            self._results[id(case)] = known
        return known

    def saving(self, instance: Instance) -> float:
        """Run the method with seed 0 on another instance; NaN without a feasible placement."""
        return judge(instance, self.outcome(instance), seconds=0.0).saving_ms


Rule = Callable[[Subject], Iterator[tuple[str, str]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One rule.

    Parameters
    ----------
    name
        Short name.
    rule
        Yields (instance, problem) wherever it is broken.
    """

    name: str
    rule: Rule

    def __call__(self, subject: Subject) -> list[Finding]:
        """Return what the method does wrong."""
        return [Finding(self.name, *found) for found in self.rule(subject)]

    def __str__(self) -> str:
        return self.name


def check_algorithm(
    algorithm: Algorithm, instances: Iterable[Instance | Case] | None = None
) -> list[Finding]:
    """Return every rule that a method breaks, with the instance; an empty list when it conforms.

    Parameters
    ----------
    algorithm
        A heuristic or an exact method.
    instances
        Instances, or cases of which more is known, instead of the built-in ones. Optima are found
        where instances are small enough to be enumerated.
    """
    subject = Subject(algorithm, instances)
    return [finding for check in CHECKS for finding in check(subject)]


@cache
def _default_cases() -> tuple[Case, ...]:
    return conformance_cases()


def _differ(first: float, second: float, case: Case) -> bool:
    """Whether two savings on a case differ beyond rounding; NaN differs from everything."""
    scale = max(abs(first), abs(second), TOLERANCE * case.empty_latency_ms)
    return not abs(first - second) <= TOLERANCE * scale


# -- the rules --------------------------------------------------------------------------------


def _says_what_it_supports(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.cases:
        reason = subject.algorithm.supports(case.instance)
        if reason is None:
            continue
        if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
            yield case.instance.name, f"supports() returns {reason!r}, not a line of text"
        outcome = subject.outcome(case.instance)
        if outcome.stop_reason is not StopReason.UNSUPPORTED or outcome.placement is not None:
            yield case.instance.name, "is run although it does not support the instance"


def _supports_something(subject: Subject) -> Iterator[tuple[str, str]]:
    if not any(True for _ in subject.supported):
        yield "", "supports none of the instances, so nothing else has been checked"


def _is_feasible(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        result = subject.result(case)
        if result.status is Status.ERROR:
            yield case.instance.name, result.reason
        elif result.placement is None:
            yield case.instance.name, f"returns no placement: {result.stop_reason}"


def _is_never_worse_than_nothing(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        result = subject.result(case)
        if result.saving_ms < 0 or result.latency_ms > case.empty_latency_ms:
            yield case.instance.name, f"saves {result.saving_ms} ms"


def _proves_what_it_returns(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported if subject.algorithm.exact else ():
        result = subject.result(case)
        if result.status is not Status.OPTIMAL:
            yield case.instance.name, f"is exact, but ends with {result.status}: {result.reason}"
        elif case.optimum_ms is not None and _differ(result.saving_ms, case.optimum_ms, case):
            problem = f"proves {result.saving_ms} ms where {case.optimum_ms} ms are possible"
            yield case.instance.name, problem


def _keeps_its_guarantee(subject: Subject) -> Iterator[tuple[str, str]]:
    guarantee = subject.algorithm.guarantee
    if guarantee is None:
        return
    for case in subject.supported:
        ratio = guarantee.ratio(case.instance)
        if ratio is None:
            continue
        if not 0.0 <= ratio <= 1.0:  # NaN is not
            yield case.instance.name, f"guarantees the ratio {ratio}, which is not in [0, 1]"
            continue
        result, best = subject.result(case), case.optimum_ms
        if best is None or result.stop_reason is not StopReason.COMPLETED:
            continue
        if not result.saving_ms >= ratio * best * (1 - TOLERANCE):
            yield (
                case.instance.name,
                f"guarantees {ratio} of the optimum, {best} ms, but saves {result.saving_ms} ms",
            )


def _repeats_itself(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        first = subject.result(case).placement
        seeds = (0,) if subject.algorithm.randomised else (0, 1)
        for seed in seeds:
            again = subject.outcome(case.instance, seed=seed).placement
            if not _same(first, again):
                yield case.instance.name, f"seed {seed} gives another placement than before"


def _ignores_the_order(subject: Subject) -> Iterator[tuple[str, str]]:
    """Names are what ties may be broken by; a randomised method may spend its draws on positions.

    Its servers are therefore left in their order.
    """
    for case in subject.supported:
        if not case.tie_free:
            continue
        instance = case.instance
        draws = Draws("conformance", "order", instance.name)
        orders = {
            "servers": draws.permutation(instance.num_servers),
            "users": draws.permutation(instance.num_users),
            "rows": draws.permutation(instance.num_rows),
        }
        for what, order in orders.items():
            if what == "servers" and subject.algorithm.randomised:
                continue
            before = subject.result(case).saving_ms
            after = subject.saving(reordered(instance, **{what: order}))
            if _differ(before, after, case):
                yield (
                    instance.name,
                    f"saves {before} ms, but {after} ms with its {what} in another order",
                )


def _scales_with_the_rates(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        scaled = dataclasses.replace(case.instance, demand_rate=SCALE * case.instance.demand_rate)
        before, after = subject.result(case).saving_ms, subject.saving(scaled)
        if _differ(before, after / SCALE, case):
            yield (
                case.instance.name,
                f"saves {before} ms, but {after} ms when all rates are {SCALE:g} times as large",
            )


def _refuses_unknown_parameters(subject: Subject) -> Iterator[tuple[str, str]]:
    unknown: dict[str, Any] = {"no_such_parameter": 1}
    rng = np.random.default_rng(0)
    for case in list(subject.supported)[:1]:
        try:
            run(subject.algorithm, case.instance, rng=rng, **unknown)
        except InputError as error:
            if "no_such_parameter" not in str(error):
                yield case.instance.name, f"the message does not name the parameter: {error}"
        else:
            yield case.instance.name, "takes a parameter 'no_such_parameter'"


def _honours_its_time_limit(subject: Subject) -> Iterator[tuple[str, str]]:
    for case in subject.supported:
        outcome = subject.outcome(case.instance, time_limit=0.0)
        result = judge(case.instance, outcome, seconds=0.0)
        if result.status is Status.ERROR:
            yield case.instance.name, f"with a time limit of 0 s: {result.reason}"
        elif result.placement is None and not subject.algorithm.exact:
            yield case.instance.name, "returns no placement with a time limit of 0 s"
        elif result.stop_reason not in (StopReason.TIME_LIMIT, StopReason.COMPLETED):
            yield case.instance.name, f"time limit of 0 s: stopped by {result.stop_reason}"


def _returns_what_it_has_half_way(subject: Subject) -> Iterator[tuple[str, str]]:
    """Interrupt the method at its n-th look at the clock; one that never looks is not interrupted.

    Only looks through :class:`~instances.deadline.Deadline` are counted.
    """
    for case in list(subject.supported)[::EVERY]:
        for looks in LOOKS:
            with counting_looks():
                outcome = subject.outcome(case.instance, time_limit=float(looks))
            result = judge(case.instance, outcome, seconds=0.0)
            when = f"interrupted at look {looks} at the clock"
            if result.status is Status.ERROR:
                yield case.instance.name, f"{when}: {result.reason}"
            elif result.placement is None and not subject.algorithm.exact:
                yield case.instance.name, f"{when}: returns no placement"
            elif result.stop_reason is StopReason.COMPLETED:
                whole = subject.result(case).saving_ms
                if _differ(result.saving_ms, whole, case):
                    yield (
                        case.instance.name,
                        f"{when}: says that it completed, but saves {result.saving_ms} ms where "
                        f"it saves {whole} ms without a limit",
                    )


def _never_spoils_its_start(subject: Subject) -> Iterator[tuple[str, str]]:
    if not subject.algorithm.takes_start:
        return
    for case in subject.supported:
        start = _some_start(case.instance)
        least = judge(case.instance, _answer(start), seconds=0.0).saving_ms
        outcome = subject.outcome(case.instance, start=start)
        saving = judge(case.instance, outcome, seconds=0.0).saving_ms
        if not saving >= least - TOLERANCE * max(least, TOLERANCE * case.empty_latency_ms):
            yield case.instance.name, f"starts from {least} ms and returns {saving} ms"


def _some_start(instance: Instance) -> Placement:
    """Fill every server with what fits, in the order of a shuffle that depends on the name."""
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    draws = Draws("conformance", "start", instance.name)
    for server, capacity in enumerate(instance.capacity_bytes.tolist()):
        room = capacity
        for expert in draws.permutation(instance.num_experts).tolist():
            size = int(instance.expert_bytes[expert])
            if size <= room:
                stored[server, expert] = True
                room -= size
    return Placement(stored)


def _answer(placement: Placement) -> Outcome:
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=placement,
        proven_optimal=False,
        claimed_saving_ms=math.nan,
    )


def _same(first: Placement | None, second: Placement | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first.stored, second.stored)


CHECKS: tuple[Check, ...] = (
    Check("says what it supports", _says_what_it_supports),
    Check("supports something", _supports_something),
    Check("is feasible", _is_feasible),
    Check("is never worse than nothing", _is_never_worse_than_nothing),
    Check("proves what it returns", _proves_what_it_returns),
    Check("keeps its guarantee", _keeps_its_guarantee),
    Check("repeats itself", _repeats_itself),
    Check("ignores the order of servers, users and rows", _ignores_the_order),
    Check("scales with the rates", _scales_with_the_rates),
    Check("refuses unknown parameters", _refuses_unknown_parameters),
    Check("honours its time limit", _honours_its_time_limit),
    Check("returns what it has half-way", _returns_what_it_has_half_way),
    Check("never spoils its start", _never_spoils_its_start),
)
"""All rules, for ``pytest.mark.parametrize("check", CHECKS, ids=str)``."""
