import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heuristics import HEURISTICS
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.registry import run
from tests.strategies import instances, random_instance


def solve(name: str, instance: Instance, seed: int = 0, **parameters: object) -> Placement:
    outcome = run(HEURISTICS.get(name), instance, rng=np.random.default_rng(seed), **parameters)
    assert outcome.placement is not None
    return outcome.placement


def one_layer(
    *,
    rows: list[tuple[int, list[int], float]],
    capacity: list[int],
    latency: list[list[float]],
    cloud: list[float],
    sizes: list[list[int]],
    top_k: int | None = None,
) -> Instance:
    """Build an instance of one model, rows as (user, experts, rate), all in layer 0."""
    return Instance(
        name="hand-made",
        models=(
            Model(name="m", expert_bytes=np.array(sizes), top_k=top_k or min(2, len(sizes[0]))),
        ),
        server_names=tuple(f"s{n}" for n in range(len(capacity))),
        capacity_bytes=np.array(capacity),
        user_names=tuple(f"u{u}" for u in range(len(cloud))),
        user_model=np.zeros(len(cloud), dtype=np.int64),
        latency_ms=np.array(latency),
        cloud_latency_ms=np.array(cloud),
        local_latency_ms=np.zeros(len(cloud)),
        local_offsets=np.zeros(len(cloud) + 1, dtype=np.int64),
        local_experts=np.array([], dtype=np.int64),
        demand_user=np.array([row[0] for row in rows], dtype=np.int64),
        demand_layer=np.zeros(len(rows), dtype=np.int64),
        demand_offsets=np.cumsum([0, *(len(row[1]) for row in rows)]),
        demand_experts=np.array([x for row in rows for x in row[1]], dtype=np.int64),
        demand_rate=np.array([row[2] for row in rows], dtype=np.float64),
    )


def top_k_for(name: str) -> int | None:
    """Return 1 for heuristics that take nothing else, and None for all others."""
    return 1 if name in ("greedy-enumeration", "continuous-greedy", "lp-rounding") else None


@pytest.mark.parametrize("name", [spec.name for spec in HEURISTICS])
@given(data=st.data(), seed=st.integers(0, 3))
def test_every_heuristic_is_feasible_and_repeats_itself(
    name: str, data: st.DataObject, seed: int
) -> None:
    instance = data.draw(instances(top_k=top_k_for(name)))
    first = solve(name, instance, seed)
    evaluation = evaluate(instance, first)
    assert evaluation.feasible
    assert evaluation.saving_ms >= 0
    assert np.array_equal(first.stored, solve(name, instance, seed).stored)


@pytest.mark.parametrize("name", [spec.name for spec in HEURISTICS])
def test_every_heuristic_returns_a_feasible_placement_when_time_is_up(name: str) -> None:
    instance = random_instance(
        np.random.default_rng(5), max_servers=4, max_layers=4, top_k=top_k_for(name)
    )
    assert evaluate(instance, solve(name, instance, time_limit=0.0)).feasible


@pytest.mark.parametrize("name", [spec.name for spec in HEURISTICS])
def test_scaling_the_rates_scales_the_saving(name: str) -> None:
    for seed in range(20):
        instance = random_instance(np.random.default_rng(seed), top_k=top_k_for(name))
        doubled = dataclasses.replace(instance, demand_rate=2 * instance.demand_rate)
        assert np.array_equal(solve(name, instance).stored, solve(name, doubled).stored)


def test_random_depends_on_the_seed() -> None:
    instance = random_instance(
        np.random.default_rng(1), max_servers=4, max_layers=3, max_experts=8, uniform=True
    )
    instance = dataclasses.replace(
        instance,
        capacity_bytes=np.full(instance.num_servers, 2 * instance.expert_bytes.max()),
    )
    placements = {solve("random", instance, seed).stored.tobytes() for seed in range(10)}
    assert len(placements) > 1


def test_popularity_takes_the_most_wanted_and_passes_over_what_does_not_fit() -> None:
    # Weights wanted at the server: expert 0 5*9, 1 (5+1)*9, 2 1*9, 3 3*9. Room for 4 bytes:
    # expert 1 (2 bytes) first, 0 (3 bytes) no longer fits, 3 (1 byte) does, then 2 (1 byte).
    instance = one_layer(
        rows=[(0, [0, 1], 5.0), (0, [1, 2], 1.0), (0, [3], 3.0)],
        capacity=[4],
        latency=[[1.0]],
        cloud=[10.0],
        sizes=[[3, 2, 1, 1]],
    )
    assert solve("popularity", instance).stored.tolist() == [[False, True, True, True]]


def test_local_popularity_counts_only_users_for_whom_the_server_is_fastest() -> None:
    # User 0 is nearest to s0 and wants expert 0; user 1 is nearest to s1 and wants expert 1 more
    # than user 0 wants hers: s0 must hold expert 0 all the same. Popularity gives s0 expert 1.
    instance = one_layer(
        rows=[(0, [0], 1.0), (1, [1], 5.0)],
        capacity=[1, 1],
        latency=[[1.0, 2.0], [2.0, 1.0]],
        cloud=[10.0, 10.0],
        sizes=[[1, 1]],
    )
    assert solve("local-popularity", instance).stored.tolist() == [[True, False], [False, True]]
    assert solve("popularity", instance).stored.tolist() == [[False, True], [False, True]]


def test_local_popularity_ignores_users_whose_nearest_server_is_slower_than_the_cloud() -> None:
    instance = one_layer(
        rows=[(0, [0], 1.0)], capacity=[1], latency=[[11.0]], cloud=[10.0], sizes=[[1]]
    )
    assert not solve("local-popularity", instance).stored.any()


def test_layer_fill_stores_whole_layers_or_nothing() -> None:
    # Layer 1 gains 9 per 2 bytes, layer 0 gains 18 per 2 bytes; room for one layer and a half.
    instance = one_layer(
        rows=[(0, [0, 1], 2.0), (0, [0, 1], 1.0)],
        capacity=[3],
        latency=[[1.0]],
        cloud=[10.0],
        sizes=[[1, 1], [1, 1]],
    )
    instance = dataclasses.replace(instance, demand_layer=np.array([0, 1]))
    assert solve("layer-fill", instance).stored.tolist() == [[True, True, False, False]]


def test_layer_fill_counts_what_earlier_servers_already_serve() -> None:
    # Both servers are equally good for the user: the second takes the second-best layer.
    instance = one_layer(
        rows=[(0, [0, 1], 2.0), (0, [0, 1], 1.0)],
        capacity=[2, 2],
        latency=[[1.0, 1.0]],
        cloud=[10.0],
        sizes=[[1, 1], [1, 1]],
    )
    instance = dataclasses.replace(instance, demand_layer=np.array([0, 1]))
    stored = solve("layer-fill", instance).stored
    assert stored.tolist() == [[True, True, False, False], [False, False, True, True]]


def test_round_robin_deals_in_turn_then_second_copies() -> None:
    # Three experts, two servers with room for two: 0 and 2 to s0, 1 to s1; second copies go one
    # server further on: 0 to s1, which is then full.
    instance = one_layer(
        rows=[(0, [0], 1.0)],
        capacity=[2, 2],
        latency=[[1.0, 1.0]],
        cloud=[10.0],
        sizes=[[1, 1, 1]],
    )
    assert solve("round-robin", instance).stored.tolist() == [
        [True, False, True],
        [True, True, False],
    ]


def test_load_balance_replicates_the_busiest_and_packs_longest_first() -> None:
    # Loads 8, 3, 2, 1; room for 5 copies: one each, then the fifth goes to expert 0 (8 / 1).
    # Packing 4, 4, 3, 2, 1 onto the least loaded: s0 gets 0, s1 gets 0, s0 gets 1, s1 gets 2,
    # s0 (7) and s1 (6): expert 3 goes to s1, which has room for three.
    instance = one_layer(
        rows=[(0, [0], 8.0), (0, [1], 3.0), (0, [2], 2.0), (0, [3], 1.0)],
        capacity=[2, 3],
        latency=[[1.0, 1.0]],
        cloud=[10.0],
        sizes=[[1, 1, 1, 1]],
    )
    assert solve("load-balance", instance).stored.tolist() == [
        [True, True, False, False],
        [True, False, True, True],
    ]
