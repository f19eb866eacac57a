import dataclasses

import numpy as np
import pytest
from hypothesis import given

from heuristics import HEURISTICS
from heuristics.greedy_single import has_single_experts, single_picks
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses
from tests.heuristics.test_baselines import one_layer, solve
from tests.strategies import instances, random_instance


def naive_greedy(instance: Instance) -> np.ndarray:
    """Follow the definition: every step scans all pairs."""
    if has_single_experts(instance):
        return naive_single_greedy(instance)[0]
    clauses = build_clauses(instance)
    itemsets = [
        clauses.itemset_experts[a:b]
        for a, b in zip(clauses.itemset_offsets, clauses.itemset_offsets[1:], strict=False)
    ]
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=bool)
    room = instance.capacity_bytes.copy()
    want = np.zeros(stored.shape)
    for w, s, i in zip(clauses.weight, clauses.server_set, clauses.itemset, strict=True):
        for n in np.flatnonzero(clauses.server_sets[s]):
            want[n, itemsets[i]] += w
    while True:
        gain = np.zeros(stored.shape)
        use = np.zeros(stored.shape, dtype=bool)
        for w, s, i in zip(clauses.weight, clauses.server_set, clauses.itemset, strict=True):
            servers = np.flatnonzero(clauses.server_sets[s])
            lacking = [x for x in itemsets[i] if not stored[servers, x].any()]
            for x in lacking:
                use[servers, x] = True
                if len(lacking) == 1:
                    gain[servers, x] += w
        open_ = ~stored & (instance.expert_bytes <= room[:, None])
        score = np.where(open_, gain / instance.expert_bytes, 0)
        if score.max(initial=0) <= 0:
            score = np.where(open_ & use, want / instance.expert_bytes, 0)
        if score.max(initial=0) <= 0:
            return stored
        n, x = np.unravel_index(score.argmax(), score.shape)
        stored[n, x] = True
        room[n] -= instance.expert_bytes[x]


def naive_single_greedy(instance: Instance) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Do the same for rows of one expert; sums in the order of rows, so that ties are the same."""
    first = instance.model_expert_offset[instance.user_model]
    experts = np.array([model.experts for model in instance.models])[instance.user_model]
    user = instance.demand_user
    row_expert = first[user] + instance.demand_layer * experts[user] + instance.demand_experts
    served = [
        x not in instance.user_local_experts(u) for u, x in zip(user, row_expert, strict=True)
    ]
    wait = instance.cloud_latency_ms[user]
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=bool)
    room = instance.capacity_bytes.copy()
    picks: list[tuple[int, int]] = []
    while True:
        gain = np.zeros(stored.shape)
        for d in np.flatnonzero(served):
            saved = np.maximum(wait[d] - instance.latency_ms[user[d]], 0.0)
            gain[:, row_expert[d]] += instance.demand_rate[d] * saved
        open_ = ~stored & (instance.expert_bytes <= room[:, None])
        score = np.where(open_, gain / instance.expert_bytes, 0)
        if score.max(initial=0) <= 0:
            return stored, picks
        n, x = (int(i) for i in np.unravel_index(score.argmax(), score.shape))
        picks.append((n, x))
        stored[n, x] = True
        room[n] -= instance.expert_bytes[x]
        asking = row_expert == x
        wait[asking] = np.minimum(wait[asking], instance.latency_ms[user[asking], n])


@given(instances(max_servers=4, max_experts=5, max_rows=20))
def test_lazy_equals_naive(instance: Instance) -> None:
    assert np.array_equal(solve("greedy", instance).stored, naive_greedy(instance))


@pytest.mark.parametrize("seed", range(30))
def test_lazy_equals_naive_on_larger_instances(seed: int) -> None:
    instance = random_instance(
        np.random.default_rng(seed),
        max_servers=5,
        max_users=6,
        max_layers=3,
        max_experts=8,
        max_rows=80,
    )
    assert np.array_equal(solve("greedy", instance).stored, naive_greedy(instance))


@given(instances(max_servers=6, max_users=5, max_experts=5, max_rows=30, top_k=1))
def test_single_experts_are_picked_as_by_definition(instance: Instance) -> None:
    stored, picks = naive_single_greedy(instance)
    assert single_picks(instance).tolist() == [list(pick) for pick in picks]
    assert np.array_equal(solve("greedy", instance).stored, stored)
    assert single_picks(instance, most=3).tolist() == [list(pick) for pick in picks[:3]]


@pytest.mark.parametrize("servers", [1, 3, 4, 5, 8, 9])
def test_single_experts_on_any_number_of_servers(servers: int) -> None:
    instance = random_instance(
        np.random.default_rng(servers),
        max_servers=1,
        max_users=9,
        max_layers=3,
        max_experts=20,
        max_rows=400,
        top_k=1,
        uniform=True,
    )
    rng = np.random.default_rng(servers)
    instance = dataclasses.replace(
        instance,
        server_names=tuple(f"s{n}" for n in range(servers)),
        capacity_bytes=rng.integers(1, 30, servers) * instance.expert_bytes[0],
        latency_ms=rng.uniform(0.0, 9.0, (instance.num_users, servers)),
        cloud_latency_ms=np.full(instance.num_users, 8.0),
    )
    expected = naive_single_greedy(instance)[1]
    assert len(expected) > servers
    assert single_picks(instance).tolist() == [list(pick) for pick in expected]


def test_the_clauses_agree_that_single_picks_are_largest() -> None:
    # Each pick's gain by the clauses is the largest of all pairs that fit, up to rounding.
    instance = generate("switch", size="tiny", seed=0)
    clauses = build_clauses(instance)
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=bool)
    picks = single_picks(instance)
    assert len(picks) > 5
    for pick in picks:
        before = clauses.saving_ms(Placement(stored))
        used = stored @ instance.expert_bytes
        best = 0.0
        for n, x in np.ndindex(stored.shape):
            if (
                not stored[n, x]
                and used[n] + instance.expert_bytes[x] <= instance.capacity_bytes[n]
            ):
                more = stored.copy()
                more[n, x] = True
                gain = (clauses.saving_ms(Placement(more)) - before) / instance.expert_bytes[x]
                best = max(best, gain)
        stored[tuple(pick)] = True
        gain = (clauses.saving_ms(Placement(stored)) - before) / instance.expert_bytes[pick[1]]
        assert gain == pytest.approx(best, rel=1e-9)


def test_single_picks_stop_when_their_time_is_up() -> None:
    instance = one_layer(
        rows=[(0, [0], 1.0)], capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1]], top_k=1
    )
    assert single_picks(instance).tolist() == [[0, 0]]
    assert single_picks(instance, deadline=Deadline.after(0.0)).shape == (0, 2)


def test_greedy_is_blind_to_pairs_but_fills_up() -> None:
    # With nothing stored neither 0 nor 1 gains anything alone; 2 gains 1 at once. Afterwards the
    # pair is wanted most, and with its first half stored the second half gains everything.
    instance = one_layer(
        rows=[(0, [0, 1], 10.0), (0, [2], 0.1)],
        capacity=[3],
        latency=[[0.0]],
        cloud=[10.0],
        sizes=[[1, 1, 1]],
    )
    assert solve("greedy", instance).stored.all()


def test_greedy_stops_when_nothing_is_useful() -> None:
    instance = one_layer(
        rows=[(0, [0], 1.0)], capacity=[3], latency=[[0.0]], cloud=[10.0], sizes=[[1, 1, 1]]
    )
    assert solve("greedy", instance).num_copies == 1


def test_half_is_tight_for_k_1() -> None:
    # s0 may hold x or y, s1 only serves user 0 (who wants x). Greedy ties between storing x on s0
    # and on s1 and takes s0, after which s1 gains nothing: 1 of 2.
    instance = one_layer(
        rows=[(0, [0], 1.0), (1, [1], 1.0)],
        capacity=[1, 1],
        latency=[[0.0, 0.0], [0.0, 9.0]],
        cloud=[1.0, 1.0],
        sizes=[[1, 1]],
        top_k=1,
    )
    best = Placement.of(instance, [(0, 1), (1, 0)])
    ratio = (
        evaluate(instance, solve("greedy", instance)).saving_ms / evaluate(instance, best).saving_ms
    )
    assert ratio == 0.5
    guarantee = HEURISTICS.get("greedy").guarantee
    assert guarantee is not None
    assert guarantee.ratio(instance) == 0.5


def test_nothing_is_claimed_for_unequal_sizes_or_pairs() -> None:
    guarantee = HEURISTICS.get("greedy").guarantee
    assert guarantee is not None
    rows = [(0, [0], 1.0)]
    for sizes, top_k in (([[1, 2]], 1), ([[1, 1]], 2)):
        instance = one_layer(
            rows=rows, capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=sizes, top_k=top_k
        )
        assert guarantee.ratio(instance) is None
