import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heuristics.ejection import EjectionSearch, affordable_cycles
from heuristics.ejection_kernels import State, add_copy, drop_copy, flip, settle, undo, uniform
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import Clauses, build_clauses
from tests.heuristics.test_baselines import one_layer
from tests.heuristics.test_successive import best_saving
from tests.strategies import instances, placements, random_instance

NO_LIMIT = Deadline.after(None)


def search_on(instance: Instance) -> EjectionSearch:
    return EjectionSearch(instance, build_clauses(instance), NO_LIMIT)


def copied(state: State) -> State:
    return State(*(part.copy() for part in state))


def assert_alike(state: State, other: State) -> None:
    for name in ("stored", "room", "copies", "holder_sum", "lacking"):
        np.testing.assert_array_equal(getattr(state, name), getattr(other, name), err_msg=name)
    for name in ("gain", "loss", "value"):
        np.testing.assert_allclose(
            getattr(state, name), getattr(other, name), rtol=0, atol=1e-6, err_msg=name
        )


@given(st.data(), instances(max_experts=5, max_rows=20))
def test_flips_keep_the_state_as_it_would_be_worked_out_anew(
    data: st.DataObject, instance: Instance
) -> None:
    search = search_on(instance)
    rows, state = search.rows, search.state
    state.stored[:] = data.draw(placements(instance)).stored
    settle(rows, state)
    for _ in range(5):
        n = data.draw(st.integers(0, instance.num_servers - 1))
        e = data.draw(st.integers(0, instance.num_experts - 1))
        (drop_copy if state.stored[n, e] else add_copy)(rows, state, n, e)
        anew = copied(state)
        settle(rows, anew)
        scaled = 1 / max(rows.weight.sum(), 1.0)  # weights may be of any size
        for part in (state, anew):
            for values in (part.gain, part.loss, part.value):
                values *= scaled
        assert_alike(state, anew)
        settle(rows, state)


@given(st.data(), instances(max_experts=5, max_rows=20))
def test_gain_and_loss_are_what_the_evaluator_sees(data: st.DataObject, instance: Instance) -> None:
    clauses = build_clauses(instance)
    search = search_on(instance)
    placement = data.draw(placements(instance))
    search.state.stored[:] = placement.stored
    settle(search.rows, search.state)
    before = clauses.saving_ms(placement)
    worth = float(clauses.weight.sum())
    for n in range(instance.num_servers):
        for e in range(instance.num_experts):
            other = placement.stored.copy()
            other[n, e] = not other[n, e]
            change = clauses.saving_ms(Placement(other)) - before
            part = search.state.loss if placement.stored[n, e] else search.state.gain
            sign = -1 if placement.stored[n, e] else 1
            assert sign * change == pytest.approx(part[n, e], abs=1e-6 * worth)


def test_an_iteration_can_be_undone() -> None:
    instance = generate("gpt-oss", size="tiny", seed=1)
    search = search_on(instance)
    settle(search.rows, search.state)
    before = copied(search.state)
    for n, e in ((0, 3), (1, 3), (0, 3), (0, 7), (1, 9)):
        flip(search.rows, search.state, n, e)
    assert search.state.num_flips[0] == 5
    undo(search.rows, search.state)
    assert_alike(search.state, before)


@given(st.data(), instances(max_experts=5, max_rows=20), st.integers(0, 3))
@settings(max_examples=60)
def test_never_worse_than_its_start_and_always_feasible(
    data: st.DataObject, instance: Instance, seed: int
) -> None:
    start = data.draw(placements(instance))
    found = search_on(instance).searched(start.stored, np.random.default_rng(seed), 3)
    after = evaluate(instance, Placement(found))
    assert after.feasible
    assert after.saving_ms >= evaluate(instance, start).saving_ms * (1 - 1e-12)


def test_it_finds_optima_from_nothing() -> None:
    ratios = []
    for seed in range(60):
        instance = random_instance(np.random.default_rng(seed), max_cells=10)
        best = best_saving(instance)
        if best > 0:
            empty = Placement.empty(instance).stored
            found = search_on(instance).searched(empty, np.random.default_rng(0), 16)
            ratios.append(evaluate(instance, Placement(found)).saving_ms / best)
    assert np.mean(ratios) > 0.999
    assert min(ratios) > 0.97


def test_a_pair_that_fits_on_no_single_server_is_completed() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)],
        capacity=[1, 1],
        latency=[[0.0, 0.0]],
        cloud=[1.0],
        sizes=[[1, 1]],
    )
    found = search_on(instance).searched(
        Placement.empty(instance).stored, np.random.default_rng(0), 1
    )
    assert evaluate(instance, Placement(found)).saving_ms == 1.0


def test_nothing_is_done_once_time_is_up_or_where_nothing_can_be_gained() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    empty = Placement.empty(instance).stored
    late = EjectionSearch(instance, build_clauses(instance), Deadline.after(0.0))
    assert not late.searched(empty, np.random.default_rng(0), 5).any()
    nowhere = one_layer(
        rows=[(0, [0], 1.0)], capacity=[1], latency=[[2.0]], cloud=[1.0], sizes=[[1]]
    )
    assert (
        not search_on(nowhere).searched(np.zeros((1, 1), bool), np.random.default_rng(0), 5).any()
    )


def test_wide_instances_can_afford_fewer_cycles() -> None:
    def cycles(size: str) -> int:
        instance = generate("gpt-oss", size=size, seed=0)
        clauses: Clauses = build_clauses(instance)
        return affordable_cycles(instance, clauses, 1e8)

    assert cycles("tiny") > 4 * cycles("small") > 4 * cycles("medium")


def test_uniform_numbers_are_spread_over_the_unit_interval() -> None:
    seed = np.array([7], dtype=np.uint64)
    numbers = np.array([uniform(seed) for _ in range(20_000)])
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert abs(counts - 2000).max() < 6 * np.sqrt(2000)
