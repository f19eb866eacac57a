"""Dual values of the LP relaxation from GLOP, HiGHS or PDLP, through MathOpt of OR-Tools."""

import datetime
import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt
from pybind11_abseil.status import StatusNotOk  # type: ignore[import-untyped]  # has none

from formulations.bounds.relaxation import Relaxation
from instances.deadline import Deadline
from instances.result import StopReason

_TYPES = {
    "glop": mathopt.SolverType.GLOP,
    "highs": mathopt.SolverType.HIGHS,
    "pdlp": mathopt.SolverType.PDLP,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LpAnswer:
    """What a solver says about rows and columns; nothing in it is trusted.

    Parameters
    ----------
    stop_reason
        Why it stopped.
    duals
        One value for each row, in units of the relaxation; None when the solver has none.
    stored
        Value of each x; None when the solver has none.
    reason
        A sentence for people; empty when there is nothing to say.
    """

    stop_reason: StopReason
    duals: NDArray[np.float64] | None
    stored: NDArray[np.float64] | None
    reason: str


def solve_lp(
    relaxation: Relaxation, solver: str, *, tolerance: float, deadline: Deadline
) -> LpAnswer:
    """Solve the relaxation with ``glop``, ``highs`` or ``pdlp``, as far as time allows.

    HiGHS runs its interior point method without a crossover: a basis is of no use here. The
    tolerance, relative, is PDLP's.
    """
    parameters = mathopt.SolveParameters()
    if solver == "highs":
        parameters.lp_algorithm = mathopt.LPAlgorithm.BARRIER
        parameters.highs.string_options["run_crossover"] = "off"
        parameters.highs.int_options["threads"] = 1  # the number is fixed for a process's life
    elif solver == "pdlp":
        criteria = parameters.pdlp.termination_criteria.simple_optimality_criteria
        criteria.eps_optimal_relative = criteria.eps_optimal_absolute = tolerance
    begin = time.monotonic()
    model = _model(relaxation)
    if math.isfinite(deadline.at):
        # MathOpt writes the model out once more, and reads as much back, outside of its limit
        left = deadline.remaining - 2.0 * (time.monotonic() - begin)
        if left <= 0.0:
            return LpAnswer(
                stop_reason=StopReason.TIME_LIMIT,
                duals=None,
                stored=None,
                reason="no time for the solver",
            )
        parameters.time_limit = datetime.timedelta(seconds=left)
    try:
        result = mathopt.solve(model, _TYPES[solver], params=parameters)
    except AttributeError as error:
        # MathOpt 9.15 fails while it translates the solver's message, which is chained instead
        # (https://github.com/google/or-tools/issues/4606).
        if not isinstance(error.__context__, StatusNotOk):
            raise
        return _failed(str(error.__context__))
    except (RuntimeError, ValueError) as error:  # what MathOpt documents, once it is mended
        return _failed(str(error))
    x = list(model.variables())[: relaxation.x_server.size]
    return read_answer(result, list(model.linear_constraints()), x)


def read_answer(
    result: mathopt.SolveResult, rows: list[mathopt.LinearConstraint], x: list[mathopt.Variable]
) -> LpAnswer:
    """Take the values of a MathOpt result, feasible or not: any dual values prove a bound."""
    termination = result.termination
    stop_reason, reason = StopReason.COMPLETED, ""
    if termination.limit is mathopt.Limit.TIME:
        stop_reason = StopReason.TIME_LIMIT
    elif termination.reason is not mathopt.TerminationReason.OPTIMAL:
        stop_reason = StopReason.SOLVER_ERROR
        detail = f": {termination.detail}" if termination.detail else ""
        reason = f"the solver ended with {termination.reason.name}{detail}"
    duals = stored = None
    for solution in result.solutions[:1]:
        if solution.dual_solution is not None:
            known = solution.dual_solution.dual_values
            duals = np.array([known.get(row, 0.0) for row in rows], dtype=np.float64)
        if solution.primal_solution is not None:
            value = solution.primal_solution.variable_values
            stored = np.array([value.get(column, 0.0) for column in x], dtype=np.float64)
    return LpAnswer(stop_reason=stop_reason, duals=duals, stored=stored, reason=reason)


def _failed(reason: str) -> LpAnswer:
    return LpAnswer(stop_reason=StopReason.SOLVER_ERROR, duals=None, stored=None, reason=reason)


def _model(relaxation: Relaxation) -> mathopt.Model:
    """Bring the relaxation into MathOpt, whole arrays at a time."""
    proto = model_pb2.ModelProto()
    count, rows = len(relaxation), relaxation.rows
    proto.variables.ids.extend(range(count))
    proto.variables.lower_bounds.extend(np.zeros(count))
    proto.variables.upper_bounds.extend(np.ones(count))
    proto.variables.integers.extend([False] * count)
    weighted = np.flatnonzero(relaxation.objective)
    proto.objective.maximize = True
    proto.objective.linear_coefficients.ids.extend(weighted)
    proto.objective.linear_coefficients.values.extend(relaxation.objective[weighted])
    proto.linear_constraints.ids.extend(range(rows.num_rows))
    proto.linear_constraints.lower_bounds.extend(np.full(rows.num_rows, -np.inf))
    proto.linear_constraints.upper_bounds.extend(rows.upper)
    order = np.lexsort((rows.column, rows.row))  # MathOpt wants them sorted
    proto.linear_constraint_matrix.row_ids.extend(rows.row[order])
    proto.linear_constraint_matrix.column_ids.extend(rows.column[order])
    proto.linear_constraint_matrix.coefficients.extend(rows.coefficient[order])
    return mathopt.Model.from_model_proto(proto)
