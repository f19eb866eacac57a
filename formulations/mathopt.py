"""HiGHS and SCIP, both through MathOpt of OR-Tools.

While they run, both tell of their bounds in the lines of their logs. SCIP hands its incumbents to a
callback; HiGHS, which never calls MathOpt's callbacks, writes them to a file.
"""

import contextlib
import datetime
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt
from pybind11_abseil.status import StatusNotOk  # type: ignore[import-untyped]  # has none

from formulations.answer import Answer, Report
from formulations.program import Program
from formulations.progress import printed_bound
from instances.deadline import Deadline
from instances.result import StopReason

FEASIBILITY_TOLERANCE = 1e-7
"""Absolute violation of a row, or of wholeness, that solvers may excuse; HiGHS also asks that a new
incumbent be better by this much. Capacity rows are written to suit it. At 1e-9 HiGHS was seen to
throw away the optimum and to prove another."""


HIGHS_LINE = re.compile(r"^ ?[A-Za-z]?(?:\s+\d+[kmg]?){3}\s+[\d.]+%\s+(\S+)\s+(\S+)\s")
"""A line of HiGHS's table: nodes, their queue, leaves, explored; then bound and incumbent."""

SCIP_LINE = re.compile(r"^(?:[^|]*\|){14}\s*(\S+)\s*\|\s*\S+\s*\|[^|]*\|[^|]*$")
"""A line of SCIP's table: the bound is in its fifteenth cell."""

HIGHS_DIGITS, SCIP_DIGITS = 10, 7
"""Significant digits of the bounds in the logs."""


def solve_highs(
    program: Program,
    *,
    start: NDArray[np.float64] | None,
    deadline: Deadline,
    threads: int,
    report: Report | None = None,
) -> Answer:
    """Solve a program with HiGHS.

    Its search is serial, and the number of threads that it starts is fixed for the life of a
    process: a second number would be an error. Hence it gets one, however many are allowed.
    """
    del threads
    parameters = mathopt.SolveParameters()
    for name in ("mip_feasibility", "primal_feasibility", "dual_feasibility"):
        parameters.highs.double_options[f"{name}_tolerance"] = FEASIBILITY_TOLERANCE
    parameters.highs.int_options["threads"] = 1  # MathOpt refuses its own ``threads`` for HiGHS
    if report is None:
        return _solve(program, mathopt.SolverType.HIGHS, parameters, start, deadline)
    with _highs_reporter(program, parameters, report) as on_lines:
        return _solve(
            program, mathopt.SolverType.HIGHS, parameters, start, deadline, on_lines=on_lines
        )


def solve_scip(
    program: Program,
    *,
    start: NDArray[np.float64] | None,
    deadline: Deadline,
    threads: int,
    report: Report | None = None,
) -> Answer:
    """Solve a program with SCIP.

    When incumbents are wanted, GSCIP prints an error of two lines about an event that it cannot
    watch for; nothing is missing for it.
    """
    parameters = mathopt.SolveParameters(threads=threads)
    # Cuts beyond the root cost more than they prune here: proofs take a fifth less without.
    parameters.gscip.int_params["separating/maxrounds"] = 0
    for name in ("feastol", "dualfeastol"):
        parameters.gscip.real_params[f"numerics/{name}"] = FEASIBILITY_TOLERANCE
    solver = mathopt.SolverType.GSCIP
    if report is None:
        return _solve(program, solver, parameters, start, deadline)
    return _solve(
        program,
        solver,
        parameters,
        start,
        deadline,
        on_lines=lambda lines: report(bound=read_bounds(lines, SCIP_LINE, SCIP_DIGITS)),
        on_values=lambda values: report(values=values),
    )


@contextlib.contextmanager
def _highs_reporter(
    program: Program, parameters: mathopt.SolveParameters, report: Report
) -> Iterator[Callable[[Sequence[str]], None]]:
    """Let HiGHS write its incumbents to a file, and read them as its log goes on.

    The file is complete up to the incumbents that the log has told of.
    """
    with tempfile.TemporaryDirectory(prefix="moeplace-highs-") as directory:
        path = Path(directory, "incumbents")
        parameters.highs.bool_options["mip_improving_solution_save"] = True
        parameters.highs.string_options["mip_improving_solution_file"] = str(path)
        seen_bytes = 0

        def on_lines(lines: Sequence[str]) -> None:
            nonlocal seen_bytes
            bound = read_bounds(lines, HIGHS_LINE, HIGHS_DIGITS)
            size = path.stat().st_size if path.exists() else 0
            values = None
            if size > seen_bytes:
                seen_bytes = size
                values = read_incumbent(path.read_text(), len(program))
            report(values=values, bound=bound)

        yield on_lines


def read_bounds(lines: Sequence[str], pattern: re.Pattern[str], digits: int) -> float:
    """Return the best bound that lines of a log tell, infinite when they tell none."""
    told = [pattern.match(line) for line in lines]
    return min((printed_bound(one[1], digits) for one in told if one), default=math.inf)


def read_incumbent(text: str, num_columns: int) -> NDArray[np.float64] | None:
    """Return the values of the last whole solution in HiGHS's file of them; float64 (columns,).

    Each solution is a line ``Objective ...``, a line ``# Columns ...``, a line for each column.
    """
    for solution in reversed(text.split("Objective ")):
        values = solution.split("\n")[2:-1]
        if len(values) >= num_columns:
            return np.array([float(value) for value in values[:num_columns]])
    return None


def build_model(program: Program) -> mathopt.Model:
    """Bring a program into MathOpt, whole arrays at a time: column j becomes variable j."""
    proto = model_pb2.ModelProto()
    _add_variables(proto, program)
    _add_objective(proto, program)
    _add_constraints(proto, program)
    return mathopt.Model.from_model_proto(proto)


def _add_variables(proto: model_pb2.ModelProto, program: Program) -> None:
    count = len(program)
    proto.variables.ids.extend(range(count))
    proto.variables.lower_bounds.extend(np.zeros(count))
    proto.variables.upper_bounds.extend(program.upper)
    proto.variables.integers.extend(program.is_whole.tolist())


def _add_objective(proto: model_pb2.ModelProto, program: Program) -> None:
    proto.objective.maximize = True
    weighted = np.flatnonzero(program.objective)
    proto.objective.linear_coefficients.ids.extend(weighted)
    proto.objective.linear_coefficients.values.extend(program.objective[weighted])


def _add_constraints(proto: model_pb2.ModelProto, program: Program) -> None:
    rows = program.rows
    proto.linear_constraints.ids.extend(range(rows.num_rows))
    proto.linear_constraints.lower_bounds.extend(np.full(rows.num_rows, -np.inf))
    proto.linear_constraints.upper_bounds.extend(rows.upper)
    order = np.lexsort((rows.column, rows.row))  # MathOpt wants them sorted
    proto.linear_constraint_matrix.row_ids.extend(rows.row[order])
    proto.linear_constraint_matrix.column_ids.extend(rows.column[order])
    proto.linear_constraint_matrix.coefficients.extend(rows.coefficient[order])


def _solve(
    program: Program,
    solver: mathopt.SolverType,
    parameters: mathopt.SolveParameters,
    start: NDArray[np.float64] | None,
    deadline: Deadline,
    *,
    on_lines: Callable[[Sequence[str]], None] | None = None,
    on_values: Callable[[NDArray[np.float64]], None] | None = None,
) -> Answer:
    model = build_model(program)
    variables = list(model.variables())
    advice = mathopt.ModelSolveParameters()
    if solver is mathopt.SolverType.GSCIP:  # HiGHS takes none
        first = np.flatnonzero(program.branch_first).tolist()
        advice.branching_priorities = {variables[j]: 1 for j in first}
    if start is not None:
        values = dict(zip(variables, start.tolist(), strict=True))
        advice.solution_hints.append(mathopt.SolutionHint(variable_values=values))
    parameters.relative_gap_tolerance = 0.0
    parameters.absolute_gap_tolerance = 0.0
    if math.isfinite(deadline.at):
        if deadline.passed:
            return Answer.nothing(StopReason.TIME_LIMIT)
        parameters.time_limit = datetime.timedelta(seconds=deadline.remaining)
    callback: dict[str, Any] = {} if on_lines is None else {"msg_cb": on_lines}
    if on_values is not None:
        callback["callback_reg"] = mathopt.CallbackRegistration(events={mathopt.Event.MIP_SOLUTION})
        callback["cb"] = _hand_over(on_values, variables)
    try:
        result = mathopt.solve(
            model,
            solver,
            params=parameters,
            model_params=advice,
            **callback,
        )
    except AttributeError as error:
        # MathOpt 9.15 fails while it translates the solver's message, which is chained instead
        # (https://github.com/google/or-tools/issues/4606).
        if not isinstance(error.__context__, StatusNotOk):
            raise
        return Answer.nothing(StopReason.SOLVER_ERROR, reason=str(error.__context__))
    except (RuntimeError, ValueError) as error:  # what MathOpt documents, once it is mended
        return Answer.nothing(StopReason.SOLVER_ERROR, reason=str(error))
    return read_result(result, variables)


def _hand_over(
    on_values: Callable[[NDArray[np.float64]], None], variables: list[mathopt.Variable]
) -> Callable[[mathopt.CallbackData], mathopt.CallbackResult]:
    """Make a callback that hands new incumbents on."""

    def callback(data: mathopt.CallbackData) -> mathopt.CallbackResult:
        if data.solution is not None:
            on_values(np.array([data.solution[variable] for variable in variables]))
        return mathopt.CallbackResult()

    return callback


def read_result(result: mathopt.SolveResult, variables: list[mathopt.Variable]) -> Answer:
    """Read a MathOpt result: only OPTIMAL is a proof, and only a limit keeps what was found."""
    stop_reason, reason = _stop_reason(result.termination)
    bound = result.dual_bound()
    nodes = result.solve_stats.node_count
    if stop_reason is StopReason.SOLVER_ERROR:
        return Answer.nothing(stop_reason, reason=reason)
    if not result.has_primal_feasible_solution():
        return Answer.nothing(stop_reason, bound=bound, reason=reason, nodes=nodes)
    return Answer(
        stop_reason=stop_reason,
        proven_optimal=result.termination.reason is mathopt.TerminationReason.OPTIMAL,
        values=np.array(result.variable_values(variables)),
        objective=result.objective_value(),
        bound=bound,
        reason=reason,
        nodes=nodes,
    )


def _stop_reason(termination: mathopt.Termination) -> tuple[StopReason, str]:
    reasons = mathopt.TerminationReason
    if termination.reason is reasons.OPTIMAL:
        return StopReason.COMPLETED, ""
    if termination.reason in (reasons.FEASIBLE, reasons.NO_SOLUTION_FOUND):
        if termination.limit is mathopt.Limit.TIME:
            return StopReason.TIME_LIMIT, ""
        if termination.limit is mathopt.Limit.MEMORY:
            return StopReason.MEMORY_LIMIT, "the solver reached its memory limit"
    # Storing nothing is always feasible and savings are finite, so every other answer is wrong.
    limit = f", limit {termination.limit.name}" if termination.limit else ""
    detail = f": {termination.detail}" if termination.detail else ""
    return (
        StopReason.SOLVER_ERROR,
        f"the solver ended with {termination.reason.name}{limit}{detail}",
    )
