import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.checker import check
from instances.errors import InputError
from instances.evaluation import evaluate, rows_by_user
from instances.kernels import add
from instances.model import Model
from instances.placement import Placement
from instances.problem import Instance
from tests.strategies import instances, placements, random_instance, random_placement


def take_rows(instance, rows):
    """Return the instance with only these demand rows, in this order."""
    slices = [
        instance.demand_experts[instance.demand_offsets[d] : instance.demand_offsets[d + 1]]
        for d in rows
    ]
    return replace(
        instance,
        demand_user=instance.demand_user[rows],
        demand_layer=instance.demand_layer[rows],
        demand_offsets=np.cumsum([0, *(len(experts) for experts in slices)]),
        demand_experts=np.concatenate([np.empty(0, dtype=np.int32), *slices]),
        demand_rate=instance.demand_rate[rows],
    )


def same(value, expected):
    return value == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_worked_by_hand(tiny, tiny_placement):
    result = evaluate(tiny, tiny_placement)
    assert result.saving_ms == 9.0
    assert result.latency_ms == 14.5625
    assert result.empty_latency_ms == 23.5625
    assert result.user_latency_ms.tolist() == [8.5, 6.0625]
    assert result.user_saving_ms.tolist() == [9.0, 0.0]
    assert result.layer_latency_ms.tolist() == [8.5625, 6.0]
    assert result.layer_saving_ms.tolist() == [3.0, 6.0]
    assert result.used_bytes.tolist() == [20, 30]
    assert result.feasible


def test_nothing_stored(tiny):
    result = evaluate(tiny, Placement.empty(tiny))
    assert (result.latency_ms, result.saving_ms) == (23.5625, 0.0)
    assert result.empty_latency_ms == 23.5625


def test_everything_stored(tiny):
    # ann waits 1 for each of 1.75 rows; bob 6 from near, 0.5 on the device: 3 + 0.0625 + 1.5
    result = evaluate(tiny, Placement(np.ones((2, 6), dtype=np.bool_)))
    assert result.latency_ms == 1.75 + 4.5625
    assert not result.feasible


def test_capacity_is_met_to_the_byte(tiny, tiny_placement):
    assert evaluate(tiny, tiny_placement).feasible
    assert not evaluate(replace(tiny, capacity_bytes=[20, 29]), tiny_placement).feasible
    assert not evaluate(replace(tiny, capacity_bytes=[19, 30]), tiny_placement).feasible


def test_the_slowest_expert_of_a_row_counts(tiny):
    assert evaluate(tiny, Placement.of(tiny, [(0, 0)])).saving_ms == 0.0
    # rows 0 and 3 (its expert 2 is local): 0.5 * (10 - 1) + 0.5 * (8 - 6)
    assert evaluate(tiny, Placement.of(tiny, [(0, 0), (0, 1)])).saving_ms == 5.5


def test_a_server_slower_than_the_cloud_is_not_used(tiny):
    bob = take_rows(tiny, np.array([3, 4, 5]))
    everything = Placement.of(tiny, [(1, x) for x in range(6)])
    assert evaluate(bob, everything).saving_ms == 0.0
    as_fast = replace(bob, latency_ms=[[1.0, 4.0], [6.0, 8.0]])
    assert evaluate(as_fast, everything).saving_ms == 0.0


def test_a_local_expert_is_never_fetched(tiny):
    # local experts come from the device even where a server or the cloud would be faster
    slow_device = replace(tiny, local_latency_ms=[0.0, 100.0])
    result = evaluate(slow_device, Placement(np.ones((2, 6), dtype=np.bool_)))
    assert result.user_latency_ms[1] == 0.5 * 100 + 0.125 * 100 + 0.25 * 6
    assert result.user_saving_ms[1] == 0.25 * 2  # row 5 alone


def test_local_latency_between_server_and_cloud(tiny):
    # row 3 waits max(6, 7): 1 of the 8 - 6 is saved, not 2
    result = evaluate(
        replace(take_rows(tiny, np.array([3])), local_latency_ms=[0.0, 7.0]),
        Placement.of(tiny, [(0, 1)]),
    )
    assert (result.saving_ms, result.latency_ms) == (0.5, 3.5)


def test_users_without_demand_have_no_share(tiny, tiny_placement):
    result = evaluate(take_rows(tiny, np.array([0, 1])), tiny_placement)
    assert result.user_latency_ms[1] == result.user_saving_ms[1] == 0.0
    assert result.layer_latency_ms[1] == result.layer_saving_ms[1] == 0.0


def test_no_demand_at_all(tiny, tiny_placement):
    result = evaluate(take_rows(tiny, np.array([], dtype=int)), tiny_placement)
    assert (result.latency_ms, result.saving_ms, result.empty_latency_ms) == (0.0, 0.0, 0.0)


def test_placement_of_another_shape(tiny):
    with pytest.raises(InputError, match=r"^placement: shape \(2, 5\)"):
        evaluate(tiny, Placement(np.zeros((2, 5), dtype=np.bool_)))


@given(data=st.data(), instance=instances())
def test_splits_add_up_and_agree_with_the_checker_on_each_part(data, instance):
    placement = data.draw(placements(instance))
    result = evaluate(instance, placement)
    assert same(math.fsum(result.user_latency_ms), result.latency_ms)
    assert same(math.fsum(result.layer_latency_ms), result.latency_ms)
    assert same(math.fsum(result.user_saving_ms), result.saving_ms)
    assert same(math.fsum(result.layer_saving_ms), result.saving_ms)
    assert same(result.latency_ms + result.saving_ms, result.empty_latency_ms)
    for user in range(instance.num_users):
        exact = check(take_rows(instance, np.flatnonzero(instance.demand_user == user)), placement)
        assert same(result.user_latency_ms[user], float(exact.latency_ms))
        assert same(result.user_saving_ms[user], float(exact.saving_ms))
    layer_of_row = (
        instance.model_layer_offset[instance.user_model[instance.demand_user]]
        + instance.demand_layer
    )
    for layer in range(instance.num_layers):
        exact = check(take_rows(instance, np.flatnonzero(layer_of_row == layer)), placement)
        assert same(result.layer_latency_ms[layer], float(exact.latency_ms))
        assert same(result.layer_saving_ms[layer], float(exact.saving_ms))


@given(data=st.data(), instance=instances())
def test_storing_more_never_hurts(data, instance):
    more = data.draw(placements(instance)).stored
    less = more & data.draw(placements(instance)).stored
    saving = evaluate(instance, Placement(more)).saving_ms
    # beyond rounding: row by row the terms only grow
    assert evaluate(instance, Placement(less)).saving_ms <= saving * (1 + 1e-12)
    assert saving >= 0.0


@given(data=st.data(), instance=instances())
def test_order_of_rows_users_and_servers_changes_nothing(data, instance):
    placement = data.draw(placements(instance))
    result = evaluate(instance, placement)
    rows = np.array(data.draw(st.permutations(range(instance.num_rows))), dtype=int)
    shuffled = evaluate(take_rows(instance, rows), placement)
    assert same(shuffled.saving_ms, result.saving_ms)
    assert same(shuffled.latency_ms, result.latency_ms)

    servers = np.array(data.draw(st.permutations(range(instance.num_servers))))
    moved = evaluate(
        replace(
            instance,
            server_names=tuple(instance.server_names[n] for n in servers),
            capacity_bytes=instance.capacity_bytes[servers],
            latency_ms=instance.latency_ms[:, servers],
        ),
        Placement(placement.stored[servers]),
    )
    assert moved.saving_ms == result.saving_ms
    assert moved.used_bytes.tolist() == result.used_bytes[servers].tolist()

    users = np.array(data.draw(st.permutations(range(instance.num_users))))
    local = [
        instance.local_experts[instance.local_offsets[u] : instance.local_offsets[u + 1]]
        for u in users
    ]
    renamed = evaluate(
        replace(
            instance,
            user_names=tuple(instance.user_names[u] for u in users),
            user_model=instance.user_model[users],
            latency_ms=instance.latency_ms[users],
            cloud_latency_ms=instance.cloud_latency_ms[users],
            local_latency_ms=instance.local_latency_ms[users],
            local_offsets=np.cumsum([0, *(len(held) for held in local)]),
            local_experts=np.concatenate(local),
            demand_user=np.argsort(users)[instance.demand_user],
        ),
        placement,
    )
    assert same(renamed.saving_ms, result.saving_ms)
    np.testing.assert_allclose(
        renamed.user_latency_ms, result.user_latency_ms[users], rtol=1e-12, atol=0
    )


@given(data=st.data(), instance=instances())
def test_scaling_rates_or_latencies_scales_everything(data, instance):
    placement = data.draw(placements(instance))
    result = evaluate(instance, placement)
    doubled = evaluate(replace(instance, demand_rate=instance.demand_rate * 2), placement)
    assert (doubled.saving_ms, doubled.latency_ms) == (2 * result.saving_ms, 2 * result.latency_ms)
    halved = evaluate(
        replace(
            instance,
            latency_ms=instance.latency_ms / 2,
            cloud_latency_ms=instance.cloud_latency_ms / 2,
            local_latency_ms=instance.local_latency_ms / 2,
        ),
        placement,
    )
    assert (halved.saving_ms, halved.latency_ms) == (result.saving_ms / 2, result.latency_ms / 2)


@given(instance=instances(max_users=4))
def test_rows_by_user(instance):
    expected = sorted(range(instance.num_rows), key=lambda d: instance.demand_user[d])
    if expected == list(range(instance.num_rows)):  # as they are
        expected = []
    assert rows_by_user(instance).tolist() == expected


def plain_numpy(instance: Instance, placement: Placement) -> tuple[float, float]:
    """Evaluate an instance of one model, without local experts, two experts in each row."""
    users, layers = instance.demand_user, instance.demand_layer
    experts = instance.demand_experts.reshape(instance.num_rows, 2)
    flat = layers[:, None] * instance.models[0].experts + experts
    reach = np.where(placement.stored[:, flat], instance.latency_ms.T[:, users, None], np.inf)
    cloud = instance.cloud_latency_ms[users]
    wait = np.minimum(reach.min(axis=0), cloud[:, None]).max(axis=1)
    rate = instance.demand_rate
    return math.fsum(rate * wait), math.fsum(rate * (cloud - wait))


@pytest.mark.parametrize("num_rows", [0, 1, 255, 256, 257, 65535, 65536, 65537])
def test_agrees_with_plain_numpy_for_any_number_of_rows(num_rows):
    rng = np.random.default_rng(num_rows)
    instance = Instance(
        name="rows",
        models=(Model.uniform("m", layers=3, experts=7, top_k=2, expert_bytes=1),),
        server_names=("a", "b", "c"),
        capacity_bytes=np.array([10, 10, 10]),
        user_names=tuple(f"u{u}" for u in range(50)),
        user_model=np.zeros(50, dtype=int),
        latency_ms=rng.uniform(1, 12, (50, 3)),
        cloud_latency_ms=rng.uniform(5, 10, 50),
        local_latency_ms=np.zeros(50),
        local_offsets=np.zeros(51, dtype=int),
        local_experts=np.array([], dtype=int),
        demand_user=rng.integers(0, 50, num_rows),
        demand_layer=rng.integers(0, 3, num_rows),
        demand_offsets=np.arange(num_rows + 1) * 2,
        demand_experts=np.argsort(rng.random((num_rows, 7)), axis=1)[:, :2].ravel(),
        demand_rate=rng.lognormal(0, 3, num_rows),
    )
    placement = random_placement(rng, instance)
    result = evaluate(instance, placement)
    latency, saving = plain_numpy(instance, placement)
    assert same(result.latency_ms, latency)
    assert same(result.saving_ms, saving)


def test_more_servers_than_bits_in_a_word(tiny):
    num_servers = 300
    latency = np.full((2, num_servers), 50.0)
    latency[0, 299] = 1.0
    instance = replace(
        tiny,
        server_names=tuple(f"s{n}" for n in range(num_servers)),
        capacity_bytes=np.full(num_servers, 60),
        latency_ms=latency,
    )
    placement = Placement.of(instance, [(299, x) for x in range(6)])
    assert evaluate(instance, placement).saving_ms == 9 * 1.75


def test_sums_are_compensated():
    values = [1.0, 1e100, 1.0, -1e100] * 1000
    sums, carry = np.zeros(2), np.zeros(2)
    for value in values:
        add(sums, carry, 1, value)
    assert sums[1] + carry[1] == 2000.0
    assert sums[0] == carry[0] == 0.0


def test_same_answer_twice():
    instance = random_instance(np.random.default_rng(5), max_rows=50)
    placement = random_placement(np.random.default_rng(6), instance)
    first, second = evaluate(instance, placement), evaluate(instance, placement)
    assert first.saving_ms == second.saving_ms
    assert first.layer_latency_ms.tolist() == second.layer_latency_ms.tolist()
