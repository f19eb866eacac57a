"""What was told on the way, judged: the trajectory of a solve, and what its death leaves.

Everything that a method tells is a claim like its answer. One that the evaluator refutes makes the
whole solve wrong, however it ended.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.formats import seconds_text
from bench.trajectory import Told
from instances.placement import Placement
from instances.problem import Instance
from instances.result import Outcome, Result, StopReason, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was known at one moment of a solve.

    Parameters
    ----------
    seconds
        Time since the method began.
    saving_ms
        Saving of the best placement so far, by the evaluator, ms per token; NaN without one.
    bound_saving_ms, bound_certified
        The best bound so far, infinite when unknown, and whether it holds in exact arithmetic.
    """

    seconds: float
    saving_ms: float
    bound_saving_ms: float
    bound_certified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was told by one solve, judged.

    Parameters
    ----------
    steps
        The moments at which the saving or the bound became better.
    placement, placed_at
        The best placement, and when it was told, seconds; None and NaN without one.
    refuted
        What is wrong with the first claim that does not hold; empty when all hold.
    """

    steps: tuple[Step, ...]
    placement: Placement | None
    placed_at: float
    refuted: str


NOTHING = Step(seconds=0.0, saving_ms=math.nan, bound_saving_ms=math.inf, bound_certified=False)


def examine(instance: Instance, told: Sequence[Told]) -> Findings:
    """Judge what was told, in the order of time."""
    steps: list[Step] = []
    placement: Placement | None = None
    placed_at, refuted = math.nan, ""
    for record in told:
        judged = judge(instance, _as_outcome(record), seconds=record.seconds)
        if judged.stop_reason is StopReason.WRONG_CLAIM:
            refuted = f"told after {seconds_text(record.seconds)}: {judged.reason}"
            break
        last = steps[-1] if steps else NOTHING
        step = _better(last, judged, record.seconds)
        if step.saving_ms != last.saving_ms and not math.isnan(step.saving_ms):
            placement, placed_at = judged.placement, record.seconds
        if not _same(step, last):
            steps.append(step)
    return Findings(steps=tuple(steps), placement=placement, placed_at=placed_at, refuted=refuted)


def complete(
    instance: Instance, outcome: Outcome, findings: Findings, *, returned: bool
) -> Outcome:
    """Fill in what an outcome lacks from what was told before.

    Parameters
    ----------
    instance
        The instance.
    outcome
        The method's answer, or what the sandbox says of a method that gave none.
    findings
        What was told.
    returned
        The outcome is the method's own. Else its placement is the one that the method started
        from, if any, and the best that was told takes its place.
    """
    if findings.refuted:
        return _refuted(findings.refuted)
    if not findings.steps:
        return outcome
    last = findings.steps[-1]
    if outcome.placement is None or not returned:
        outcome = _with_placement(instance, outcome, findings)
    if math.isinf(outcome.bound_saving_ms) and outcome.bound_saving_ms > 0:
        outcome = dataclasses.replace(
            outcome, bound_saving_ms=last.bound_saving_ms, bound_certified=last.bound_certified
        )
    # the best placement of all against the lowest bound of all
    claims = (
        (outcome.bound_saving_ms, outcome.bound_certified),
        (last.bound_saving_ms, last.bound_certified),
    )
    for placement in (findings.placement, outcome.placement):
        for bound, certified in claims:
            whole = Outcome(
                stop_reason=StopReason.TIME_LIMIT,
                placement=placement,
                proven_optimal=False,
                bound_saving_ms=bound,
                bound_certified=certified,
            )
            judged = judge(instance, whole, seconds=0.0)
            if judged.stop_reason is StopReason.WRONG_CLAIM:
                return _refuted(judged.reason)
    return outcome


def trajectory(steps: Sequence[Step], result: Result) -> tuple[Step, ...]:
    """Return the steps with the end of the solve; none when the solve was wrong."""
    if result.stop_reason is StopReason.WRONG_CLAIM:
        return ()
    last = steps[-1] if steps else NOTHING
    final = _better(last, result, result.seconds)
    return (*steps, final) if not _same(final, last) else tuple(steps)


def _as_outcome(told: Told) -> Outcome:
    return Outcome(
        stop_reason=StopReason.TIME_LIMIT,
        placement=told.placement,
        proven_optimal=False,
        bound_saving_ms=told.bound_saving_ms,
        bound_certified=told.bound_certified,
        claimed_saving_ms=told.claimed_saving_ms,
    )


def _better(last: Step, judged: Result, seconds: float) -> Step:
    """Return the last step with what is better in a judged claim."""
    saving = last.saving_ms
    if not judged.saving_ms <= saving:  # NaN on either side: take the other
        saving = saving if math.isnan(judged.saving_ms) else judged.saving_ms
    bound, certified = last.bound_saving_ms, last.bound_certified
    if judged.bound_saving_ms <= bound and math.isfinite(judged.bound_saving_ms):
        certified = judged.bound_certified or (certified and judged.bound_saving_ms == bound)
        bound = judged.bound_saving_ms
    return Step(seconds=seconds, saving_ms=saving, bound_saving_ms=bound, bound_certified=certified)


def _same(one: Step, other: Step) -> bool:
    savings = one.saving_ms == other.saving_ms or (
        math.isnan(one.saving_ms) and math.isnan(other.saving_ms)
    )
    bounds = one.bound_saving_ms == other.bound_saving_ms
    return savings and bounds and one.bound_certified == other.bound_certified


def _with_placement(instance: Instance, outcome: Outcome, findings: Findings) -> Outcome:
    if findings.placement is None:
        return outcome
    if outcome.placement is not None:
        start = judge(instance, dataclasses.replace(outcome, claimed_saving_ms=math.nan), seconds=0)
        if start.saving_ms >= findings.steps[-1].saving_ms:
            return outcome
    note = f"the placement is the one that it told after {seconds_text(findings.placed_at)}"
    return dataclasses.replace(
        outcome,
        placement=findings.placement,
        claimed_saving_ms=math.nan,
        reason=f"{outcome.reason}; {note}" if outcome.reason else note,
    )


def _refuted(reason: str) -> Outcome:
    return Outcome(
        stop_reason=StopReason.WRONG_CLAIM, placement=None, proven_optimal=False, reason=reason
    )
