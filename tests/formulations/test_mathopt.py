import datetime
import math

import numpy as np
import pytest
from ortools.math_opt.python import mathopt

from formulations.compact import build_compact
from formulations.mathopt import build_model, read_result, solve_highs, solve_scip
from formulations.program import Program
from instances.deadline import Deadline
from instances.result import StopReason
from instances.structure.clauses import build_clauses
from tests.formulations.rules import RULES

Reason = mathopt.TerminationReason
Limit = mathopt.Limit


@pytest.fixture(scope="module")
def program() -> Program:
    instance, _ = RULES["a_pair_may_be_split_over_two_servers"]()
    return build_compact(instance, build_clauses(instance))


def result(
    reason: Reason, limit: Limit | None, *, objective: float | None, bound: float, detail: str = ""
) -> tuple[mathopt.SolveResult, list[mathopt.Variable]]:
    model = mathopt.Model()
    variables = [model.add_binary_variable() for _ in range(2)]
    solutions = []
    if objective is not None:
        primal = mathopt.PrimalSolution(
            variable_values={variables[0]: 1.0, variables[1]: 0.0},
            objective_value=objective,
            feasibility_status=mathopt.SolutionStatus.FEASIBLE,
        )
        solutions.append(mathopt.Solution(primal_solution=primal))
    termination = mathopt.Termination(
        reason=reason,
        limit=limit,
        detail=detail,
        objective_bounds=mathopt.ObjectiveBounds(
            primal_bound=-math.inf if objective is None else objective, dual_bound=bound
        ),
    )
    return mathopt.SolveResult(termination=termination, solutions=solutions), variables


def test_only_optimal_is_a_proof() -> None:
    answer = read_result(*result(Reason.OPTIMAL, None, objective=3.0, bound=3.0))
    assert answer.stop_reason is StopReason.COMPLETED
    assert answer.proven_optimal
    assert (answer.objective, answer.bound) == (3.0, 3.0)
    assert answer.values is not None
    assert answer.values.tolist() == [1.0, 0.0]


def test_a_time_limit_keeps_what_was_found_and_the_bound() -> None:
    answer = read_result(*result(Reason.FEASIBLE, Limit.TIME, objective=3.0, bound=5.0))
    assert answer.stop_reason is StopReason.TIME_LIMIT
    assert not answer.proven_optimal
    assert (answer.objective, answer.bound) == (3.0, 5.0)


@pytest.mark.parametrize("bound", [5.0, math.inf])
def test_a_time_limit_without_a_solution(bound: float) -> None:
    answer = read_result(*result(Reason.NO_SOLUTION_FOUND, Limit.TIME, objective=None, bound=bound))
    assert answer.stop_reason is StopReason.TIME_LIMIT
    assert answer.values is None
    assert math.isnan(answer.objective)
    assert answer.bound == bound


def test_equal_bounds_at_a_time_limit_are_no_proof() -> None:
    answer = read_result(*result(Reason.FEASIBLE, Limit.TIME, objective=3.0, bound=3.0))
    assert not answer.proven_optimal


def test_a_memory_limit_says_so() -> None:
    answer = read_result(*result(Reason.FEASIBLE, Limit.MEMORY, objective=3.0, bound=5.0))
    assert answer.stop_reason is StopReason.MEMORY_LIMIT
    assert answer.reason


@pytest.mark.parametrize(
    ("reason", "limit"),
    [
        (Reason.INFEASIBLE, None),
        (Reason.UNBOUNDED, None),
        (Reason.INFEASIBLE_OR_UNBOUNDED, None),
        (Reason.IMPRECISE, None),
        (Reason.NUMERICAL_ERROR, None),
        (Reason.OTHER_ERROR, None),
        (Reason.FEASIBLE, Limit.UNDETERMINED),
        (Reason.FEASIBLE, Limit.NODE),
        (Reason.NO_SOLUTION_FOUND, Limit.OTHER),
    ],
)
def test_every_other_end_is_an_error(reason: Reason, limit: Limit | None) -> None:
    answer = read_result(*result(reason, limit, objective=3.0, bound=3.0, detail="so it is"))
    assert answer.stop_reason is StopReason.SOLVER_ERROR
    assert answer.values is None
    assert answer.bound == math.inf
    assert reason.name in answer.reason
    assert "so it is" in answer.reason
    if limit is not None:
        assert limit.name in answer.reason


def test_the_model_is_the_program(program: Program) -> None:
    model = build_model(program)
    assert [v.integer for v in model.variables()] == program.is_whole.tolist()
    assert [v.upper_bound for v in model.variables()] == program.upper.tolist()
    assert [c.upper_bound for c in model.linear_constraints()] == program.rows.upper.tolist()
    assert model.objective.is_maximize
    entries = {
        (entry.linear_constraint.id, entry.variable.id): entry.coefficient
        for entry in model.linear_constraint_matrix_entries()
    }
    rows = program.rows
    triplets = zip(rows.row.tolist(), rows.column.tolist(), rows.coefficient, strict=True)
    assert entries == {(row, column): value for row, column, value in triplets}
    weights = {term.variable.id: term.coefficient for term in model.objective.linear_terms()}
    assert weights == {j: program.objective[j] for j in np.flatnonzero(program.objective)}


@pytest.mark.parametrize("solve", [solve_highs, solve_scip])
def test_gap_tolerances_are_zero_and_the_limits_are_passed_on(
    solve, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def watch(model, solver, *, params, model_params):
        seen.update(solver=solver, params=params, hints=model_params.solution_hints)
        return original(model, solver, params=params, model_params=model_params)

    original = mathopt.solve
    monkeypatch.setattr(mathopt, "solve", watch)
    start = np.zeros(len(program))
    answer = solve(program, start=start, deadline=Deadline.after(60.0), threads=2)
    assert answer.proven_optimal
    params = seen["params"]
    assert (params.relative_gap_tolerance, params.absolute_gap_tolerance) == (0.0, 0.0)
    assert datetime.timedelta(seconds=50) < params.time_limit <= datetime.timedelta(seconds=60)
    assert len(seen["hints"][0].variable_values) == len(program)
    if seen["solver"] is mathopt.SolverType.HIGHS:
        assert params.highs.int_options["threads"] == 1  # it cannot have another number later
        assert params.threads is None
    else:
        assert params.threads == 2


@pytest.mark.parametrize("solve", [solve_highs, solve_scip])
def test_no_time_left_is_a_time_limit(solve, program: Program) -> None:
    answer = solve(program, start=None, deadline=Deadline.after(0.0), threads=1)
    assert answer.stop_reason is StopReason.TIME_LIMIT
    assert answer.values is None


def test_the_message_of_a_failing_solver_is_told(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MathOpt loses the message while it translates it; it is chained to the exception.
    original = mathopt.solve

    def misuse(model, solver, *, params, model_params):
        params.highs.double_options["no_such_option"] = 1.0
        return original(model, solver, params=params, model_params=model_params)

    monkeypatch.setattr(mathopt, "solve", misuse)
    answer = solve_highs(program, start=None, deadline=Deadline.after(None), threads=1)
    assert answer.stop_reason is StopReason.SOLVER_ERROR
    assert "no_such_option" in answer.reason


def test_errors_of_ours_are_not_mistaken_for_the_solver_s(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args, **kwargs):
        raise AttributeError("ours")

    monkeypatch.setattr(mathopt, "solve", broken)
    with pytest.raises(AttributeError, match="ours"):
        solve_highs(program, start=None, deadline=Deadline.after(None), threads=1)


def test_documented_errors_are_told(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args, **kwargs):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(mathopt, "solve", broken)
    answer = solve_scip(program, start=None, deadline=Deadline.after(None), threads=1)
    assert answer.stop_reason is StopReason.SOLVER_ERROR
    assert answer.reason == "out of luck"
