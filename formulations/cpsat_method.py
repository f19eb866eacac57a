r"""CP-SAT in booleans: an exact method that shares no model with the others.

    maximise    sum over clauses (k, S, A) of k[S,A] z[S,A]
    subject to  sum over i of s[i] x[n,i] <= Q[n]           for each server n, in whole units
                y[S,i] implies that some x[n,i] holds, n in S
                z[S,A] implies y[S,i]                       for each i in A

CP-SAT computes in whole numbers of 64 bits, so the weights must become whole without loss
(:mod:`formulations.whole_clauses`). Where they do not fit into 62 bits together, the method is
unsupported: rounding them could change which placement is best.
"""

import numpy as np

from formulations.milp import Request, or_start
from formulations.progress import Progress
from formulations.start import check_start
from formulations.whole_clauses import build_whole_clauses
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import OnProgress, Outcome, StopReason

MAX_BITS = 62
"""Most bits of the sum of all weights; CP-SAT rejects sums that come near 2^63."""

MAX_STEPS = 100_000
"""Most steps, rows times servers that beat the cloud, that are written in fractions."""


def cp_sat(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    threads: int = 1,
) -> Outcome:
    """Solve the problem in booleans and whole numbers with CP-SAT, to optimality.

    Time exponential in the worst case; far slower than a MILP solver, whose relaxation it lacks.
    Source: formulations/cpsat_method.py.

    Parameters
    ----------
    start
        A feasible placement to start from; the result is never worse.
    on_progress
        Told of incumbents and bounds while the solver runs.
    threads
        Workers; answers depend on no more than one worker's search when it is 1.

    Raises
    ------
    InputError
        When the start is not feasible or there are no threads.
    """
    del rng
    request = Request(time_limit, start, on_progress, threads, None)
    deadline = Deadline.after(time_limit)
    if start is not None:
        check_start(instance, start)
    clauses = build_whole_clauses(instance)
    if not clauses.weight:
        return _nothing_to_gain(instance)
    from formulations.cpsat import build_boolean, solve_boolean  # here: OR-Tools takes its time

    tell = None if on_progress is None else Progress(instance, on_progress, start).note
    outcome = solve_boolean(
        build_boolean(instance, clauses),
        start=start,
        deadline=deadline,
        threads=request.threads,
        tell=tell,
    )
    return or_start(instance, start, request.known_ms, outcome)


def _nothing_to_gain(instance: Instance) -> Outcome:
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=Placement.empty(instance),
        proven_optimal=True,
        bound_saving_ms=0.0,
        claimed_saving_ms=0.0,
        reason="no placement saves anything",
    )


def supports(instance: Instance) -> str | None:
    """Tell whether the weights become whole numbers without loss."""
    useful = (instance.latency_ms < instance.cloud_latency_ms[:, None]).sum(axis=1)
    steps = int(useful[instance.demand_user].sum())
    if steps > MAX_STEPS:
        return f"{steps} rows times servers; at most {MAX_STEPS} are written in whole numbers"
    bits = build_whole_clauses(instance).total.bit_length()
    if bits > MAX_BITS:
        return (
            f"as whole numbers without loss the weights take {bits} bits; CP-SAT has room for "
            f"{MAX_BITS}, and rounded weights could make another placement best"
        )
    return None


CP_SAT = Algorithm(
    name="cp-sat",
    solve=cp_sat,
    exact=True,
    summary="booleans and whole numbers, CP-SAT: an independent check of small instances",
    source="threshold form of the problem; CP-SAT: Perron and Didier, OR-Tools",
    complexity="exponential in the worst case",
    supports=supports,
)
