from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.problem import Instance, Model
from instances.structure.clauses import build_clauses
from instances.structure.tables import residual_of
from tests.strategies import instances, random_placement


def by_hand(clauses, stored, free):
    """What is lacked and which free servers could bring it, with the weight of all such clauses."""
    weights = defaultdict(float)
    for c, weight in enumerate(clauses.weight):
        members = clauses.server_sets[clauses.server_set[c]]
        begin, end = clauses.itemset_offsets[clauses.itemset[c] + np.arange(2)]
        experts = clauses.itemset_experts[begin:end].tolist()
        helpers = tuple(n for n in free if members[n])
        others = [n for n in np.flatnonzero(members) if n not in free]
        lacked = tuple(x for x in experts if not stored[others, x].any())
        if helpers and lacked:
            weights[tuple(experts), lacked, helpers] += weight
    return weights


@given(instance=instances(max_models=2), seed=st.integers(0, 100), data=st.data())
def test_every_clause_is_there_once(instance, seed, data):
    servers = st.integers(0, instance.num_servers - 1)
    free = sorted(data.draw(st.sets(servers, min_size=1, max_size=3)))
    stored = random_placement(np.random.default_rng(seed), instance).stored
    clauses = build_clauses(instance)
    part = residual_of(clauses, stored, *free)
    found = {}
    for i, c in enumerate(part.clause.tolist()):
        begin, end = clauses.itemset_offsets[clauses.itemset[c] + np.arange(2)]
        members = clauses.server_sets[clauses.server_set[c]]
        key = (
            tuple(clauses.itemset_experts[begin:end].tolist()),
            tuple(part.experts[part.offsets[i] : part.offsets[i + 1]].tolist()),
            tuple(n for n in free if members[n]),
        )
        assert key not in found
        found[key] = part.weight[i]
    assert found == pytest.approx(by_hand(clauses, stored, free))
    assert part.layer_offset[-1] == part.clause.size


def test_long_itemsets_and_many_free_servers_are_not_merged():
    """A bit mask has room for 62 experts and 62 servers; what is longer stays apart, and right."""
    servers, experts = 70, 64
    latency = np.tile(np.arange(1.0, servers + 1), (2, 1))
    instance = Instance(
        name="wide",
        models=(Model.uniform("m", layers=1, experts=experts, top_k=experts, expert_bytes=1),),
        server_names=tuple(f"s{n}" for n in range(servers)),
        capacity_bytes=np.full(servers, experts),
        user_names=("a", "b"),
        user_model=np.array([0, 0]),
        latency_ms=latency,
        cloud_latency_ms=np.array([100.0, 100.0]),
        local_latency_ms=np.zeros(2),
        local_offsets=np.zeros(3, dtype=np.int64),
        local_experts=np.zeros(0, dtype=np.int64),
        demand_user=np.array([0, 1]),
        demand_layer=np.array([0, 0]),
        demand_offsets=np.array([0, experts, experts + 2]),
        demand_experts=np.concatenate([np.arange(experts), [0, 1]]),
        demand_rate=np.array([1.0, 1.0]),
    )
    clauses = build_clauses(instance)
    nothing = np.zeros((servers, experts), dtype=np.bool_)
    one = residual_of(clauses, nothing, 0)
    assert one.weight.size == servers + 1
    assert one.weight.sum() == pytest.approx(2 * 99.0)
    everywhere = residual_of(clauses, nothing, *range(servers))
    assert everywhere.weight.size == len(clauses) == 2 * servers
