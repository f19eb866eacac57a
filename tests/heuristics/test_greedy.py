import numpy as np
import pytest
from hypothesis import given

from heuristics import HEURISTICS
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses
from tests.heuristics.test_baselines import one_layer, solve
from tests.strategies import instances, random_instance


def naive_greedy(instance: Instance) -> np.ndarray:
    """Follow the definition: every step scans all pairs."""
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
