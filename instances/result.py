"""What a method claims, and what the library makes of the claim.

Three facts stay apart: why the method stopped, whether there is a placement, what is proven.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from instances.checker import check
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.multipliers import Multipliers
from instances.placement import Placement
from instances.problem import Instance

CLAIM_TOLERANCE = 1e-6
"""Relative disagreement between a solver's objective or bound and the evaluator that is excused:
the feasibility tolerance of floating-point MILP solvers."""


class Status(StrEnum):
    """What is known after a run."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    NO_SOLUTION = "no_solution"
    ERROR = "error"


class StopReason(StrEnum):
    """Why a method stopped."""

    COMPLETED = "completed"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    UNSUPPORTED = "unsupported"
    CRASHED = "crashed"
    SOLVER_ERROR = "solver_error"
    WRONG_CLAIM = "wrong_claim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a method says about itself; nothing in it is trusted before :func:`judge`.

    Parameters
    ----------
    stop_reason
        Why it stopped.
    placement
        The best placement found, if any.
    proven_optimal
        The method claims that no placement saves more.
    bound_saving_ms
        Proven upper bound on the saving of any placement, ms per token; infinite when unknown.
    bound_certified
        The bound holds in exact arithmetic on the numbers of the instance, whatever was rounded on
        the way to it; docs/theory.md, section 7.
    claimed_saving_ms
        The method's own value of its placement, ms per token; NaN when it has none.
    reason
        A sentence for people; empty when there is nothing to say.
    multipliers
        What proves the bound by the formula of :mod:`instances.multipliers`, where that is how it
        was found; they can be written down as a certificate.
    bounds_with_more_ms
        Upper bound on the saving of any placement when one server alone has more storage (how much
        more, the caller said), as certified as the bound; infinite when unknown; float64 (N,).
    """

    stop_reason: StopReason
    placement: Placement | None
    proven_optimal: bool
    bound_saving_ms: float = math.inf
    bound_certified: bool = False
    claimed_saving_ms: float = math.nan
    reason: str = ""
    multipliers: Multipliers | None = None
    bounds_with_more_ms: NDArray[np.float64] | None = None


OnProgress = Callable[[Outcome], None]
"""Called by a method while it runs, with the best placement and bound so far; its stop reason is
not looked at. Whoever listens decides what to keep: a killed method leaves what it has told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A judged run: values come from the evaluator, whoever claimed what.

    Parameters
    ----------
    status, stop_reason, reason
        What is known, why the method stopped, and a sentence for people.
    placement
        The placement, when there is one.
    saving_ms, latency_ms
        Its saving and its latency, ms per token; NaN without a placement.
    bound_saving_ms
        Proven upper bound on any saving, ms per token; infinite when unknown. At a proven optimum
        the saving itself, or a certified bound, which lies above it by the rounding of both.
    bound_certified
        No placement saves more than ``bound_saving_ms`` in exact arithmetic.
    seconds
        Wall-clock time of the method itself.
    claimed_saving_ms
        The method's own objective, kept beside ours.

    Raises
    ------
    ValueError
        When the fields contradict each other.
    """

    status: Status
    stop_reason: StopReason
    reason: str
    placement: Placement | None
    saving_ms: float
    latency_ms: float
    bound_saving_ms: float
    seconds: float
    bound_certified: bool = False
    claimed_saving_ms: float = math.nan

    def __post_init__(self) -> None:
        has_placement = self.status in (Status.OPTIMAL, Status.FEASIBLE)
        if has_placement != (self.placement is not None):
            raise ValueError(f"status {self.status} with placement {self.placement}")
        if has_placement == math.isnan(self.saving_ms):
            raise ValueError(f"status {self.status} with saving_ms {self.saving_ms}")
        if self.status is Status.OPTIMAL and not math.isfinite(self.bound_saving_ms):
            raise ValueError("status optimal without a bound")
        if self.status is Status.OPTIMAL and self.stop_reason is not StopReason.COMPLETED:
            raise ValueError(f"status optimal, but stopped by {self.stop_reason}")
        if self.bound_certified and not math.isfinite(self.bound_saving_ms):
            raise ValueError("a certified bound that is not finite")
        if math.isnan(self.bound_saving_ms):
            raise ValueError("bound NaN; an unknown bound is infinite")
        if has_placement and self.bound_saving_ms < self.saving_ms:
            raise ValueError(f"bound {self.bound_saving_ms} below saving {self.saving_ms}")

    @property
    def gap(self) -> float:
        """Share of the bound that is not reached: the saving is at least (1 - gap) of the best.

        0 at a proven optimum; infinite when there is no bound or no placement.
        """
        if self.status is Status.OPTIMAL:
            return 0.0
        return relative_gap(self.saving_ms, self.bound_saving_ms)


def relative_gap(saving_ms: float, bound_saving_ms: float) -> float:
    """Return (bound - saving) / bound; infinite when either is unknown, 0 when both are 0."""
    if math.isnan(saving_ms) or not math.isfinite(bound_saving_ms):
        return math.inf
    if bound_saving_ms <= saving_ms:
        return 0.0
    return (bound_saving_ms - saving_ms) / bound_saving_ms


def judge(instance: Instance, outcome: Outcome, *, seconds: float) -> Result:
    """Re-evaluate a placement and hold every claim against it.

    A placement that is not feasible, an objective that the evaluator does not confirm, and a bound
    below a feasible saving each make the result an error that says so. Savings are compared as the
    evaluator rounds them, but a bound that is said to be certified must not lie below the exact
    saving by anything at all.
    """
    if outcome.proven_optimal and outcome.stop_reason is not StopReason.COMPLETED:
        return _wrong(
            outcome, seconds, f"claims optimality, but was stopped by {outcome.stop_reason}"
        )
    if outcome.placement is None:
        return _without_placement(instance, outcome, seconds)
    try:
        evaluation = evaluate(instance, outcome.placement)
    except InputError as error:
        return _wrong(outcome, seconds, f"placement of the wrong shape: {error}")
    if not evaluation.feasible:
        server = int((evaluation.used_bytes > instance.capacity_bytes).argmax())
        return _wrong(
            outcome,
            seconds,
            f"server {instance.server_names[server]!r} holds {evaluation.used_bytes[server]} bytes "
            f"where its capacity is {instance.capacity_bytes[server]}",
        )
    saving = evaluation.saving_ms
    slack = _slack(saving, evaluation.empty_latency_ms)
    excess = outcome.claimed_saving_ms - saving  # NaN when there is no claim: compares as False
    # a solver that was stopped may not have pushed its other variables as far as its placement
    # allows: only a proof must name the value itself
    if excess > slack or (outcome.proven_optimal and excess < -slack):
        return _wrong(
            outcome, seconds, f"claims a saving of {outcome.claimed_saving_ms} ms; it is {saving}"
        )
    bound = outcome.bound_saving_ms
    if math.isnan(bound) or bound < saving - slack:
        return _wrong(
            outcome, seconds, f"claims the bound {bound} ms; its placement saves {saving}"
        )
    certified = outcome.bound_certified and math.isfinite(bound)
    # the evaluator rounds, too: its value may lie above an exact bound
    if certified and bound < saving:
        exact = check(instance, outcome.placement).saving_ms
        if Fraction(bound) < exact:
            return _wrong(
                outcome,
                seconds,
                f"claims the certified bound {bound} ms; its placement saves {saving}, in exact "
                f"arithmetic {float(exact - Fraction(bound)):.3g} ms more than the bound",
            )
    if outcome.proven_optimal and bound > saving + slack:
        return _wrong(
            outcome, seconds, f"claims optimality with bound {bound} ms and saving {saving} ms"
        )
    return Result(
        status=Status.OPTIMAL if outcome.proven_optimal else Status.FEASIBLE,
        stop_reason=outcome.stop_reason,
        reason=outcome.reason,
        placement=outcome.placement,
        saving_ms=saving,
        latency_ms=evaluation.latency_ms,
        # raising a bound leaves it certified; an optimum alone is only proven up to rounding
        bound_saving_ms=(
            saving if outcome.proven_optimal and not certified else max(bound, saving)
        ),
        seconds=seconds,
        bound_certified=certified,
        claimed_saving_ms=outcome.claimed_saving_ms,
    )


def _slack(saving_ms: float, empty_latency_ms: float) -> float:
    """Return the excused disagreement, ms; where nothing is saved, a speck of the latency."""
    return CLAIM_TOLERANCE * max(saving_ms, empty_latency_ms * CLAIM_TOLERANCE)


def _without_placement(instance: Instance, outcome: Outcome, seconds: float) -> Result:
    if outcome.proven_optimal:
        return _wrong(outcome, seconds, "claims optimality without a placement")
    certified = outcome.bound_certified and outcome.bound_saving_ms < math.inf
    empty_latency = evaluate(instance, Placement.empty(instance)).latency_ms
    excused = 0.0 if certified else _slack(0.0, empty_latency)
    if not outcome.bound_saving_ms >= -excused:
        return _wrong(
            outcome,
            seconds,
            f"claims the bound {outcome.bound_saving_ms} ms; the empty placement saves 0",
        )
    failed = outcome.stop_reason in (
        StopReason.CRASHED,
        StopReason.MEMORY_LIMIT,
        StopReason.SOLVER_ERROR,
        StopReason.WRONG_CLAIM,
    )
    return Result(
        status=Status.ERROR if failed else Status.NO_SOLUTION,
        stop_reason=outcome.stop_reason,
        reason=outcome.reason,
        placement=None,
        saving_ms=math.nan,
        latency_ms=math.nan,
        bound_saving_ms=max(outcome.bound_saving_ms, 0.0),
        seconds=seconds,
        bound_certified=certified,
    )


def _wrong(outcome: Outcome, seconds: float, reason: str) -> Result:
    return Result(
        status=Status.ERROR,
        stop_reason=StopReason.WRONG_CLAIM,
        reason=reason,
        placement=None,
        saving_ms=math.nan,
        latency_ms=math.nan,
        bound_saving_ms=math.inf,
        seconds=seconds,
        claimed_saving_ms=outcome.claimed_saving_ms,
    )
