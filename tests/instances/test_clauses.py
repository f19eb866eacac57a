from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import isclose

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.checker import check
from instances.model import Model
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses
from instances.structure.kernels import intern_itemsets
from tests.strategies import instances, placements, random_instance, random_placement


def as_dict(clauses):
    """Return {(servers, flat experts): weight}; fails when a clause occurs twice."""
    found = {}
    for c in range(len(clauses)):
        i = clauses.itemset[c]
        key = (
            frozenset(np.flatnonzero(clauses.server_sets[clauses.server_set[c]]).tolist()),
            frozenset(
                clauses.itemset_experts[
                    clauses.itemset_offsets[i] : clauses.itemset_offsets[i + 1]
                ].tolist()
            ),
        )
        assert key not in found
        found[key] = float(clauses.weight[c])
    return found


def by_definition(instance: Instance) -> dict[tuple[frozenset[int], frozenset[int]], Fraction]:
    """Threshold form in rational arithmetic, row by row, straight from its definition."""
    weights: defaultdict[tuple[frozenset[int], frozenset[int]], Fraction] = defaultdict(Fraction)
    for d in range(instance.num_rows):
        u = int(instance.demand_user[d])
        m = int(instance.user_model[u])
        g = int(instance.model_layer_offset[m] + instance.demand_layer[d])
        row = slice(instance.demand_offsets[d], instance.demand_offsets[d + 1])
        experts = {
            int(instance.layer_expert_offset[g]) + int(e) for e in instance.demand_experts[row]
        }
        fetched = experts - set(instance.user_local_experts(u).tolist())
        if not fetched:
            continue
        floor = Fraction(0)
        if fetched != experts:
            floor = Fraction(float(instance.local_latency_ms[u]))
        cloud = Fraction(float(instance.cloud_latency_ms[u]))
        latency = [Fraction(float(t)) for t in instance.latency_ms[u]]
        levels = sorted({t for t in latency if t < cloud})
        for level, reach in pairwise([*levels, cloud]):
            servers = frozenset(n for n, t in enumerate(latency) if t <= level)
            step = max(reach, floor) - max(level, floor)
            weights[servers, frozenset(fetched)] += Fraction(float(instance.demand_rate[d])) * step
    return {key: weight for key, weight in weights.items() if weight > 0}


def test_worked_by_hand(tiny):
    clauses = build_clauses(tiny)
    near, both = frozenset([0]), frozenset([0, 1])
    assert as_dict(clauses) == {
        # ann, row 0: near saves 4 - 1 over far, far saves 10 - 4 over the cloud
        (near, frozenset([0, 1])): 0.5 * 3,
        (both, frozenset([0, 1])): 0.5 * 6,
        (near, frozenset([2])): 0.25 * 3,
        (both, frozenset([2])): 0.25 * 6,
        (near, frozenset([4, 5])): 3.0,
        (both, frozenset([4, 5])): 6.0,
        # bob: far is slower than the cloud; expert 2 of row 3 is local; row 4 is all local
        (near, frozenset([1])): 0.5 * 2,
        (near, frozenset([3])): 0.25 * 2,
    }
    assert clauses.largest_itemset == 2


def test_equal_clauses_of_two_users_merge(tiny):
    twin = replace(
        tiny,
        latency_ms=[[1.0, 4.0], [2.0, 3.0]],
        local_offsets=[0, 0, 0],
        local_experts=[],
        demand_user=[0, 1, 1],
        demand_layer=[0, 0, 0],
        demand_offsets=[0, 2, 4, 6],
        demand_experts=[0, 1, 1, 0, 0, 1],
        demand_rate=[1.0, 1.0, 1.0],
    )
    assert as_dict(build_clauses(twin)) == {
        (frozenset([0]), frozenset([0, 1])): 3.0 + 2 * 1.0,
        (frozenset([0, 1]), frozenset([0, 1])): 6.0 + 2 * 5.0,
    }


def test_servers_of_equal_latency_enter_together(tiny):
    clauses = build_clauses(replace(tiny, latency_ms=[[4.0, 4.0], [8.0, 9.0]]))
    assert {servers for servers, _ in as_dict(clauses)} == {frozenset([0, 1])}


def test_local_latency_above_the_cloud_leaves_nothing_to_save(tiny):
    clauses = build_clauses(replace(tiny, local_latency_ms=[0.0, 8.5]))
    assert (frozenset([0]), frozenset([1])) not in as_dict(clauses)
    assert (frozenset([0]), frozenset([3])) in as_dict(clauses)


@pytest.mark.parametrize(
    "changes",
    [
        {"latency_ms": [[10.0, 11.0], [8.0, 9.0]]},
        {"demand_rate": [0.0] * 6},
        {
            "demand_user": [],
            "demand_layer": [],
            "demand_offsets": [0],
            "demand_experts": [],
            "demand_rate": [],
        },
    ],
)
def test_nothing_to_save(tiny, tiny_placement, changes):
    clauses = build_clauses(replace(tiny, **changes))
    assert len(clauses) == 0
    assert clauses.saving_ms(tiny_placement) == 0.0
    assert clauses.layer_clause_offset.tolist() == [0, 0, 0]


def test_no_row_at_all_has_no_largest_itemset(tiny):
    nothing = replace(
        tiny,
        demand_user=[],
        demand_layer=[],
        demand_offsets=[0],
        demand_experts=[],
        demand_rate=[],
    )
    assert build_clauses(nothing).largest_itemset == 0


@given(instance=instances(max_users=4, max_rows=20))
def test_agrees_with_the_definition(instance):
    expected = by_definition(instance)
    found = as_dict(build_clauses(instance))
    assert found.keys() == expected.keys()
    for key, weight in expected.items():
        assert isclose(found[key], float(weight), rel_tol=1e-12)


@given(instance=instances(max_users=4, max_rows=20))
def test_order_and_tables(instance):
    clauses = build_clauses(instance)
    assert (clauses.weight > 0).all()
    assert (np.diff(clauses.itemset_layer) >= 0).all()
    assert (np.diff(clauses.itemset) >= 0).all()
    layer = clauses.itemset_layer[clauses.itemset]
    for g in range(instance.num_layers):
        part = slice(clauses.layer_clause_offset[g], clauses.layer_clause_offset[g + 1])
        assert (layer[part] == g).all()
    assert clauses.layer_clause_offset[-1] == len(clauses)
    for i, g in enumerate(clauses.itemset_layer):
        experts = clauses.itemset_experts[
            clauses.itemset_offsets[i] : clauses.itemset_offsets[i + 1]
        ]
        inside = instance.layer_experts(int(g))
        assert (np.diff(experts) > 0).all()
        assert inside.start <= experts[0] <= experts[-1] < inside.stop
    assert clauses.largest_itemset <= instance.top_k
    assert len({row.tobytes() for row in clauses.server_sets}) == len(clauses.server_sets)


@given(data=st.data(), instance=instances(wild=True))
def test_saving_is_that_of_the_checker(data, instance):
    placement = data.draw(placements(instance))
    exact = float(check(instance, placement).saving_ms)
    assert isclose(build_clauses(instance).saving_ms(placement), exact, rel_tol=1e-12)


@pytest.mark.parametrize("num_rows", [0, 1, 255, 256, 257, 65535, 65536, 65537])
def test_any_number_of_rows(num_rows):
    rng = np.random.default_rng(num_rows)
    instance = Instance(
        name="rows",
        models=(Model.uniform("m", layers=2, experts=600, top_k=2, expert_bytes=1),),
        server_names=("a", "b"),
        capacity_bytes=np.array([900, 900]),
        user_names=("u", "v"),
        user_model=np.array([0, 0]),
        latency_ms=np.array([[1.0, 2.0], [4.0, 3.0]]),
        cloud_latency_ms=np.array([5.0, 6.0]),
        local_latency_ms=np.zeros(2),
        local_offsets=np.zeros(3, dtype=int),
        local_experts=np.array([], dtype=int),
        demand_user=rng.integers(0, 2, num_rows),
        demand_layer=rng.integers(0, 2, num_rows),
        demand_offsets=np.arange(num_rows + 1) * 2,
        demand_experts=np.column_stack(
            [rng.integers(0, 300, num_rows), rng.integers(300, 600, num_rows)]
        ).ravel(),
        demand_rate=rng.integers(1, 9, num_rows).astype(float),
    )
    clauses = build_clauses(instance)
    most = np.where(instance.demand_user == 0, 5.0 - 1.0, 6.0 - 3.0)
    assert clauses.weight.sum() == (instance.demand_rate * most).sum()
    placement = random_placement(rng, instance)
    assert clauses.saving_ms(placement) == float(check(instance, placement).saving_ms)
    assert len(as_dict(clauses)) == len(clauses)


def test_rows_of_users_in_turn_with_many_local_experts(tiny):
    # users share a model, and each holds every other expert of it
    rng = np.random.default_rng(3)
    num_rows = 400
    instance = replace(
        tiny,
        models=(Model.uniform("toy", layers=4, experts=50, top_k=3, expert_bytes=1),),
        local_latency_ms=[0.0, 6.5],
        local_offsets=[0, 100, 200],
        local_experts=np.concatenate([np.arange(0, 200, 2), np.arange(1, 200, 2)]),
        demand_user=np.arange(num_rows) % 2,
        demand_layer=rng.integers(0, 4, num_rows),
        demand_offsets=np.arange(num_rows + 1) * 3,
        demand_experts=np.argsort(rng.random((num_rows, 50)), axis=1)[:, :3].ravel(),
        demand_rate=rng.integers(1, 5, num_rows).astype(float),
    )
    assert as_dict(build_clauses(instance)) == by_definition(instance)


def test_more_servers_than_bits_in_a_word():
    num_servers = 130
    rng = np.random.default_rng(0)
    base = random_instance(rng, max_rows=12, max_users=3)
    instance = replace(
        base,
        server_names=tuple(f"s{n}" for n in range(num_servers)),
        capacity_bytes=np.full(num_servers, int(base.expert_bytes.sum()) // 2),
        latency_ms=rng.uniform(0, 10, (base.num_users, num_servers)),
        cloud_latency_ms=np.full(base.num_users, 8.0),
    )
    clauses = build_clauses(instance)
    assert clauses.server_sets.shape[1] == num_servers
    for _ in range(20):
        placement = random_placement(rng, instance)
        exact = float(check(instance, placement).saving_ms)
        assert isclose(clauses.saving_ms(placement), exact, rel_tol=1e-12)


@pytest.mark.parametrize("num_rows", [0, 1, 255, 256, 257, 65535, 65536, 65537])
def test_itemsets_are_numbered_in_order_of_appearance(num_rows):
    rng = np.random.default_rng(num_rows)
    lengths = rng.integers(0, 3, num_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    experts = rng.integers(0, 40, offsets[-1])
    known: dict[tuple[int, ...], int] = {}
    first: list[int] = []
    expected = []
    for d in range(num_rows):
        key = tuple(experts[offsets[d] : offsets[d + 1]].tolist())
        if key and key not in known:
            known[key] = len(known)
            first.append(d)
        expected.append(known[key] if key else -1)
    itemset, first_row = intern_itemsets(np.zeros(num_rows, dtype=np.int64), offsets, experts)
    assert itemset.tolist() == expected
    assert first_row.tolist() == first


def test_placement_of_everything_reaches_every_clause(tiny):
    clauses = build_clauses(tiny)
    everything = Placement(np.ones((2, 6), dtype=np.bool_))
    assert clauses.saving_ms(everything) == clauses.weight.sum() == 17.25
