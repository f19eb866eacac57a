import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest

from formulations import EXACT, methods, milp
from formulations.answer import Answer
from formulations.compact import build_compact
from formulations.mathopt import solve_highs, solve_scip
from formulations.milp import read_outcome, solve_closely
from formulations.program import Program
from formulations.pulp_cbc import solve_cbc
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import Status, StopReason, judge
from instances.structure.clauses import build_clauses
from tests.formulations.rules import RULES

RNG = np.random.default_rng(0)
MILPS = [algorithm.name for algorithm in EXACT if algorithm.name.startswith("milp")]


@pytest.fixture(scope="module")
def hard() -> Instance:
    """Far from proven within seconds by any MILP solver."""
    return generate("mixtral", size="medium", seed=0)


@pytest.fixture(scope="module")
def best(hard: Instance) -> Placement:
    placement = run(EXACT.get("layer-enumeration"), hard, rng=RNG).placement
    assert placement is not None
    return placement


def small() -> tuple[Instance, Program]:
    instance, _ = RULES["both_experts_of_a_pair_are_needed"]()
    return instance, build_compact(instance, build_clauses(instance))


def answer(values: list[float], objective: float, bound: float, *, proven: bool = True) -> Answer:
    return Answer(
        stop_reason=StopReason.COMPLETED if proven else StopReason.TIME_LIMIT,
        proven_optimal=proven,
        values=np.array(values),
        objective=objective,
        bound=bound,
        reason="",
    )


def test_importing_the_room_imports_no_solver() -> None:
    code = (
        "import sys, formulations; "
        "print([m for m in ('ortools', 'pulp', 'cbcbox', 'highspy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MILPS)
@pytest.mark.parametrize("time_limit", [0.0, 0.05, 0.5])
def test_a_time_limit_is_never_optimal(name: str, time_limit: float, hard: Instance) -> None:
    outcome = run(EXACT.get(name), hard, rng=RNG, time_limit=time_limit)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert not outcome.proven_optimal
    result = judge(hard, outcome, seconds=time_limit)
    assert result.status in (Status.FEASIBLE, Status.NO_SOLUTION)
    assert result.bound_saving_ms > 0.0
    if outcome.placement is None:
        assert math.isnan(outcome.claimed_saving_ms)
    else:
        assert outcome.bound_saving_ms >= outcome.claimed_saving_ms


@pytest.mark.parametrize("name", MILPS)
def test_no_time_leaves_the_start(name: str, hard: Instance, best: Placement) -> None:
    outcome = run(EXACT.get(name), hard, rng=RNG, time_limit=0.0, start=best)
    assert outcome.placement is best
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert not outcome.proven_optimal
    assert outcome.claimed_saving_ms == evaluate(hard, best).saving_ms
    assert outcome.bound_saving_ms == math.inf


@pytest.mark.parametrize("solve", [solve_highs, solve_scip, solve_cbc])
def test_solvers_start_from_the_start(solve, hard: Instance, best: Placement) -> None:
    # None of them finds the optimum by itself in that time.
    program = build_compact(hard, build_clauses(hard))
    values = program.values(best)
    for time_limit in (0.5, 2.0, 8.0, 32.0):  # until even a busy machine has read it
        found = solve(program, start=values, deadline=Deadline.after(time_limit), threads=1)
        if found.values is not None:
            break
    assert found.objective == pytest.approx(float(program.objective @ values), rel=1e-9)


@pytest.mark.parametrize("name", [algorithm.name for algorithm in EXACT if algorithm.takes_start])
def test_an_optimal_start_stays_optimal(name: str) -> None:
    instance, optimum_ms = RULES["the_nearer_server_saves_more"]()
    start = Placement.of(instance, [(0, 0), (1, 1)])
    outcome = run(EXACT.get(name), instance, rng=RNG, start=start)
    result = judge(instance, outcome, seconds=0.0)
    assert (result.status, result.saving_ms) == (Status.OPTIMAL, optimum_ms)


@pytest.mark.parametrize("name", [*MILPS, "brute-force"])
def test_a_start_that_does_not_fit_is_refused(name: str) -> None:
    instance, _ = RULES["capacity_binds"]()
    start = Placement.of(instance, [(0, 0), (0, 1), (0, 2)])
    with pytest.raises(InputError, match=r"start: server 's0' holds 3 bytes .* capacity is 2"):
        run(EXACT.get(name), instance, rng=RNG, start=start)
    with pytest.raises(InputError, match=r"shape \(1, 2\) is not"):
        run(EXACT.get(name), instance, rng=RNG, start=Placement(np.zeros((1, 2), dtype=np.bool_)))


@pytest.mark.parametrize("name", MILPS)
@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_are_a_positive_whole_number(name: str, threads: object) -> None:
    with pytest.raises(InputError, match=r"threads: .* is not a whole number >= 1"):
        run(EXACT.get(name), small()[0], rng=RNG, threads=threads)


@pytest.mark.parametrize("name", MILPS)
def test_threads_may_change_within_a_process(name: str) -> None:
    instance, optimum_ms = RULES["sizes_make_a_knapsack"]()
    for threads in (2, 1):
        outcome = run(EXACT.get(name), instance, rng=RNG, threads=threads)
        assert outcome.proven_optimal, outcome.reason
        assert outcome.claimed_saving_ms == pytest.approx(optimum_ms)


def test_values_become_a_placement() -> None:
    instance, program = small()
    outcome = read_outcome(instance, program, answer([1, 1 - 1e-7, 1e-7, 1], 7.0, 8.0))
    assert outcome.placement is not None
    assert outcome.placement.stored.tolist() == [[True, True, False]]
    assert outcome.claimed_saving_ms == 7.0 * program.unit_ms
    assert outcome.bound_saving_ms == 8.0 * program.unit_ms


@pytest.mark.parametrize("x", [0.5, 1.1, -0.1, math.nan])
def test_values_that_are_not_whole_are_an_error(x: float) -> None:
    instance, program = small()
    outcome = read_outcome(instance, program, answer([1, x, 0, 0], 7.0, 7.0))
    assert outcome.stop_reason is StopReason.SOLVER_ERROR
    assert outcome.placement is None
    assert "away from a whole number" in outcome.reason
    assert not outcome.proven_optimal


def test_overfull_servers_are_an_error() -> None:
    instance, program = small()
    outcome = read_outcome(instance, program, answer([1, 1, 1, 1], 7.0, 7.0))
    assert outcome.stop_reason is StopReason.SOLVER_ERROR
    assert outcome.placement is None
    assert "hold 3 bytes where its capacity is 2" in outcome.reason
    assert outcome.bound_saving_ms == math.inf


def test_an_answer_without_values_keeps_its_bound() -> None:
    instance, program = small()
    nothing = Answer.nothing(StopReason.TIME_LIMIT, bound=9.0)
    outcome = read_outcome(instance, program, nothing)
    assert outcome.placement is None
    assert outcome.bound_saving_ms == 9.0 * program.unit_ms
    unknown = read_outcome(instance, program, Answer.nothing(StopReason.TIME_LIMIT))
    assert unknown.bound_saving_ms == math.inf


def solve_with(monkeypatch: pytest.MonkeyPatch, instance: Instance, start, given: Answer):
    """Run a MILP method whose solver gives a certain answer."""
    monkeypatch.setattr("formulations.mathopt.solve_highs", lambda program, **options: given)
    return methods.milp_compact(instance, rng=RNG, start=start)


def test_a_solver_that_calls_less_than_the_start_optimal_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance, program = small()
    start = Placement.of(instance, [(0, 0), (0, 1)])  # 3 ms
    two = 2.0 / program.unit_ms
    outcome = solve_with(monkeypatch, instance, start, answer([0, 0, 1, 0], two, two))
    assert outcome.stop_reason is StopReason.SOLVER_ERROR
    assert outcome.reason == "the solver calls a saving of 2.0 ms optimal; the start saves 3.0"


def test_the_start_is_returned_where_the_solver_found_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance, program = small()
    start = Placement.of(instance, [(0, 0), (0, 1)])
    less = answer([0, 0, 1, 0], 2.0 / program.unit_ms, 4.0 / program.unit_ms, proven=False)
    outcome = solve_with(monkeypatch, instance, start, less)
    assert outcome.placement is start
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert (outcome.claimed_saving_ms, outcome.bound_saving_ms) == (3.0, 4.0)
    assert not outcome.proven_optimal


def test_the_start_is_returned_where_it_is_better_by_a_tolerance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Both halves of a tie that is none: expert 0 is worth 1e-9 more.
    instance, _ = RULES["models_compete_for_a_server"]()
    instance = dataclasses.replace(instance, demand_rate=np.array([7.0 * (1 + 1e-9), 7.0]))
    program = build_compact(instance, build_clauses(instance))
    better = Placement.of(instance, [(0, 0), (0, 1)])
    worse = Placement.of(instance, [(0, 2), (0, 3)])
    seven = 7.0 / program.unit_ms
    given = answer(program.values(worse).tolist(), seven, seven)
    outcome = solve_with(monkeypatch, instance, better, given)
    assert outcome.placement is better
    assert outcome.proven_optimal
    assert outcome.claimed_saving_ms == outcome.bound_saving_ms == 7.0 * (1 + 1e-9)


def test_an_error_is_not_covered_up_by_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    instance, _ = small()
    error = Answer.nothing(StopReason.SOLVER_ERROR, reason="out of luck")
    outcome = solve_with(monkeypatch, instance, Placement.empty(instance), error)
    assert outcome.stop_reason is StopReason.SOLVER_ERROR
    assert outcome.placement is None
    assert outcome.reason == "out of luck"


def test_small_optima_are_looked_at_again_on_a_larger_scale() -> None:
    instance, _ = RULES["a_pair_that_fits_one_by_one_but_not_together"]()
    instance = dataclasses.replace(instance, demand_rate=np.array([1e9, 0.001, 0.002]))
    program = build_compact(instance, build_clauses(instance))
    seen: list[Program] = []

    def blind(program: Program, *, start, deadline, threads, report) -> Answer:
        """Overlook savings below 1e-6 units, as solvers do with some below 1e-7."""
        seen.append(program)
        values = np.zeros(len(program))
        best = float(program.objective[:2].max())
        if best >= 1e-6:
            values[int(program.objective[:2].argmax())] = 1.0
        value = float(program.objective @ values)
        return answer(values.tolist(), value, value)

    closer, found = solve_closely(program, blind, None, Deadline.after(None), 1)
    assert found.objective * closer.unit_ms == pytest.approx(0.002)
    assert found.objective >= milp.TRUSTED_OBJECTIVE
    units = [program.unit_ms for program in seen]
    assert len(units) == 3
    assert units == sorted(units, reverse=True)


def test_nothing_to_save_needs_no_solver() -> None:
    def unused(program: Program, *, start, deadline, threads, report) -> Answer:
        raise NotImplementedError

    instance, _ = RULES["no_storage"]()
    program = build_compact(instance, build_clauses(instance))
    _, found = solve_closely(program, unused, None, Deadline.after(None), 1)
    assert found.proven_optimal
    assert (found.objective, found.bound) == (0.0, 0.0)


def test_answers_do_not_contradict_themselves() -> None:
    good = answer([1.0], 1.0, 1.0)
    with pytest.raises(ValueError, match="without values or without a bound"):
        dataclasses.replace(good, bound=math.inf)
    with pytest.raises(ValueError, match="an optimum, but stopped because of time_limit"):
        dataclasses.replace(good, stop_reason=StopReason.TIME_LIMIT)
    with pytest.raises(ValueError, match="objective nan and values"):
        dataclasses.replace(good, objective=math.nan)
