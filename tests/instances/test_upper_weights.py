import math
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.checker import check
from instances.placement import Placement
from instances.structure.clauses import build_clauses
from instances.structure.upper_weights import upper_weights
from tests.strategies import instances, placements


def met(instance, clauses, placement):
    """Tell which clauses a placement satisfies, clause by clause; bool (C,)."""
    found = np.zeros(len(clauses), dtype=np.bool_)
    for c in range(len(clauses)):
        i = clauses.itemset[c]
        experts = clauses.itemset_experts[
            clauses.itemset_offsets[i] : clauses.itemset_offsets[i + 1]
        ]
        servers = clauses.server_sets[clauses.server_set[c]]
        found[c] = placement.stored[np.ix_(servers, experts)].any(axis=0).all()
    return found


@given(instances(wild=True), st.data())
def test_no_placement_saves_more_than_its_upper_weights(instance, data):
    placement = data.draw(placements(instance))
    clauses = build_clauses(instance)
    upper = upper_weights(instance, clauses)
    weights = upper.weight_ms[met(instance, clauses, placement)]
    total = sum(map(Fraction, weights), Fraction())
    exact = check(instance, placement).saving_ms
    assert total + Fraction(upper.vanished_ms) >= exact
    assert Fraction(upper.bound_ms(*weights.tolist())) >= exact


@given(instances(wild=True), st.integers(1, 100))
def test_sums_are_exact_up_to_the_headroom(instance, headroom):
    upper = upper_weights(instance, build_clauses(instance), headroom=headroom)
    exact = [Fraction(weight) / Fraction(upper.unit_ms) for weight in upper.weight_ms.tolist()]
    assert all(count.denominator == 1 for count in exact)
    assert headroom * sum(exact) * upper.unit_ms <= upper.largest_ms
    assert upper.largest_ms == 2**53 * upper.unit_ms
    mantissa, _ = math.frexp(upper.unit_ms)
    assert mantissa == 0.5


@given(instances())
def test_weights_hardly_grow(instance):
    clauses = build_clauses(instance)
    upper = upper_weights(instance, clauses)
    kept = upper.weight_ms > 0.0
    excess = upper.weight_ms - clauses.weight
    assert np.all(excess[kept] >= 0.0)
    assert excess[kept].sum() <= 1e-13 * clauses.weight.sum()


def test_clauses_that_fit_nowhere_weigh_nothing(tiny):
    small = replace(tiny, capacity_bytes=np.array([9, 30]))
    clauses = build_clauses(small)
    upper = upper_weights(small, clauses)
    only_near = clauses.server_sets[clauses.server_set].tolist()
    assert [weight == 0.0 for weight in upper.weight_ms] == [
        servers == [True, False] for servers in only_near
    ]


def test_a_weight_far_below_the_unit_still_counts(tiny):
    """Two rows of one layer, worth 9e300 and 9e-320 ms on the near server."""
    instance = replace(
        tiny,
        demand_user=np.array([0, 0]),
        demand_layer=np.array([0, 0]),
        demand_offsets=np.array([0, 1, 2]),
        demand_experts=np.array([0, 1]),
        demand_rate=np.array([1e300, 1e-320]),
    )
    clauses = build_clauses(instance)
    upper = upper_weights(instance, clauses)
    weights = defaultdict(float)
    for c, expert in enumerate(clauses.itemset_experts[clauses.itemset_offsets[clauses.itemset]]):
        weights[int(expert)] += upper.weight_ms[c]
    assert 0.0 < weights[1] <= 4 * upper.unit_ms
    placement = Placement.of(instance, [(0, 0), (0, 1)])
    assert (
        Fraction(upper.bound_ms(*upper.weight_ms.tolist())) >= check(instance, placement).saving_ms
    )


def test_rows_whose_worth_vanishes_are_still_counted(tiny):
    """The smallest rate there is, times a third of a ms: the product rounds to 0."""
    instance = replace(
        tiny,
        latency_ms=np.array([[1.0, 4.0], [6.0, 9.0]]) / 30,
        cloud_latency_ms=np.array([10.0, 8.0]) / 30,
        local_latency_ms=np.zeros(2),
        demand_user=np.array([0]),
        demand_layer=np.array([0]),
        demand_offsets=np.array([0, 1]),
        demand_experts=np.array([0]),
        demand_rate=np.array([2.0**-1074]),
    )
    clauses = build_clauses(instance)
    assert len(clauses) < 2  # of the two steps, 0.1 and 0.2 ms
    upper = upper_weights(instance, clauses)
    saving = check(instance, Placement.of(instance, [(0, 0)])).saving_ms
    assert saving > 0
    assert Fraction(upper.bound_ms(*upper.weight_ms.tolist())) >= saving


def test_multipliers_go_down_to_the_unit(tiny):
    upper = upper_weights(tiny, build_clauses(tiny))
    values = np.array([-1.0, 0.0, 0.1, 1.0, 1e-300])
    down = upper.down(values)
    assert down[0] == down[1] == down[4] == 0.0
    assert np.all(down <= np.maximum(values, 0.0))
    assert np.all(down > np.maximum(values, 0.0) - upper.unit_ms)
    assert np.all(down % upper.unit_ms == 0.0)


def test_no_demand(tiny):
    idle = replace(tiny, demand_rate=np.zeros(6))
    upper = upper_weights(idle, build_clauses(idle))
    assert upper.weight_ms.size == 0
    assert 0.0 <= upper.bound_ms() < 1e-300


def test_headroom_out_of_range(tiny):
    with pytest.raises(ValueError, match="headroom 0 is not at least 1"):
        upper_weights(tiny, build_clauses(tiny), headroom=0)
