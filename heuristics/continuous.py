"""Continuous greedy for K = 1, with an upper bound that comes for free."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heuristics.coverage import Coverage, most_servers, why_not_coverage
from heuristics.multipliers import tighten
from instances.deadline import Deadline
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee
from instances.result import Outcome, StopReason

STEPS = 50
"""Steps T by default: the guarantee is 0.6285, against 0.6321 for infinitely many."""

MULTIPLIER_STEPS = 200

_MIXING_SHARE = 0.7
"""Share of the time that steps may take; the rest is for rounding, without which nothing is stored.
"""


def continuous_greedy(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    steps: int = STEPS,
    multiplier_steps: int = MULTIPLIER_STEPS,
) -> Outcome:
    """F >= (1 - (1 + 1/T)^-T) OPT for K = 1, any servers and sizes; T steps; tends to 1 - 1/e.

    F = OPT where no user has two servers that beat the cloud. T = 1 gives 1/2, T = 50 gives 0.6285.

    Every server mixes T configurations (sets of experts that fit), each with probability 1/T. In
    each step every server in turn adds the configuration of the largest gain at the current
    probabilities, an exact knapsack. Then server after server fixes the configuration of the
    largest conditional expectation, which loses nothing, and servers are re-solved while one gains.

    The outcome carries a certified upper bound on OPT: at every step
    OPT <= Fbar(y) + max over configurations v of <(1 - y) grad Fbar(y), v>. It is tightened by
    moving the weights of the clauses in it; what the servers answer on the way is rounded too, and
    the best placement is kept.

    Time O((T + M) (C D + N X log X)) for C clauses of up to D servers, X experts, M multiplier
    steps, with experts of one size; with unequal sizes the knapsacks may take longer. A knapsack
    too large for its budget is solved nearly, and the outcome says what the guarantee loses.

    Source: Calinescu, Chekuri, Pal, Vondrak 2011, with configurations as the ground set and servers
    in turn. Proof: docs/theory.md, section 8. Certificate: Barahona, Anbil 2000.

    Parameters
    ----------
    steps
        T, at least 1.
    multiplier_steps
        M, steps that tighten the bound; 0 for none.

    Raises
    ------
    InputError
        When ``steps`` is below 1 or ``multiplier_steps`` below 0.
    """
    del rng
    if steps < 1:
        raise InputError("steps", f"{steps} is not at least 1")
    if multiplier_steps < 0:
        raise InputError("multiplier_steps", f"{multiplier_steps} is negative")
    deadline = Deadline.after(time_limit)
    coverage = Coverage.of(instance)
    if most_servers(instance) <= 1:
        steps = 1  # gains do not depend on other servers: all steps are alike
    until = deadline
    if math.isfinite(deadline.at):
        until = Deadline.after(_MIXING_SHARE * deadline.remaining)
    mix = mix_configurations(coverage, steps, until)
    stored, lost_by_rounding = coverage.round_off(mix.absent, deadline)
    in_time = mix.taken == steps and not deadline.passed
    stored = coverage.improve(stored, deadline)
    bound = mix.bound_ms
    if mix.taken:
        multiplier, stored = tighten(
            coverage, mix.multiplier, stored, steps=multiplier_steps, deadline=deadline
        )
        bound = min(bound, coverage.bound_ms(multiplier))
    return Outcome(
        stop_reason=StopReason.TIME_LIMIT if deadline.passed else StopReason.COMPLETED,
        placement=Placement(stored),
        proven_optimal=False,
        bound_saving_ms=bound,
        bound_certified=math.isfinite(bound),
        reason=_remark(in_time, mix.lost_ms + lost_by_rounding),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mix:
    """What continuous greedy has reached.

    Parameters
    ----------
    absent
        1 - y[n, x], where y[n] mixes configurations of server n; (N, X).
    bound_ms
        The best of the upper bounds at all steps, ms per token; infinite without a step.
    multiplier
        The average over the steps of what the clauses missed, a good start for better bounds; (C,).
    taken
        Steps that were taken.
    lost_ms
        The most that inexact knapsacks may have cost one step, times T, ms per token.
    """

    absent: NDArray[np.float64]
    bound_ms: float
    multiplier: NDArray[np.float64]
    taken: int
    lost_ms: float


def mix_configurations(coverage: Coverage, steps: int, deadline: Deadline) -> Mix:
    """Add configurations to all servers in turn, ``steps`` times; see :func:`continuous_greedy`."""
    count = np.zeros(coverage.shape, dtype=np.int64)  # configurations that hold an expert
    absent = np.ones(coverage.shape)
    average = np.zeros(coverage.weight.size)
    bound = math.inf
    lost = 0.0
    taken = 0
    while taken < steps and not deadline.passed:
        unmet = coverage.unmet_ms(absent)
        bound = min(bound, coverage.bound_ms(unmet))
        average += unmet
        lost_now = 0.0
        for server in coverage.order:
            gain = coverage.wanted_ms(server, unmet) / absent[server]
            best = coverage.best_configuration(server, gain)
            lost_now += best.lost_ms
            count[server] += best.chosen
            now = (steps - count[server]) / steps
            coverage.scale(server, unmet, now / absent[server])
            absent[server] = now
        lost = max(lost, lost_now)
        taken += 1
    return Mix(
        absent=absent,
        bound_ms=bound,
        multiplier=np.minimum(average / max(taken, 1), coverage.weight),
        taken=taken,
        lost_ms=lost,
    )


def _remark(in_time: bool, lost_ms: float) -> str:
    remarks = []
    if not in_time:
        remarks.append("time was up before all steps were taken and rounded: no guarantee")
    if lost_ms > 0.0:
        remarks.append(
            f"knapsacks too large to be solved exactly: the guarantee is {lost_ms:.3g} ms lower"
        )
    return "; ".join(remarks)


def _ratio(instance: Instance) -> float | None:
    if why_not_coverage(instance) is not None:
        return None
    if most_servers(instance) <= 1:
        return 1.0
    return 1.0 - (1.0 + 1.0 / STEPS) ** -STEPS


CONTINUOUS_GREEDY = Algorithm(
    name="continuous-greedy",
    solve=continuous_greedy,
    exact=False,
    summary="K = 1: multilinear extension over configurations, derandomised; with an upper bound",
    source="Calinescu, Chekuri, Pal, Vondrak 2011; Barahona, Anbil 2000",
    complexity="O((T + M) (C D + N X log X)), equal sizes",
    supports=why_not_coverage,
    guarantee=Guarantee(
        formula=f"F >= (1 - (1 + 1/T)^-T) OPT, T = {STEPS} steps; "
        "F = OPT where no user has two servers",
        scope="K = 1, any servers and sizes, up to what the outcome says that knapsacks lost",
        source="docs/theory.md, G2",
        ratio=_ratio,
    ),
)
