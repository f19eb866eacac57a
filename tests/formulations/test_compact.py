import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formulations import EXACT, methods
from formulations.capacity import DIGIT, MAX_SINGLE_ROW
from formulations.columns import build_columns
from formulations.compact import build_compact
from formulations.program import OBJECTIVE_SCALE, Program, objective_unit
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses
from tests.formulations.rules import RULES, one_layer
from tests.strategies import instances, placements


def compact(instance: Instance) -> Program:
    return build_compact(instance, build_clauses(instance))


def rows_hold(program: Program, values: np.ndarray) -> bool:
    activity = np.zeros(program.rows.num_rows)
    np.add.at(activity, program.rows.row, program.rows.coefficient * values[program.rows.column])
    return bool(np.all(activity <= program.rows.upper))


@given(st.data())
def test_the_objective_is_the_saving_and_feasible_placements_keep_all_rows(
    data: st.DataObject,
) -> None:
    instance = data.draw(instances())
    placement = data.draw(placements(instance))
    program = compact(instance)
    values = program.values(placement)
    saving_ms = float(program.objective @ values) * program.unit_ms
    assert saving_ms == pytest.approx(evaluate(instance, placement).saving_ms, rel=1e-9, abs=1e-12)
    assert rows_hold(program, values)
    assert np.all(values <= program.upper)


@given(seed=st.integers(0, 10**6), bits=st.sampled_from([1, 12, 20, 33, 45, 55]))
def test_capacity_rows_hold_if_and_only_if_the_bytes_fit(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    experts = int(rng.integers(2, 9))
    sizes = rng.integers(1, 2**bits, (1, experts), endpoint=True)
    near = int(sizes[0, rng.random(experts) < 0.6].sum()) + int(rng.integers(-1, 2))
    instance = one_layer(
        rows=[(0, [e], 1.0) for e in range(experts)],
        capacity=[max(near, 0)],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=sizes.tolist(),
    )
    program = compact(instance)
    fits_alone = sizes[0] <= instance.capacity_bytes[0]
    for mask in range(2**experts):
        stored = ((mask >> np.arange(experts)) & 1).astype(bool) & fits_alone
        values = program.values(Placement(stored[None, :]))
        assert rows_hold(program, values) == (sizes[0, stored].sum() <= instance.capacity_bytes[0])
        assert np.all(values <= program.upper)


def test_large_capacities_become_small_numbers() -> None:
    instance, _ = RULES["one_byte_too_many"]()
    program = compact(instance)
    assert np.abs(program.rows.coefficient).max() <= MAX_SINGLE_ROW
    assert program.rows.upper.max() <= MAX_SINGLE_ROW
    assert len(program) - len(program.columns) == program.carry_row.size == 3  # 2**41 = D**3 * 32
    assert DIGIT**3 * 32 == 2**41
    assert program.is_whole[len(program.columns) :].all()


def test_common_divisors_leave_one_row_of_small_numbers() -> None:
    # 7 GB hold two experts of 3 GB: 2 of 3 units.
    instance = one_layer(
        rows=[(0, [e], 1.0) for e in range(3)],
        capacity=[7 * 10**9],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[3 * 10**9] * 3],
    )
    rows = compact(instance).rows
    assert (rows.coefficient.tolist(), rows.upper.tolist()) == ([1.0, 1.0, 1.0], [2.0])


def test_roomy_servers_have_no_row() -> None:
    instance, _ = RULES["capacity_binds"]()
    roomy = dataclasses.replace(instance, capacity_bytes=np.array([3]))
    assert compact(instance).rows.num_rows == 1
    assert compact(roomy).rows.num_rows == 0


def test_only_what_matters_has_a_column() -> None:
    # s0 is too small for expert 2; s2 beats the cloud for nobody; u0 and u1 want the pair {0, 1}
    # within s0 and within s0, s1; u0 wants expert 2, and expert 3 is wanted by nobody.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0), (1, [0, 1], 1.0), (0, [2], 1.0)],
        capacity=[4, 9, 9],
        latency=[[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]],
        cloud=[4.0, 4.0],
        sizes=[[2, 2, 5, 1]],
    )
    columns = build_columns(instance, build_clauses(instance))
    pairs = list(zip(columns.x_server.tolist(), columns.x_expert.tolist(), strict=True))
    assert pairs == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    # y: expert 0 and expert 1 within s0, s1. Within s0 alone, y is x; so it is for expert 2.
    assert columns.y_sources.reshape(-1, 2).tolist() == [[0, 2], [1, 3]]
    # z: the pair within s0 (two users, 1 * (2 - 1) each), and within s0, s1 (two, (4 - 2) each).
    assert columns.z_parts.reshape(-1, 2).tolist() == [[0, 1], [5, 6]]
    # Expert 2 on s1: 4 - 2 on its own x, as s0 cannot hold it.
    assert columns.weight_ms.tolist() == [0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 2.0, 4.0]


def test_useless_copies_are_left_out_and_nothing_else() -> None:
    instance, _ = RULES["three_experts_together"]()
    columns = build_columns(instance, build_clauses(instance))
    assert columns.x_expert.tolist() == [0, 1, 2, 3]
    stored = np.array([True, False, True, True])  # 0 and 2 without 1 satisfy nothing
    assert columns.placement(stored).stored.tolist() == [[False, False, False, True]]
    stored = np.array([True, True, False, True])
    assert columns.placement(stored).stored.tolist() == [stored.tolist()]


@given(st.data())
def test_leaving_out_useless_copies_keeps_the_saving(data: st.DataObject) -> None:
    instance = data.draw(instances())
    placement = data.draw(placements(instance))
    columns = build_columns(instance, build_clauses(instance))
    lean = columns.placement(placement.stored[columns.x_server, columns.x_expert])
    assert np.all(lean.stored <= placement.stored)
    saving_ms = evaluate(instance, placement).saving_ms
    assert evaluate(instance, lean).saving_ms == pytest.approx(saving_ms, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("saving_ms", [5e-324, 1e-30, 0.3, 1.0, 1024.0, 1e18])
def test_objectives_are_scaled_by_powers_of_two(saving_ms: float) -> None:
    unit_ms = objective_unit(saving_ms)
    assert np.frexp(unit_ms)[0] == 0.5
    if saving_ms > 1e-290:
        assert OBJECTIVE_SCALE / 2 <= saving_ms / unit_ms <= OBJECTIVE_SCALE
    assert objective_unit(0.0) == 1.0


def test_below_drops_what_cannot_be_gained_and_scales_the_rest() -> None:
    # The pair weighs 1000, the rest 0.003; once it is known that 0.002 is all that can be saved,
    # the pair goes and 0.004 stands for the whole scale.
    program = compact(RULES["a_pair_that_fits_one_by_one_but_not_together"]()[0])
    closer = program.below(0.004 / program.unit_ms)
    assert (closer.objective * closer.unit_ms).tolist() == pytest.approx([0.001, 0.002, 0.0])
    assert OBJECTIVE_SCALE / 2 <= 0.004 / closer.unit_ms <= OBJECTIVE_SCALE
    assert closer.rows is program.rows


def test_programs_with_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two users want the pair {0, 1} within two servers: 2 capacity rows of 2 entries, 2 y of 3
    # entries, and z within s0 and within both, 2 * 2 entries each. Estimate: 4 + 2 * 2 * 2 * 5.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0), (1, [0, 1], 1.0)],
        capacity=[1, 1],
        latency=[[1.0, 2.0], [1.0, 2.0]],
        cloud=[4.0, 4.0],
        sizes=[[1, 1]],
    )
    entries = compact(instance).rows.row.size
    assert entries == 2 * 2 + 2 * 3 + 2 * 4
    cbc = EXACT.get("milp-compact-cbc")
    for limit, refused in ((44, False), (18, False), (17, True), (1, True)):
        monkeypatch.setattr(methods, "MAX_ENTRIES_CBC", limit)
        reason = cbc.supports(instance)
        assert (reason is not None) == refused
        if reason is not None:
            assert reason.endswith(f"matrix entries; at most {limit} are solved")
    assert EXACT.get("milp-compact").supports(instance) is None


@given(instances(max_servers=4, max_rows=40))
def test_the_quick_estimate_is_never_too_low(instance: Instance) -> None:
    assert compact(instance).rows.row.size <= methods.most_entries(instance)
