"""Queueing against an independent simulation by SimPy and against formulas."""

import math
from dataclasses import replace

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.errors import InputError
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.simulation.kernels import find_place, stretch, uniform
from instances.simulation.queue_kernels import Service, Traffic, run
from instances.simulation.queueing import Queueing
from instances.simulation.simulator import make_world, simulate
from instances.simulation.tokens import draw_tokens
from tests.strategies import random_instance, random_placement


def by_simpy(world, service, traffic):
    """The same system written down as processes: every call holds a resource."""
    environment = simpy.Environment()
    num_servers = world.latency_ms.shape[1]
    boxes = [simpy.Resource(environment) for _ in range(num_servers)]
    _, layers, width = traffic.experts.shape
    times, waits, order = {}, np.zeros(num_servers), []

    def call(u, x, counter):
        place, latency = find_place(world, u, x)
        factor = stretch(service.sigma, service.travel_seed, counter)
        if place >= num_servers:
            yield environment.timeout(latency * factor)
            return
        mean = service.mean_ms[u, place]
        travel = (latency - mean) * factor
        if service.law == 1:
            mean *= -math.log(uniform(service.service_seed, counter))
        yield environment.timeout(travel / 2)
        reached = environment.now
        with boxes[place].request() as turn:
            yield turn
            waits[place] += environment.now - reached
            yield environment.timeout(mean)
        yield environment.timeout(travel / 2)

    def token(t):
        number, began = len(order), environment.now
        order.append(t)
        u = traffic.user[t]
        for layer in range(min(layers, world.user_layers[u])):
            calls = []
            for k in range(width):
                e = traffic.experts[t, layer, k]
                if e >= 0:
                    counter = (number * layers + layer) * width + k
                    x = layer * world.user_experts[u] + e
                    calls.append(environment.process(call(u, x, counter)))
            if calls:
                yield environment.all_of(calls)
        times[number] = environment.now - began

    def source():
        for t, arrival in enumerate(traffic.arrival_ms):
            yield environment.timeout(arrival - environment.now)
            environment.process(token(t))

    def decode(u):
        mine = traffic.turns[traffic.turn_offsets[u] : traffic.turn_offsets[u + 1]]
        for turn in range(traffic.total):
            if len(order) == traffic.total or mine.size == 0:
                return
            yield environment.process(token(mine[turn % mine.size]))

    if traffic.arrival_ms.size:
        environment.process(source())
    else:
        for u in range(world.cloud_ms.size):
            environment.process(decode(u))
    environment.run()
    user = np.array([traffic.user[t] for t in order])
    return user, np.array([times[i] for i in range(len(order))]), waits


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_event_loop_agrees_with_simpy(seed, closed):
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, max_users=4, max_rows=30)
    # no two equal times, so that the order of calls is the same in both
    instance = replace(
        instance,
        latency_ms=rng.uniform(1, 20, instance.latency_ms.shape),
        cloud_latency_ms=rng.uniform(15, 30, instance.num_users),
        local_latency_ms=rng.uniform(0.1, 1, instance.num_users),
        demand_rate=instance.demand_rate + 0.1,
    )
    if instance.num_rows == 0:
        pytest.skip("this draw has no demand")
    stored = random_placement(rng, instance).stored | (rng.random() < 0.5)
    tokens = draw_tokens(instance, 60, rng)
    world = make_world(instance, Placement(stored))
    service = Service(
        mean_ms=instance.latency_ms * rng.uniform(0, 1, instance.num_servers),
        law=seed % 2,
        sigma=(seed % 3) * 0.3,
        service_seed=seed,
        travel_seed=seed + 1,
    )
    turns = np.argsort(tokens.user, kind="stable")
    traffic = Traffic(
        user=tokens.user,
        experts=tokens.experts,
        arrival_ms=np.empty(0) if closed else np.cumsum(rng.exponential(4.0, 60)),
        turn_offsets=np.searchsorted(tokens.user[turns], np.arange(instance.num_users + 1)),
        turns=turns,
        total=100 if closed else 60,
        uncounted=0,
    )
    user, times, waits = by_simpy(world, service, traffic)
    seen = run(world, service, traffic)
    # users whose tokens take no time at all would decode for ever; there are none here
    assert tokens.user[seen.token].tolist() == user.tolist()
    assert seen.time_ms == pytest.approx(times, rel=1e-9, abs=1e-9)
    assert seen.wait_ms == pytest.approx(waits, rel=1e-9, abs=1e-9)
    assert seen.layer_ms.sum() == pytest.approx(times.sum(), rel=1e-9)


def one_server(latencies, rates):
    """One layer with one expert, stored on the only server."""
    users = len(latencies)
    return Instance(
        name="queue",
        models=(Model.uniform("one", layers=1, experts=1, top_k=1, expert_bytes=1),),
        server_names=("box",),
        capacity_bytes=np.array([1]),
        user_names=tuple(f"u{u}" for u in range(users)),
        user_model=np.zeros(users, dtype=int),
        latency_ms=np.array(latencies, dtype=float)[:, None],
        cloud_latency_ms=np.full(users, 1e6),
        local_latency_ms=np.zeros(users),
        local_offsets=np.zeros(users + 1, dtype=int),
        local_experts=np.zeros(0, dtype=int),
        demand_user=np.arange(users),
        demand_layer=np.zeros(users, dtype=int),
        demand_offsets=np.arange(users + 1),
        demand_experts=np.zeros(users, dtype=int),
        demand_rate=np.array(rates, dtype=float),
    )


def measure(instance, queueing, count=400_000, seed=0):
    tokens = draw_tokens(instance, count, np.random.default_rng(seed))
    stored = Placement(np.ones((1, 1), dtype=bool))
    return simulate(instance, stored, tokens, queueing=queueing, seed=seed)


@pytest.mark.parametrize("law", ["fixed", "exponential"])
@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_server_waits_as_pollaczek_and_khinchine_say(load, law):
    # 2 ms of service in 5 ms of latency; second moment 4 (M/D/1) or 8 (M/M/1)
    queueing = Queueing(service_ms=(2.0,), law=law, arrivals_per_s=1e3 * load / 2)
    result = measure(one_server([5.0], [1.0]), queueing)
    second = 4 if law == "fixed" else 8
    expected = (load / 2) * second / (2 * (1 - load))
    assert result.queue_ms[0] == pytest.approx(expected, rel=0.04)
    assert result.load[0] == pytest.approx(load, rel=0.01)
    assert 5 + expected in result.mean
    assert result.mean.half_width < 0.05 * result.mean.mean


def test_services_of_several_lengths_wait_as_pollaczek_and_khinchine_say():
    # M/G/1: half a latency of 2 or 10 ms, three times in four the shorter
    queueing = Queueing(service_share=0.5, arrivals_per_s=300.0)
    result = measure(one_server([2.0, 10.0], [0.75, 0.25]), queueing)
    mean, second = 0.75 * 1 + 0.25 * 5, 0.75 * 1 + 0.25 * 25
    expected = 0.3 * second / (2 * (1 - 0.3 * mean))
    assert result.queue_ms[0] == pytest.approx(expected, rel=0.04)
    assert result.load[0] == pytest.approx(0.3 * mean, rel=0.01)
    # travel is outside the queue: users wait their own latency and the same queue
    assert result.user_ms == pytest.approx([2 + expected, 10 + expected], rel=0.03)


def test_too_much_is_told_by_the_load():
    queueing = Queueing(service_ms=(2.0,), arrivals_per_s=600.0)
    result = measure(one_server([5.0], [1.0]), queueing, count=20_000)
    assert result.load[0] == pytest.approx(1.2, rel=0.05)
    assert result.mean.batch_correlation > 0.5
    assert result.mean.mean > 100


def test_users_who_decode_one_token_after_another():
    # Deterministic and busy: three users at one box of 2 ms; each comes back after 3 ms of travel,
    # so the box never rests and serves 500 calls a second: 6 ms for each turn of a user.
    queueing = Queueing(service_ms=(2.0,))
    result = measure(one_server([5.0, 5.0, 5.0], [0.2, 0.3, 0.5]), queueing, count=3000)
    assert result.mean.mean == pytest.approx(6.0, rel=1e-3)
    assert result.user_tokens.tolist() == [900, 900, 900]
    assert result.load[0] == pytest.approx(1.0, rel=2e-3)
    # two of them need not wait
    calm = measure(one_server([5.0, 5.0], [0.5, 0.5]), queueing, count=3000)
    assert calm.mean.mean == pytest.approx(5.0, rel=1e-3)
    assert calm.load[0] == pytest.approx(4 / 5, rel=2e-3)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.booleans())
def test_without_service_nobody_queues(seed, closed):
    rng = np.random.default_rng(seed)
    instance = random_instance(rng)
    instance = replace(instance, demand_rate=instance.demand_rate + 0.1)
    if instance.num_rows == 0:
        return
    placement = random_placement(rng, instance)
    tokens = draw_tokens(instance, 40, rng)
    queueing = Queueing(service_share=0.0, arrivals_per_s=None if closed else 100.0)
    queued = simulate(instance, placement, tokens, queueing=queueing)
    assert np.nan_to_num(queued.queue_ms).sum() == pytest.approx(0, abs=1e-9)
    if not closed:
        later = replace_tokens(tokens, slice(4, None))
        alone = simulate(instance, placement, later)
        assert queued.mean.mean == pytest.approx(alone.mean.mean, rel=1e-9, abs=1e-9)
        assert queued.layer_ms == pytest.approx(alone.layer_ms, rel=1e-9, abs=1e-9)
        assert queued.calls.tolist() == alone.calls.tolist()


def replace_tokens(tokens, part):
    return replace(
        tokens, user=tokens.user[part], experts=tokens.experts[part], request=tokens.request[part]
    )


@pytest.mark.parametrize(("family", "top_k"), [("switch", 1), ("mixtral", 2)])
def test_more_load_costs_more(family, top_k):
    instance = generate(family, size="small", seed=0)
    placement = Placement(np.ones((instance.num_servers, instance.num_experts), dtype=bool))
    tokens = draw_tokens(instance, 20_000, np.random.default_rng(0))
    alone = simulate(instance, placement, tokens).mean.mean
    means = [
        simulate(
            instance, placement, tokens, queueing=Queueing(service_share=0.2, arrivals_per_s=rate)
        ).mean.mean
        for rate in (0.01, 20, 60)
    ]
    # All experts of a token are on the same box, which computes one after the other.
    assert means[0] == pytest.approx(alone * (1 + 0.2 * (top_k - 1)), rel=0.01)
    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "service: give times in ms or a share of the latency"),
        ({"service_ms": (1.0,), "service_share": 0.5}, "service: give times in ms or a share"),
        ({"service_ms": (1.0, -1.0)}, r"service\[1\]: -1.0 is not a finite number >= 0"),
        ({"service_ms": (math.nan,)}, r"service\[0\]: nan is not"),
        ({"service_share": 1.5}, "service: 1.5 is not a share in 0..1"),
        ({"service_share": 0.5, "law": "normal"}, "law: 'normal' is not one of fixed, exponential"),
        ({"service_share": 0.5, "arrivals_per_s": 0.0}, "arrivals: 0.0 is not a positive rate"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Queueing(**arguments)


def test_a_service_longer_than_the_latency_is_refused(tiny):
    with pytest.raises(InputError, match=r"service\[0\]: 2.0 ms is more than the whole latency of"):
        Queueing(service_ms=(2.0,)).mean_ms(tiny)
    with pytest.raises(InputError, match=r"service\[1\]: 5.0 ms .* 'ann' at server 'far', 4.0 ms"):
        Queueing(service_ms=(1.0, 5.0)).mean_ms(tiny)
    with pytest.raises(InputError, match="service: 3 values where 1 or 2 are needed"):
        Queueing(service_ms=(1.0, 1.0, 1.0)).mean_ms(tiny)
    assert Queueing(service_share=0.5).mean_ms(tiny).tolist() == [[0.5, 2], [3, 4.5]]
