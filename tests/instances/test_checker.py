from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from instances import checker
from instances.checker import check
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import FAMILIES, generate
from instances.model import MAX_BYTES, Model
from instances.placement import Placement
from instances.problem import Instance
from tests.strategies import instances, placements, random_instance, random_placement


def assert_agreement(instance, placement):
    exact, result = check(instance, placement), evaluate(instance, placement)
    for value, expected in (
        (result.latency_ms, exact.latency_ms),
        (result.saving_ms, exact.saving_ms),
        (result.empty_latency_ms, exact.latency_ms + exact.saving_ms),
    ):
        assert abs(Fraction(value) - expected) <= expected * Fraction(1, 10**12)
    assert exact.used_bytes == tuple(result.used_bytes.tolist())
    assert exact.feasible == result.feasible


def test_worked_by_hand(tiny, tiny_placement):
    exact = check(tiny, tiny_placement)
    assert exact.saving_ms == 9
    assert exact.latency_ms == Fraction(233, 16)
    assert exact.used_bytes == (20, 30)
    assert exact.overfull == ()
    assert exact.feasible


def test_nothing_is_rounded(tiny):
    # 0.1 is not a tenth; the file says which number it is, and that number counts
    instance = replace(tiny, demand_rate=[0.1, 0.2, 0.3, 0.0, 0.0, 0.0])
    exact = check(instance, Placement.empty(instance))
    assert exact.latency_ms == 10 * (Fraction(0.1) + Fraction(0.2) + Fraction(0.3))
    assert exact.latency_ms != 6
    assert exact.saving_ms == 0


def test_local_experts_by_hand(tiny):
    # row 3 waits for expert 1 alone (6 from near); row 4 waits 7 on the device, before and after
    instance = replace(tiny, local_latency_ms=[0.0, 7.0])
    exact = check(instance, Placement.of(instance, [(0, 1)]))
    assert exact.saving_ms == Fraction(1, 2) * (8 - 7)
    assert exact.latency_ms == Fraction(35, 2) + Fraction(1, 2) * 7 + Fraction(7, 8) + 2


def test_overfull_servers_are_listed(tiny):
    everything = Placement(np.ones((2, 6), dtype=np.bool_))
    exact = check(replace(tiny, capacity_bytes=[60, 59]), everything)
    assert exact.used_bytes == (60, 60)
    assert exact.overfull == (1,)
    assert not exact.feasible
    assert check(tiny, everything).overfull == (0, 1)


def test_bytes_beyond_the_precision_of_floats(tiny):
    model = Model(name="huge", expert_bytes=np.array([[2**61 + 1, 2**61 - 1]]), top_k=2)
    instance = replace(
        tiny,
        models=(model,),
        capacity_bytes=[MAX_BYTES - 1, MAX_BYTES],
        local_offsets=[0, 0, 0],
        local_experts=[],
        demand_user=[0],
        demand_layer=[0],
        demand_offsets=[0, 1],
        demand_experts=[0],
        demand_rate=[1.0],
    )
    exact = check(instance, Placement(np.ones((2, 2), dtype=np.bool_)))
    assert exact.used_bytes == (MAX_BYTES, MAX_BYTES)
    assert exact.overfull == (0,)


def test_placement_of_another_shape(tiny):
    with pytest.raises(InputError, match=r"^placement: shape \(3, 6\)"):
        check(tiny, Placement(np.zeros((3, 6), dtype=np.bool_)))


def by_definition(instance, placement):
    """Return (empty latency, latency), row by row in fractions."""
    empty_latency, latency = Fraction(), Fraction()
    for d in range(instance.num_rows):
        user, layer = int(instance.demand_user[d]), int(instance.demand_layer[d])
        first = instance.model_expert_offset[instance.user_model[user]]
        first += layer * instance.models[instance.user_model[user]].experts
        cloud = Fraction(float(instance.cloud_latency_ms[user]))
        on_device = Fraction(float(instance.local_latency_ms[user]))
        own = set(instance.user_local_experts(user).tolist())
        waits = []
        for e in instance.demand_experts[slice(*instance.demand_offsets[d : d + 2])]:
            reach = [
                cloud,
                *map(Fraction, instance.latency_ms[user, placement.stored[:, first + e]]),
            ]
            waits.append((on_device, on_device) if first + e in own else (cloud, min(reach)))
        rate = Fraction(float(instance.demand_rate[d]))
        empty_latency += rate * max(empty for empty, _ in waits)
        latency += rate * max(wait for _, wait in waits)
    return empty_latency, latency


@pytest.mark.parametrize("together", [1, 3, 2**16])
@given(data=st.data(), instance=instances(max_models=3, max_users=5, max_rows=20, wild=True))
def test_the_definition_in_fractions_whatever_is_done_together(together, data, instance):
    placement = data.draw(placements(instance))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checker, "_ROWS_AT_A_TIME", together)
        patch.setattr(checker, "_RANKS_AT_A_TIME", together * instance.num_experts)
        exact = check(instance, placement)
    empty_latency, latency = by_definition(instance, placement)
    assert (exact.latency_ms, exact.saving_ms) == (latency, empty_latency - latency)


@given(
    rates=st.lists(st.floats(0.0, 1e200), min_size=1, max_size=30),
    server_ms=st.floats(0.0, 1e100),
    cloud_ms=st.floats(0.0, 1e100),
)
@example(rates=[5e-324, 2.0**-1022, 1.0, 1e200], server_ms=5e-324, cloud_ms=1e100)
@example(rates=[np.nextafter(1.0, 0.0)] * 30, server_ms=1.0, cloud_ms=np.nextafter(1.0, 2.0))
def test_every_bit_of_every_rate_counts(rates, server_ms, cloud_ms):
    instance = chain(server_ms, cloud_ms, rates)
    exact = check(instance, Placement.of(instance, [(0, 0)]))
    total = sum(map(Fraction, rates), Fraction())
    assert exact.latency_ms == total * Fraction(min(server_ms, cloud_ms))
    assert exact.latency_ms + exact.saving_ms == total * Fraction(cloud_ms)


def test_sums_are_whole_for_as_many_rows_as_are_added_together():
    # all ones: the largest whole number of 53 bits in each of 2^16 rows, and one row more
    rates = [np.nextafter(1.0, 0.0)] * (checker._ROWS_AT_A_TIME + 1)  # noqa: SLF001  the limit
    instance = chain(1.0, 3.0, rates)
    exact = check(instance, Placement.of(instance, [(0, 0)]))
    assert exact.latency_ms == len(rates) * (1 - Fraction(1, 2**53))


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("seed", range(200))
def test_evaluator_agrees(seed, wild):
    rng = np.random.default_rng([seed, wild])
    instance = random_instance(rng, max_users=5, max_experts=6, max_rows=60, wild=wild)
    assert_agreement(instance, random_placement(rng, instance))


@given(data=st.data(), instance=instances(wild=True))
def test_evaluator_agrees_on_what_hypothesis_finds(data, instance):
    assert_agreement(instance, data.draw(placements(instance)))


@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_evaluator_agrees_on_every_family(family):
    instance = generate(family, size="tiny", seed=1)
    rng = np.random.default_rng(0)
    for placement in (Placement.empty(instance), random_placement(rng, instance)):
        assert_agreement(instance, placement)


def chain(server_ms: float, cloud_ms: float, rates: list[float]) -> Instance:
    """One user, one server, one layer; expert 0 in every row."""
    return Instance(
        name="chain",
        models=(Model.uniform("m", layers=1, experts=2, top_k=1, expert_bytes=1),),
        server_names=("s",),
        capacity_bytes=np.array([1]),
        user_names=("u",),
        user_model=np.array([0]),
        latency_ms=np.array([[server_ms]]),
        cloud_latency_ms=np.array([cloud_ms]),
        local_latency_ms=np.array([0.0]),
        local_offsets=np.array([0, 0]),
        local_experts=np.array([], dtype=int),
        demand_user=np.zeros(len(rates), dtype=int),
        demand_layer=np.zeros(len(rates), dtype=int),
        demand_offsets=np.arange(len(rates) + 1),
        demand_experts=np.zeros(len(rates), dtype=int),
        demand_rate=np.array(rates),
    )


@pytest.mark.parametrize(
    ("server_ms", "cloud_ms"),
    [
        (np.nextafter(10.0, 0.0), 10.0),  # the saving is 2e-16 of the latency
        (1e-12, 1e9),  # the latency is 1e-21 of the saving
        (0.0, 10.0),
        (10.0, 10.0),
    ],
)
def test_evaluator_agrees_where_one_is_tiny_against_the_other(server_ms, cloud_ms):
    rng = np.random.default_rng(1)
    instance = chain(server_ms, cloud_ms, rng.lognormal(0, 5, 2000).tolist())
    placement = Placement.of(instance, [(0, 0)])
    assert_agreement(instance, placement)
    assert check(instance, placement).saving_ms == (
        (Fraction(cloud_ms) - Fraction(server_ms)) * sum(map(Fraction, instance.demand_rate))
    )


def test_evaluator_agrees_on_one_large_row_and_many_small_ones():
    instance = chain(1.0, 3.0, [1e16] + [1.0] * 20_000)
    assert_agreement(instance, Placement.of(instance, [(0, 0)]))
