import itertools

import numpy as np
import pytest

from heuristics import HEURISTICS
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, Status, StopReason, judge
from instances.structure.clauses import build_clauses
from tests.heuristics.test_baselines import one_layer
from tests.heuristics.test_successive import best_saving
from tests.strategies import random_instance


def generate_layers(instance: Instance, **parameters: object) -> Outcome:
    spec = HEURISTICS.get("layer-generation")
    return run(spec, instance, rng=np.random.default_rng(0), **parameters)


def largest_layer_values(instance: Instance, count: int) -> float:
    """Sum what the most valuable layers are worth when everything is stored everywhere."""
    clauses = build_clauses(instance)
    worth = [
        clauses.weight[a:b].sum()
        for a, b in itertools.pairwise(clauses.layer_clause_offset.tolist())
    ]
    return float(sum(sorted(worth, reverse=True)[:count]))


@pytest.mark.parametrize("seed", range(60))
def test_bound_optimum_and_guarantee(seed: int) -> None:
    instance = random_instance(np.random.default_rng(seed), max_layers=3, max_cells=11, max_rows=20)
    outcome = generate_layers(instance)
    result = judge(instance, outcome, seconds=0.0)
    assert result.status is Status.FEASIBLE
    optimum = best_saving(instance)
    assert result.saving_ms <= optimum + 1e-12
    assert result.bound_saving_ms >= optimum - 1e-12
    if "exact pricing" in outcome.reason:
        least = result.bound_saving_ms - largest_layer_values(instance, instance.num_servers)
        assert result.saving_ms >= least - 1e-9


def test_reaches_the_optimum_nearly_always() -> None:
    reached = 0
    for seed in range(60):
        instance = random_instance(np.random.default_rng(seed), max_cells=11, max_rows=20)
        saving = judge(instance, generate_layers(instance), seconds=0.0).saving_ms
        reached += saving >= best_saving(instance) * (1 - 1e-9) - 1e-12
    assert reached >= 58


def test_the_bound_closes_where_the_master_is_integral() -> None:
    # Two layers, one server with room for one whole layer: the better one, proven by the prices.
    instance = one_layer(
        rows=[(0, [0, 1], 2.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    outcome = generate_layers(instance)
    assert "exact pricing" in outcome.reason
    assert outcome.bound_saving_ms == pytest.approx(2.0, rel=1e-9)
    assert judge(instance, outcome, seconds=0.0).saving_ms == 2.0


def test_time_limit_leaves_a_feasible_placement() -> None:
    instance = random_instance(np.random.default_rng(3), max_servers=4, max_layers=4)
    outcome = generate_layers(instance, time_limit=0.0)
    assert outcome.stop_reason in (StopReason.TIME_LIMIT, StopReason.COMPLETED)
    assert judge(instance, outcome, seconds=0.0).status is Status.FEASIBLE


def test_an_integer_master_is_asked_and_its_choice_must_be_feasible() -> None:
    asked = []

    def choose_nothing(value_ms, used_bytes, layer, capacity_bytes, *, time_limit):  # type: ignore[no-untyped-def]
        asked.append((value_ms.shape, used_bytes.shape, layer.shape, capacity_bytes.shape))
        return np.empty(0, dtype=np.int64)

    instance = one_layer(
        rows=[(0, [0, 1], 2.0), (0, [2], 1.0)],
        capacity=[2],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 1, 1]],
    )
    outcome = generate_layers(instance, integer_master=choose_nothing)
    assert judge(instance, outcome, seconds=0.0).saving_ms == 2.0
    assert asked
    (columns,), used, layer, capacity = asked[0]
    assert used == (columns, 1)
    assert layer == (columns,)
    assert capacity == (1,)
