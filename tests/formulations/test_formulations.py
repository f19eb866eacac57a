"""Formulations as such: what is feasible, what a placement is worth, how tight they relax."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.math_opt.python import mathopt

from formulations import EXACT, layer_columns
from formulations.aggregated import build_aggregated
from formulations.columns import build_columns
from formulations.compact import build_compact
from formulations.layer_columns import LayerColumns, build_layer_columns, joint_layers
from formulations.lifted import build_lifted, groups, lifted_rows, most_together
from formulations.mathopt import build_model
from formulations.program import Program
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import Status, StopReason, judge
from instances.structure.clauses import build_clauses
from tests.formulations.rules import RULES, one_layer
from tests.strategies import instances, placements, random_instance

RNG = np.random.default_rng(0)


def columns_program(instance: Instance) -> Program:
    program = build_layer_columns(instance, build_clauses(instance), Deadline.after(None))
    assert program is not None
    return program


BUILDERS = {
    "compact": lambda instance: build_compact(instance, build_clauses(instance)),
    "aggregated": lambda instance: build_aggregated(instance, build_clauses(instance)),
    "lifted": lambda instance: build_lifted(instance, build_clauses(instance)),
    "columns": columns_program,
}


def rows_hold(program: Program, values: np.ndarray) -> bool:
    activity = np.zeros(program.rows.num_rows)
    np.add.at(activity, program.rows.row, program.rows.coefficient * values[program.rows.column])
    slack = 1e-12 * np.abs(program.rows.coefficient).max(initial=1.0)
    return bool(np.all(activity <= program.rows.upper + slack))


def relaxation_ms(program: Program) -> float:
    if not program.objective.any():
        return 0.0
    model = build_model(program)
    for variable in model.variables():
        variable.integer = False
    result = mathopt.solve(model, mathopt.SolverType.GLOP)
    return result.objective_value() * program.unit_ms


@settings(max_examples=40)
@given(st.data())
@pytest.mark.parametrize("name", BUILDERS)
def test_feasible_placements_are_feasible_and_worth_what_they_save(
    name: str, data: st.DataObject
) -> None:
    instance = data.draw(instances(max_servers=4, max_rows=30))
    placement = data.draw(placements(instance))
    program = BUILDERS[name](instance)
    values = program.values(placement)
    assert rows_hold(program, values)
    assert np.all(values <= program.upper)
    saving_ms = evaluate(instance, placement).saving_ms
    worth_ms = float(program.objective @ values) * program.unit_ms
    if name == "columns":  # a column has the best placement of its counts
        assert worth_ms >= saving_ms * (1.0 - 1e-12)
    else:
        assert worth_ms == pytest.approx(saving_ms, rel=1e-9, abs=1e-12)


@settings(max_examples=40)
@given(st.data())
@pytest.mark.parametrize("name", BUILDERS)
def test_choices_become_a_placement_that_saves_as_much(name: str, data: st.DataObject) -> None:
    instance = data.draw(instances(max_servers=4, max_rows=30))
    program = BUILDERS[name](instance)
    values = program.values(data.draw(placements(instance)))
    placement = program.columns.placement(values[: program.columns.num_choices] > 0.5)
    evaluation = evaluate(instance, placement)
    assert evaluation.feasible
    worth_ms = float(program.objective @ values) * program.unit_ms
    assert evaluation.saving_ms == pytest.approx(worth_ms, rel=1e-9, abs=1e-12)


@settings(max_examples=60)
@given(instances(max_servers=4, max_rows=30))
def test_relaxations_are_ordered(instance: Instance) -> None:
    bound = {name: relaxation_ms(build(instance)) for name, build in BUILDERS.items()}
    slack = 1e-6 * bound["aggregated"] + 1e-12
    assert bound["aggregated"] >= bound["compact"] - slack
    assert bound["compact"] >= bound["lifted"] - slack
    assert bound["lifted"] >= bound["columns"] - slack


# -- aggregated ---------------------------------------------------------------------------------


def test_half_a_pair_is_worth_half_of_it_in_the_aggregated_relaxation() -> None:
    # Room for one of two experts wanted together: nothing is saved, but z = 1/2 is allowed.
    instance = one_layer(
        rows=[(0, [0, 1], 3.0)], capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    assert relaxation_ms(BUILDERS["aggregated"](instance)) == pytest.approx(1.5)
    assert BUILDERS["aggregated"](instance).rows.num_rows == 1 + 1  # storage, and the clause


# -- lifted -------------------------------------------------------------------------------------


def all_pairs(experts: int, capacity: int) -> Instance:
    rows = [(0, list(pair), 1.0) for pair in itertools.combinations(range(experts), 2)]
    return one_layer(
        rows=rows, capacity=[capacity], latency=[[0.0]], cloud=[1.0], sizes=[[1] * experts]
    )


def test_lifted_rows_close_the_gap_of_all_pairs() -> None:
    # 6 experts, room for 3: 3 pairs. Compact: all x = 1/2, so 15 / 2. Lifted: each expert in at
    # most 2 pairs, so the sum of z over pairs is at most 2 * 3 / 2.
    instance = all_pairs(6, 3)
    assert relaxation_ms(BUILDERS["compact"](instance)) == pytest.approx(7.5)
    assert relaxation_ms(BUILDERS["lifted"](instance)) == pytest.approx(3.0)


def test_rows_that_cut_nothing_are_not_written() -> None:
    for experts, capacity, expected in ((6, 6, 0), (6, 5, 6), (4, 3, 4)):
        instance = all_pairs(experts, capacity)
        columns = build_columns(instance, build_clauses(instance))
        assert lifted_rows(instance, columns).num_rows == expected


def test_codegrees_bound_triples_better_than_binomials() -> None:
    # Expert 0 is in the triples {0,1,2}, {0,3,4}, {0,5,6}. Beside it 4 experts fit: comb(4, 2) = 6
    # triples, but every expert is in one of them only, so 4 // 2 = 2. By weights (8, 4, 2): the 4
    # largest codegrees 8 + 8 + 4 + 4, over 2.
    instance = one_layer(
        rows=[(0, [0, 1, 2], 8.0), (0, [0, 3, 4], 4.0), (0, [0, 5, 6], 2.0)],
        capacity=[5],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1] * 7],
    )
    columns = build_columns(instance, build_clauses(instance))
    rows = lifted_rows(instance, columns)
    written = [
        {int(j): float(v) for j, v in zip(rows.column[a:b], rows.coefficient[a:b], strict=True)}
        for a, b in itertools.pairwise(rows.offsets.tolist())
    ]
    first_z = columns.first_z
    assert written[0] == {first_z: 1.0, first_z + 1: 1.0, first_z + 2: 1.0, 0: -2.0}
    assert written[1] == pytest.approx(
        {first_z: 1.0, first_z + 1: 0.5, first_z + 2: 0.25, 0: -12.0 / 8.0}
    )
    assert len(written) == 2  # the other experts are in one triple each


def test_what_servers_hold_together_counts_the_smallest_experts() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)],
        capacity=[5, 4, 1],
        latency=[[0.0, 0.0, 0.0]],
        cloud=[1.0],
        sizes=[[2, 3, 9, 2]],
    )
    for servers, most in (([0], 2), ([1], 2), ([2], 0), ([0, 1], 4), ([0, 1, 2], 4), ([], 0)):
        chosen = np.isin(np.arange(3), servers)
        assert most_together(instance, 0, chosen) == most


@given(instances(max_servers=4, max_rows=30))
def test_every_clause_is_in_one_group(instance: Instance) -> None:
    columns = build_columns(instance, build_clauses(instance))
    found = groups(instance, columns)
    z = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *(group.z for group in found)]))
    assert z.tolist() == list(range(columns.first_z, len(columns)))
    for group in found:
        distinct = {tuple(sorted(parts)) for parts in group.parts.tolist()}
        assert len(distinct) == len(group.z)


# -- layer columns ------------------------------------------------------------------------------


def test_layers_that_are_small_and_joint_become_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = generate("mixed", size="tiny", seed=0)
    assert columns_program(mixed).columns.num_v > 0
    single = generate("switch", size="tiny", seed=0)  # one expert in each clause
    assert columns_program(single).columns.num_v == 0
    unequal, _ = RULES["sizes_make_a_knapsack"]()
    assert columns_program(unequal).columns.num_v == 0
    monkeypatch.setattr(layer_columns, "MAX_JOINT_BITS", 3)
    assert columns_program(mixed).columns.num_v == 0
    monkeypatch.setattr(layer_columns, "MAX_JOINT_BITS", 26)
    monkeypatch.setattr(layer_columns, "MAX_JOINT_BITS_IN_ALL", 16)
    joint = joint_layers(mixed, build_clauses(mixed))
    assert 0 < sum(layer is not None for layer in joint) < len(joint)


def test_columns_and_rows_side_by_side_find_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    # Some layers enumerated, some not, in one program.
    monkeypatch.setattr(layer_columns, "MAX_JOINT_BITS_IN_ALL", 6)
    both = 0
    for seed in range(60):
        instance = random_instance(
            np.random.default_rng(seed),
            max_servers=2,
            max_layers=3,
            max_cells=18,
            top_k=2,
            uniform=True,
            max_rows=40,
        )
        columns = columns_program(instance).columns
        assert isinstance(columns, LayerColumns)
        both += columns.num_v > 0 and len(columns.rest) > 0
        optimum = judge(instance, run(EXACT.get("brute-force"), instance, rng=RNG), seconds=0.0)
        found = judge(instance, run(EXACT.get("milp-columns"), instance, rng=RNG), seconds=0.0)
        assert found.status is Status.OPTIMAL, found.reason
        assert found.saving_ms == pytest.approx(optimum.saving_ms, rel=1e-9, abs=1e-12)
    assert both >= 5


def test_no_time_to_enumerate_leaves_the_start() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    start = Placement.empty(instance)
    outcome = run(EXACT.get("milp-columns"), instance, rng=RNG, time_limit=0.0, start=start)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.placement is start
    assert build_layer_columns(instance, build_clauses(instance), Deadline.after(0.0)) is None


def test_solvers_are_told_to_branch_on_layers_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = mathopt.solve

    def watch(model, solver, *, params, model_params, **callback):
        seen.append(model_params.branching_priorities)
        return original(model, solver, params=params, model_params=model_params, **callback)

    monkeypatch.setattr(mathopt, "solve", watch)
    instance = generate("mixed", size="tiny", seed=0)
    num_v = columns_program(instance).columns.num_v
    for solver in ("scip", "highs"):
        run(EXACT.get("milp-columns"), instance, rng=RNG, solver=solver)
    assert [len(priorities) for priorities in seen] == [num_v, 0]
    assert {variable.id for variable in seen[0]} == set(range(num_v))
