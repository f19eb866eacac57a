import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.errors import InputError
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from tests.heuristics.test_baselines import one_layer, solve
from tests.heuristics.test_successive import best_saving
from tests.strategies import instances, placements, random_instance


@given(st.data(), instances(max_experts=5, max_rows=20))
def test_never_worse_than_its_start(data: st.DataObject, instance: Instance) -> None:
    start = data.draw(placements(instance))
    found = solve("improve", instance, start=start, orders=0, rounds=2)
    before, after = evaluate(instance, start), evaluate(instance, found)
    assert after.feasible
    assert after.saving_ms >= before.saving_ms * (1 - 1e-12)


def test_comes_close_to_the_optimum() -> None:
    ratios = []
    for seed in range(80):
        instance = random_instance(np.random.default_rng(seed), max_cells=10)
        best = best_saving(instance)
        if best > 0:
            ratios.append(evaluate(instance, solve("improve", instance)).saving_ms / best)
    assert min(ratios) >= 0.97
    assert np.mean(ratios) >= 0.999


def test_goes_on_from_a_poor_start_by_server_passes_alone() -> None:
    # From x on both servers, re-solving s0 given s1 = {x} stores y, and 1 becomes 2.
    instance = one_layer(
        rows=[(0, [0], 1.0), (0, [1], 1.0)],
        capacity=[1, 1],
        latency=[[0.0, 0.0]],
        cloud=[1.0],
        sizes=[[1, 1]],
    )
    start = Placement.of(instance, [(0, 0), (1, 0)])
    found = solve("improve", instance, start=start, orders=0, rounds=0)
    assert evaluate(instance, found).saving_ms == 2.0


def test_it_escapes_the_cross_server_trap_through_its_modular_start() -> None:
    # Each of two servers must hold one half of the pair: one server after the other gains nothing
    # (docs/theory.md, section 3), but with one half stored somewhere the other half pays.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)],
        capacity=[1, 1],
        latency=[[0.0, 0.0]],
        cloud=[1.0],
        sizes=[[1, 1]],
    )
    assert evaluate(instance, solve("successive-dp", instance)).saving_ms == 0.0
    assert evaluate(instance, solve("successive-hull-pass", instance)).saving_ms == 0.0
    assert evaluate(instance, solve("improve", instance)).saving_ms == best_saving(instance) == 1.0


def test_bad_arguments_are_refused() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    with pytest.raises(InputError, match="start: the placement stores more"):
        solve("improve", instance, start=Placement.of(instance, [(0, 0), (0, 1)]))
    with pytest.raises(InputError, match="rounds: -1 is not a whole number"):
        solve("improve", instance, rounds=-1)
    with pytest.raises(InputError, match="orders: True is not a whole number"):
        solve("improve", instance, orders=True)


def test_two_servers_are_solved_jointly_to_the_optimum() -> None:
    for seed in range(40):
        instance = random_instance(
            np.random.default_rng(seed), max_servers=2, max_cells=12, uniform=True
        )
        found = evaluate(instance, solve("improve", instance, orders=1, rounds=0)).saving_ms
        assert found == pytest.approx(best_saving(instance), rel=1e-12, abs=1e-15)
