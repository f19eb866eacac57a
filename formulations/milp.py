"""The compact formulation handed to a MILP solver, and its answer turned into a placement."""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from formulations.answer import Answer, Backend
from formulations.compact import build_compact
from formulations.program import Program
from formulations.start import check_start
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import CLAIM_TOLERANCE, Outcome, StopReason
from instances.structure.clauses import build_clauses

MAX_ENTRIES = 5_000_000
"""Most matrix entries that are handed to HiGHS or SCIP: a gigabyte or two, and hopeless anyway."""

MAX_ENTRIES_CBC = 300_000
"""The same for CBC: PuLP, in Python, needs 15 to 20 seconds to hand over a million entries."""

TRUSTED_OBJECTIVE = 1.0
"""Optima at least this large in units of the program are taken from a solver as they are: what it
may overlook, about 1e-7 units, is then less than the tolerance of claims."""

SMALLEST_WEIGHT = 2.0**-10
"""No solver overlooks a column that weighs this much in units of the program."""

WHOLE_TOLERANCE = 1e-5
"""How far a solver's x may be from 0 or 1."""


def milp_compact(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    threads: int = 1,
) -> Outcome:
    """Solve the compact formulation with HiGHS, to gap 0.

    Time exponential in the worst case. Source: formulations/compact.py.

    Parameters
    ----------
    start
        A feasible placement to start from; the result is never worse.
    threads
        Most threads that the solver may use; HiGHS never uses more than one.

    Raises
    ------
    InputError
        When the start is not feasible or there are no threads.
    """
    del rng
    from formulations.mathopt import solve_highs  # here: OR-Tools takes its time to import

    return _solve(instance, solve_highs, time_limit=time_limit, start=start, threads=threads)


def milp_compact_scip(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    threads: int = 1,
) -> Outcome:
    """Solve the compact formulation with SCIP, to gap 0. Otherwise as :func:`milp_compact`."""
    del rng
    from formulations.mathopt import solve_scip

    return _solve(instance, solve_scip, time_limit=time_limit, start=start, threads=threads)


def milp_compact_cbc(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    threads: int = 1,
) -> Outcome:
    """Solve the compact formulation with CBC, to gap 0. Otherwise as :func:`milp_compact`."""
    del rng
    from formulations.pulp_cbc import solve_cbc

    return _solve(instance, solve_cbc, time_limit=time_limit, start=start, threads=threads)


def _solve(
    instance: Instance,
    backend: Backend,
    *,
    time_limit: float | None,
    start: Placement | None,
    threads: int,
) -> Outcome:
    deadline = Deadline.after(time_limit)
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError("threads", f"{threads!r} is not a whole number >= 1")
    if start is not None:
        check_start(instance, start)
    program = build_compact(instance, build_clauses(instance))
    values = None if start is None else program.values(start)
    program, answer = solve_closely(program, backend, values, deadline, threads)
    return _or_start(instance, start, read_outcome(instance, program, answer))


def solve_closely(
    program: Program,
    backend: Backend,
    start: NDArray[np.float64] | None,
    deadline: Deadline,
    threads: int,
) -> tuple[Program, Answer]:
    """Solve a program, and once more on a larger scale if its optimum is small.

    Solvers are exact up to an absolute error in the objective. Where the optimum is not large
    against it, it still tells which columns weigh too much to be ever gained; without them the
    objective can be scaled up. Returns the program that the answer belongs to.
    """
    while True:
        if not program.objective.any():
            return program, _nothing_to_gain(program)
        if deadline.passed:
            answer = Answer.nothing(StopReason.TIME_LIMIT)
        else:
            answer = backend(program, start=start, deadline=deadline, threads=threads)
        if not answer.proven_optimal or answer.bound >= TRUSTED_OBJECTIVE:
            return program, answer
        start = answer.values
        program = program.below(max(2.0 * answer.bound, SMALLEST_WEIGHT))


def read_outcome(instance: Instance, program: Program, answer: Answer) -> Outcome:
    """Translate values of columns into a placement, as they are: nothing is repaired."""
    bound_saving_ms = answer.bound * program.unit_ms
    if answer.values is None:
        return Outcome(
            stop_reason=answer.stop_reason,
            placement=None,
            proven_optimal=False,
            bound_saving_ms=bound_saving_ms,
            reason=answer.reason,
        )
    x = answer.values[: program.columns.num_x]
    stored = x > 0.5
    furthest = float(np.abs(x - stored).max(initial=0.0))
    if not furthest <= WHOLE_TOLERANCE:  # also when it is not a number
        return _error(f"the solver's x is {furthest:.3g} away from a whole number")
    placement = program.columns.placement(stored)
    used = placement.used_bytes(instance)
    for server in np.flatnonzero(used > instance.capacity_bytes)[:1]:
        return _error(
            f"the solver's tolerances let server {instance.server_names[server]!r} hold "
            f"{used[server]} bytes where its capacity is {instance.capacity_bytes[server]}"
        )
    return Outcome(
        stop_reason=answer.stop_reason,
        placement=placement,
        proven_optimal=answer.proven_optimal,
        bound_saving_ms=bound_saving_ms,
        claimed_saving_ms=answer.objective * program.unit_ms,
        reason=answer.reason,
    )


def _nothing_to_gain(program: Program) -> Answer:
    """Answer for a program without weights: no placement saves anything."""
    return Answer(
        stop_reason=StopReason.COMPLETED,
        proven_optimal=True,
        values=np.zeros(len(program)),
        objective=0.0,
        bound=0.0,
        reason="no placement saves anything",
    )


def _or_start(instance: Instance, start: Placement | None, outcome: Outcome) -> Outcome:
    """Return the start where the solver has nothing better, if only within its tolerances."""
    if start is None or outcome.stop_reason is StopReason.SOLVER_ERROR:
        return outcome
    start_ms = evaluate(instance, start).saving_ms
    if outcome.placement is not None:
        found_ms = evaluate(instance, outcome.placement).saving_ms
        if found_ms >= start_ms:
            return outcome
        if outcome.proven_optimal and found_ms < start_ms * (1.0 - CLAIM_TOLERANCE):
            return _error(
                f"the solver calls a saving of {found_ms} ms optimal; the start saves {start_ms}"
            )
    return dataclasses.replace(
        outcome,
        placement=start,
        bound_saving_ms=start_ms if outcome.proven_optimal else outcome.bound_saving_ms,
        claimed_saving_ms=start_ms,
        reason="the solver found nothing better than the start",
    )


def _error(reason: str) -> Outcome:
    return Outcome(
        stop_reason=StopReason.SOLVER_ERROR,
        placement=None,
        proven_optimal=False,
        bound_saving_ms=math.inf,
        reason=reason,
    )


def supports(instance: Instance) -> str | None:
    """Tell whether the program is small enough for HiGHS and SCIP."""
    return _too_large(instance, MAX_ENTRIES)


def supports_cbc(instance: Instance) -> str | None:
    """Tell whether the program is small enough for PuLP and CBC."""
    return _too_large(instance, MAX_ENTRIES_CBC)


def _too_large(instance: Instance, max_entries: int) -> str | None:
    if most_entries(instance) <= max_entries:
        return None
    clauses = build_clauses(instance)
    pairs = int(np.diff(clauses.itemset_offsets)[clauses.itemset].sum())
    entries = 2 * pairs
    if pairs <= max_entries:
        entries = build_compact(instance, clauses).rows.row.size
    if entries > max_entries:
        return f"the program has about {entries} matrix entries; at most {max_entries} are solved"
    return None


def most_entries(instance: Instance) -> int:
    """Return an upper bound on the matrix entries, found without building the clauses."""
    steps = (instance.latency_ms < instance.cloud_latency_ms[:, None]).sum(axis=1)
    pairs = int((np.diff(instance.demand_offsets) * steps[instance.demand_user]).sum())
    # Two entries for each expert of a clause, and it may need a y over all servers of its own.
    return instance.num_servers * instance.num_experts + pairs * (3 + instance.num_servers)


MILP_COMPACT = Algorithm(
    name="milp-compact",
    solve=milp_compact,
    exact=True,
    summary="compact MILP solved by HiGHS (OR-Tools MathOpt), gap 0",
    source="threshold form of the problem; HiGHS: Huangfu and Hall 2018",
    complexity="exponential in the worst case",
    supports=supports,
)

MILP_COMPACT_SCIP = Algorithm(
    name="milp-compact-scip",
    solve=milp_compact_scip,
    exact=True,
    summary="compact MILP solved by SCIP (OR-Tools MathOpt), gap 0",
    source="threshold form of the problem; SCIP: Achterberg 2009",
    complexity="exponential in the worst case",
    supports=supports,
)

MILP_COMPACT_CBC = Algorithm(
    name="milp-compact-cbc",
    solve=milp_compact_cbc,
    exact=True,
    summary="compact MILP solved by CBC (PuLP), gap 0",
    source="threshold form of the problem; CBC: Forrest and Lougee-Heimer 2005",
    complexity="exponential in the worst case",
    supports=supports_cbc,
)
