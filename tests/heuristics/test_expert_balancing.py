import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heuristics.expert_balancing import (
    balance_globally,
    balance_hierarchically,
    pack_balanced,
    replicate,
    why_not_balanced,
)
from tests.heuristics.published_balancer import rebalance

EXAMPLE = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]
"""The example of the published program's README: 16 replicas, 4 groups, 2 nodes, 8 ranks."""


@st.composite
def cases(draw: st.DrawFn):
    nodes, ranks_of_node = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    groups = nodes * draw(st.integers(1, 3))
    experts = groups * draw(st.integers(1, 6))
    ranks = nodes * ranks_of_node
    replicas = ranks * (-(-experts // ranks) + draw(st.integers(0, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 3)), experts)
    # Counts below 2^24 add up exactly in any order; few different ones give ties.
    most = draw(st.sampled_from([1, 5, 1000, 100_000]))
    load = rng.integers(0, most, shape, endpoint=True)
    return load, replicas, groups, nodes, ranks


def test_example_of_the_published_program():
    found = balance_hierarchically(EXAMPLE, num_replicas=16, num_groups=4, num_nodes=2, num_ranks=8)
    assert found.tolist() == [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]


@given(cases())
def test_hierarchical_as_published(case):
    load, replicas, groups, nodes, ranks = case
    found = balance_hierarchically(
        load, num_replicas=replicas, num_groups=groups, num_nodes=nodes, num_ranks=ranks
    )
    assert np.array_equal(found, rebalance(load, replicas, groups, nodes, ranks))


@given(cases())
def test_global_as_published(case):
    load, replicas, groups, _, ranks = case
    found = balance_globally(load, num_replicas=replicas, num_ranks=ranks)
    assert np.array_equal(found, rebalance(load, replicas, groups, groups + 1, ranks))


@given(cases())
def test_every_expert_has_a_replica_and_groups_stay_on_one_node(case):
    load, replicas, groups, nodes, ranks = case
    found = balance_hierarchically(
        load, num_replicas=replicas, num_groups=groups, num_nodes=nodes, num_ranks=ranks
    )
    for row in found:
        assert set(row.tolist()) == set(range(load.shape[1]))
    group_of = found // (load.shape[1] // groups)
    for of_layer in group_of.reshape(found.shape[0], nodes, -1):
        seen = [set(node.tolist()) for node in of_layer]
        assert sum(len(node) for node in seen) == groups  # no group is on two nodes
        assert {len(node) for node in seen} == {groups // nodes}


def test_single_precision_decides():
    # 16777217 is 16777216 in single precision: a tie, so expert 0 gets the third replica; then
    # replicas are packed by descending load.
    load = np.array([[16777216, 16777217]])
    assert balance_globally(load, num_replicas=3, num_ranks=1)[0].tolist() == [1, 0, 0]


def test_packing_by_hand():
    # 9, 8, 7, 1 into two packs of two: 9 | 8, then 7 to the lighter one, 1 to the one with room.
    pack, rank = pack_balanced(np.array([8, 1, 9, 7], np.float32), 2)
    assert pack.tolist() == [1, 0, 0, 1]
    assert rank.tolist() == [0, 1, 0, 1]


def test_one_item_for_each_pack_is_left_where_it_is():
    pack, rank = pack_balanced(np.array([1, 3, 2], np.float32), 3)
    assert pack.tolist() == [0, 1, 2]
    assert rank.tolist() == [0, 0, 0]


def test_replication_by_hand():
    # 9 / 1, then 9 / 2 = 4.5 against 5: the fifth replica goes to expert 1.
    expert, copies = replicate(np.array([9, 5, 1], np.float32), 5)
    assert expert.tolist() == [0, 1, 2, 0, 1]
    assert copies.tolist() == [2, 2, 1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_replicas": 6}, "6 replicas a layer are fewer than its 8 experts"),
        ({"num_replicas": 10}, "10 replicas do not share out evenly to 4 ranks"),
        ({"num_groups": 3}, "8 experts do not share out evenly to 3 groups"),
        ({"num_groups": 2, "num_nodes": 4}, "2 groups do not share out evenly to 4 nodes"),
        (
            {"num_ranks": 6, "num_replicas": 12, "num_groups": 4, "num_nodes": 4},
            "6 ranks do not share out evenly to 4 nodes",
        ),
    ],
)
def test_numbers_that_do_not_share_out(change, reason):
    numbers = {"num_replicas": 12, "num_groups": 4, "num_nodes": 2, "num_ranks": 4} | change
    assert why_not_balanced(num_experts=8, **numbers) == reason
    with pytest.raises(ValueError, match=reason):
        balance_hierarchically(np.ones((1, 8)), **numbers)
