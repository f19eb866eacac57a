"""Linear programming and derandomised rounding, for K = 1."""

import datetime
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heuristics.coverage import Coverage, most_servers, why_not_coverage
from heuristics.row_search import most_clauses
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee
from instances.result import Outcome, StopReason

LP_TOLERANCE = 1e-6
"""Relative distance of the LP solution from the proven bound that is excused."""

_TOTAL_WEIGHT = 1024.0
"""All clauses together are worth about this in the LP: GLOP's tolerances are absolute."""

MAX_CLAUSES = 4_000_000
"""Clauses, rows of the LP, beyond which GLOP comes to no end within hours."""

_SHARE_OF_TIME = 0.9
"""The LP may use this share of the time limit; the rest is for rounding."""


def lp_rounding(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Outcome:
    """F >= (1 - (1 - 1/D)^D) B OPT for K = 1, D the most servers in one clause; see below for B.

    B = 1 for experts of one size. Otherwise B is the least of max(1/2, 1 - s / Q) over the servers
    that cannot hold all they want, s the largest expert that such a server wants and can hold.

    The LP stores fractions y[n, x]: maximise the sum of w min(1, sum over n in S of y[n, x]) within
    every server's storage; its value LP is at least OPT. For experts of one size y[n] mixes sets of
    experts that fit. Rounding server by server, each time to the set of the largest conditional
    expectation, reaches what independent draws would save on average, at least
    (1 - (1 - 1/D)^D) LP. For unequal sizes the same holds of B y. Then servers are re-solved one by
    one while one gains.

    The outcome carries a certified upper bound on OPT: the LP's dual values, clipped, in a sum that
    is valid for any values.

    Time: an LP with C rows and C + N X columns for C clauses; rounding O(N (C D + X log X)).

    Source: Ageev, Sviridenko 2004; FemtoCaching (Shanmugam et al. 2013). Proof: docs/theory.md,
    section 8.
    """
    del rng
    limits = Deadline.after(time_limit)
    coverage = Coverage.of(instance)
    if limits.passed:
        return _without_lp(coverage, limits)
    program = PlacementLP.of(coverage)
    solution = solve_lp(coverage, program, limits)
    if solution is None:
        return _without_lp(coverage, limits)
    if isinstance(solution, str):
        return Outcome(
            stop_reason=StopReason.SOLVER_ERROR,
            placement=None,
            proven_optimal=False,
            reason=solution,
        )
    bound = coverage.bound_ms(solution.multiplier)
    mixing = solution.share * _mixing_factor(coverage, program.pairs)[:, None]
    stored, lost = coverage.round_off(1.0 - mixing, limits)
    stored = coverage.improve(stored, limits)
    if not np.array_equal(mixing, solution.share):  # no guarantee from y itself, but often better
        other, _ = coverage.round_off(1.0 - solution.share, limits)
        other = coverage.improve(other, limits)
        if coverage.saving_ms(other) > coverage.saving_ms(stored):
            stored = other
    copies = coverage.expected_copies(solution.share)
    value = float((coverage.weight * np.minimum(copies, 1.0)).sum())
    return Outcome(
        stop_reason=StopReason.TIME_LIMIT if limits.passed else StopReason.COMPLETED,
        placement=Placement(stored),
        proven_optimal=False,
        bound_saving_ms=bound,
        bound_certified=True,
        reason=_remark(value, bound, lost),
    )


def _without_lp(coverage: Coverage, limits: Deadline) -> Outcome:
    stored, _ = coverage.round_off(np.ones(coverage.shape), limits)
    return Outcome(
        stop_reason=StopReason.TIME_LIMIT,
        placement=Placement(coverage.improve(stored, limits)),
        proven_optimal=False,
        reason="time was up before the LP was solved: no guarantee",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fractions:
    """An LP solution.

    Parameters
    ----------
    share
        y[n, x] within 0 .. 1 and within storage; float64 (N, X).
    multiplier
        Dual value of each clause, within 0 .. weight, ms per token; float64 (C,).
    """

    share: NDArray[np.float64]
    multiplier: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacementLP:
    """The LP: maximise ``objective @ v`` subject to ``rows @ v <= upper`` and 0 <= v <= 1.

    maximise   sum of w z
    subject to z[c] <= sum over n in S of y[n, x],   sum over x of s[x] y[n, x] <= Q[n]

    The columns are y, then z. A pair (n, x) has a column if the server wants the expert and can
    hold it. A clause that is left with one pair has no z: its weight goes to the pair. The rows of
    the z come first, then those of storage, in slots where a server's experts have one size, else
    in shares of its storage; rows that cannot be violated are left out.

    Parameters
    ----------
    pairs
        Where y has a column; bool (N, X).
    several
        The clauses that have a z; int64.
    unit_ms
        Saving of one unit of the objective, ms per token; a power of two.
    objective, upper
        One for each column and one for each row.
    row, column, coefficient
        Entries of the rows, sorted.
    """

    pairs: NDArray[np.bool_]
    several: NDArray[np.int64]
    unit_ms: float
    objective: NDArray[np.float64]
    upper: NDArray[np.float64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    coefficient: NDArray[np.float64]

    @classmethod
    def of(cls, coverage: Coverage) -> "PlacementLP":
        """Write the LP of an instance."""
        pairs = coverage.useful_ms() > 0.0
        num_y = int(np.count_nonzero(pairs))
        y = np.full(coverage.shape, -1, dtype=np.int64)
        y[pairs] = np.arange(num_y)
        num_clauses = coverage.weight.size
        lengths = np.diff(coverage.set_offsets)[coverage.server_set]
        clause = np.repeat(np.arange(num_clauses), lengths)
        first = np.repeat(coverage.set_offsets[coverage.server_set], lengths)
        within = np.arange(clause.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        source = y[coverage.set_servers[first + within], coverage.expert[clause]]
        clause, source = clause[source >= 0], source[source >= 0]
        count = np.bincount(clause, minlength=num_clauses)
        several = np.flatnonzero(count > 1)
        z = np.full(num_clauses, -1, dtype=np.int64)
        z[several] = np.arange(several.size)

        unit_ms = math.ldexp(1.0, math.frexp(float(coverage.weight.sum()) / _TOTAL_WEIGHT)[1])
        weight = coverage.weight / unit_ms
        is_alone = count[clause] == 1
        objective = np.concatenate(
            [
                np.bincount(source[is_alone], weight[clause[is_alone]], minlength=num_y),
                weight[several],
            ]
        )
        row = [z[clause[~is_alone]], np.arange(several.size)]
        column = [source[~is_alone], num_y + np.arange(several.size)]
        coefficient = [np.full(row[0].size, -1.0), np.ones(several.size)]
        upper = [0.0] * several.size
        for server in range(coverage.capacity_bytes.size):
            size, room = _storage(coverage, pairs, server)
            if size.sum() > room:
                row.append(np.full(size.size, len(upper)))
                column.append(y[server, pairs[server]])
                coefficient.append(size)
                upper.append(room)
        order = np.lexsort((np.concatenate(column), np.concatenate(row)))
        return cls(
            pairs=pairs,
            several=several,
            unit_ms=unit_ms,
            objective=objective,
            upper=np.array(upper),
            row=np.concatenate(row)[order],
            column=np.concatenate(column)[order],
            coefficient=np.concatenate(coefficient)[order],
        )


def _storage(
    coverage: Coverage, pairs: NDArray[np.bool_], server: int
) -> tuple[NDArray[np.float64], float]:
    """Return sizes of the experts that have a column on a server, and the room there is."""
    size = coverage.expert_bytes[pairs[server]]
    capacity = int(coverage.capacity_bytes[server])
    if size.size and size.min() == size.max():
        return np.ones(size.size), float(capacity // int(size[0]))
    return size / max(capacity, 1), 1.0


def _mixing_factor(coverage: Coverage, pairs: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return for each server a B such that B y[n] mixes sets of experts that fit; (N,)."""
    factor = np.ones(coverage.capacity_bytes.size)
    for server, capacity in enumerate(coverage.capacity_bytes):
        size = coverage.expert_bytes[pairs[server]]
        if int(size.sum()) > capacity and size.min() < size.max():
            factor[server] = max(0.5, 1.0 - int(size.max()) / int(capacity))
    return factor


def solve_lp(
    coverage: Coverage, program: PlacementLP, deadline: Deadline
) -> Fractions | str | None:
    """Solve the LP with GLOP; a text when GLOP fails, None when time is up."""
    if deadline.passed:
        return None
    from ortools.math_opt import model_pb2  # slow to load, and nothing else here needs it
    from ortools.math_opt.python import mathopt

    num_columns, num_rows = program.objective.size, program.upper.size
    proto = model_pb2.ModelProto()
    proto.variables.ids.extend(range(num_columns))
    proto.variables.lower_bounds.extend(np.zeros(num_columns))
    proto.variables.upper_bounds.extend(np.ones(num_columns))
    proto.variables.integers.extend([False] * num_columns)
    proto.objective.maximize = True
    proto.objective.linear_coefficients.ids.extend(range(num_columns))
    proto.objective.linear_coefficients.values.extend(program.objective)
    proto.linear_constraints.ids.extend(range(num_rows))
    proto.linear_constraints.lower_bounds.extend(np.full(num_rows, -np.inf))
    proto.linear_constraints.upper_bounds.extend(program.upper)
    proto.linear_constraint_matrix.row_ids.extend(program.row)
    proto.linear_constraint_matrix.column_ids.extend(program.column)
    proto.linear_constraint_matrix.coefficients.extend(program.coefficient)
    model = mathopt.Model.from_model_proto(proto)
    parameters = mathopt.SolveParameters()
    if math.isfinite(deadline.at):
        seconds = _SHARE_OF_TIME * deadline.remaining
        parameters.time_limit = datetime.timedelta(seconds=seconds)
    result = mathopt.solve(model, mathopt.SolverType.GLOP, params=parameters)
    stopped = (mathopt.TerminationReason.FEASIBLE, mathopt.TerminationReason.NO_SOLUTION_FOUND)
    if math.isfinite(deadline.at) and result.termination.reason in stopped:
        return None  # these two mean that a limit was met, and time is the only one
    if result.termination.reason is not mathopt.TerminationReason.OPTIMAL:
        return f"GLOP ended with {result.termination.reason.name}: {result.termination.detail}"
    values = np.array(result.variable_values(list(model.variables())))
    duals = np.array(result.dual_values(list(model.linear_constraints())))
    return read_solution(coverage, program, values, duals)


def read_solution(
    coverage: Coverage,
    program: PlacementLP,
    values: NDArray[np.float64],
    duals: NDArray[np.float64],
) -> Fractions:
    """Bring what a solver says back within storage and within the weights."""
    share = np.zeros(coverage.shape)
    share[program.pairs] = np.clip(values[: np.count_nonzero(program.pairs)], 0.0, 1.0)
    for server in range(coverage.capacity_bytes.size):
        size, room = _storage(coverage, program.pairs, server)
        used = float(share[server, program.pairs[server]] @ size)
        if used > room:  # by the solver's tolerance
            share[server] *= room / used
    multiplier = coverage.weight.copy()
    duals_ms = duals[: program.several.size] * program.unit_ms
    multiplier[program.several] = np.clip(duals_ms, 0.0, coverage.weight[program.several])
    return Fractions(share=share, multiplier=multiplier)


def _remark(value_ms: float, bound_ms: float, lost_ms: float) -> str:
    remarks = []
    if value_ms < (1.0 - LP_TOLERANCE) * bound_ms:
        remarks.append(
            f"the LP was solved to {value_ms / bound_ms:.8f} of the bound only: the guarantee "
            "holds for this share of it"
        )
    if lost_ms > 0.0:
        remarks.append(
            f"knapsacks too large to be solved exactly: the guarantee is {lost_ms:.3g} ms lower"
        )
    return "; ".join(remarks)


def _supports(instance: Instance) -> str | None:
    reason = why_not_coverage(instance)
    if reason is not None:
        return reason
    # clauses of one expert and one server set are one
    merged = (2**instance.num_servers - 1) * instance.num_experts
    clauses = min(most_clauses(instance), merged)
    if clauses > MAX_CLAUSES:
        return f"up to {clauses} clauses, each a row of the LP; the limit is {MAX_CLAUSES}"
    return None


def _ratio(instance: Instance) -> float | None:
    if _supports(instance) is not None:
        return None
    servers = most_servers(instance)
    if servers <= 1:
        return 1.0
    covered = 1.0 - (1.0 - 1.0 / servers) ** servers
    coverage = Coverage.of(instance)
    factor = float(_mixing_factor(coverage, coverage.useful_ms() > 0.0).min())
    return covered * factor * (1.0 - LP_TOLERANCE)


LP_ROUNDING = Algorithm(
    name="lp-rounding",
    solve=lp_rounding,
    exact=False,
    summary="K = 1: linear program, rounded server by server; with an upper bound",
    source="Ageev, Sviridenko 2004; FemtoCaching (Shanmugam et al. 2013)",
    complexity="an LP of C rows and C + N X columns; rounding O(N (C D + X log X))",
    supports=_supports,
    guarantee=Guarantee(
        formula="F >= (1 - (1 - 1/D)^D) B OPT, D most servers in a clause; B = 1 for one size, "
        "else the least max(1/2, 1 - s / Q)",
        scope="K = 1, any servers and sizes; within 1e-6 for the LP's tolerance",
        source="docs/theory.md, section 8.5",
        ratio=_ratio,
    ),
)
