"""The LP bound: dual values of a solver, clipped, in a formula that holds for any values."""

import numpy as np

from formulations.bounds.relaxation import Relaxation
from formulations.bounds.responses import respond_in_turn
from formulations.start import check_start
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.multipliers import DualForm, Multipliers
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import OnProgress, Outcome, StopReason
from instances.structure.clauses import build_clauses
from instances.structure.server_problem import LayerRows

SOLVERS = ("auto", "glop", "highs", "pdlp")

GLOP_ENTRIES = 10_000
"""Most matrix entries for which ``auto`` takes GLOP."""

HIGHS_ENTRIES = 100_000
"""Most matrix entries for which ``auto`` takes HiGHS; PDLP solves what is larger."""

MAX_ENTRIES = 6_000_000
"""Most matrix entries that are solved: several gigabytes."""

TOLERANCE = 1e-5
"""PDLP's relative tolerance: bounds are worse by about as much."""

_SHARE_OF_TIME = 0.9
"""The solver may use this share of the time that is left; the rest is for evaluating."""


def lp(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    solver: str = "auto",
    tolerance: float = TOLERANCE,
    multipliers: Multipliers | None = None,
) -> Outcome:
    """Return the LP bound of ``milp-compact``: F <= LP, certified.

    The dual values of the relaxation are clipped to >= 0, improved where that is free, and
    evaluated by the closed formula of :mod:`instances.multipliers` with upward rounding, so the
    bound holds however roughly the solver works, and when its time is up, too. The multipliers go
    with the outcome. Its placement is that of the relaxation, rounded, after a response of each
    server.

    Time: that of an LP with about as many entries as the clauses have experts, times two.

    Source: design of the formula: docs/theory.md, section 7; PDLP: Applegate et al. 2021.

    Parameters
    ----------
    start
        A feasible placement; it is that of the outcome unless the rounded one is better.
    solver
        ``glop`` (simplex), ``highs`` (interior point), ``pdlp`` (first-order), or ``auto``: by
        size.
    tolerance
        Relative tolerance of PDLP.
    multipliers
        The bound of these is the answer if the solver's are no better.

    Raises
    ------
    InputError
        When the start is not feasible, the solver is unknown or the tolerance is not positive.
    """
    del rng
    if solver not in SOLVERS:
        raise InputError("solver", f"{solver!r} is not one of {', '.join(SOLVERS)}")
    if not 0.0 < tolerance < 1.0:
        raise InputError("tolerance", f"{tolerance} is not between 0 and 1")
    if start is not None:
        check_start(instance, start)
    deadline = Deadline.after(time_limit)
    clauses = build_clauses(instance)
    form = DualForm.of(instance, clauses)
    if multipliers is not None:
        form.check_shape(multipliers)
    best = form.tightened(form.even_multipliers() if multipliers is None else multipliers)
    placement = start

    def outcome(stop_reason: StopReason, reason: str) -> Outcome:
        return Outcome(
            stop_reason=stop_reason,
            placement=placement,
            proven_optimal=False,
            bound_saving_ms=best[0],
            bound_certified=True,
            reason=reason,
            multipliers=best[1],
        )

    if on_progress is not None:
        on_progress(outcome(StopReason.TIME_LIMIT, ""))
    if not form.weight_ms.any():
        placement = Placement.empty(instance) if start is None else start
        return outcome(StopReason.COMPLETED, "no placement saves anything")
    from formulations.bounds.lp_solver import solve_lp  # here: OR-Tools takes time to import

    relaxation = Relaxation.of(form)
    if solver == "auto":
        entries = relaxation.rows.row.size
        solver = (
            "glop" if entries <= GLOP_ENTRIES else "highs" if entries <= HIGHS_ENTRIES else "pdlp"
        )
    until = Deadline.after(None if time_limit is None else _SHARE_OF_TIME * deadline.remaining)
    answer = solve_lp(relaxation, solver, tolerance=tolerance, deadline=until)
    if answer.duals is not None:
        found = form.tightened(relaxation.multipliers(answer.duals))
        best = min(best, found, key=lambda pair: pair[0])
    values = np.zeros(relaxation.x_server.size) if answer.stored is None else answer.stored
    rounded = relaxation.rounded(np.nan_to_num(values)).stored
    improved = Placement(respond_in_turn(LayerRows.of(instance), rounded, deadline, 1))
    if (
        start is None
        or evaluate(instance, improved).saving_ms > evaluate(instance, start).saving_ms
    ):
        placement = improved
    reasons = [solver, answer.reason]
    if answer.duals is None:
        reasons.append("no dual values: the bound is that of the multipliers at the start")
    return outcome(answer.stop_reason, "; ".join(filter(None, reasons)))


def supports(instance: Instance) -> str | None:
    """Tell whether the relaxation is small enough."""
    steps = (instance.latency_ms < instance.cloud_latency_ms[:, None]).sum(axis=1)
    lengths = np.diff(instance.demand_offsets)
    entries = 2 * int((lengths * steps[instance.demand_user]).sum())
    if entries > MAX_ENTRIES:  # before clauses are merged
        clauses = build_clauses(instance)
        entries = 2 * int(np.diff(clauses.itemset_offsets)[clauses.itemset].sum())
    if entries <= MAX_ENTRIES:
        return None
    return f"the LP has about {entries} matrix entries; at most {MAX_ENTRIES} are solved"


LP = Algorithm(
    name="lp",
    solve=lp,
    exact=False,
    summary="LP relaxation by GLOP, HiGHS or PDLP; its dual values, evaluated safely",
    source="threshold form of the problem; PDLP: Applegate et al. 2021",
    complexity="an LP of two entries for each expert of each clause",
    supports=supports,
)
