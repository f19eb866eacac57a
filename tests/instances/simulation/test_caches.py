from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.errors import InputError
from instances.placement import Placement
from instances.simulation.caches import POLICIES, replay_caches
from instances.simulation.simulator import simulate
from instances.simulation.tokens import Tokens, replay_tokens
from instances.traces import Routes
from tests.instances.simulation.test_simulator import replays
from tests.strategies import instances, placements


def by_hand(instance, tokens, policy, start):
    """The same in dictionaries: each server keeps (uses, last) of all it was asked for."""
    stored = [set(np.flatnonzero(row).tolist()) for row in start.stored]
    asked = [{} for _ in stored]
    sizes, clock = instance.expert_bytes, 0
    times, calls, fetched = [], np.zeros(instance.num_servers + 2, dtype=int), 0
    for u, experts in zip(tokens.user, tokens.experts, strict=True):
        model_idx = instance.user_model[u]
        width = instance.models[model_idx].experts
        first = instance.model_expert_offset[model_idx]
        local = set(instance.user_local_experts(u).tolist())
        cloud = instance.cloud_latency_ms[u]
        home = int(np.argmin(instance.latency_ms[u]))
        total = 0.0
        for layer, row in enumerate(experts[: instance.models[model_idx].layers]):
            wanted = [int(first + layer * width + e) for e in row if e >= 0]
            places = []
            for x in wanted:
                options = [(cloud, instance.num_servers)]
                for n, held in enumerate(stored):
                    if x in held and instance.latency_ms[u, n] < cloud:
                        options.append((instance.latency_ms[u, n], n))
                best = min(options, key=lambda pair: pair[0])
                if x in local:
                    best = (instance.local_latency_ms[u], instance.num_servers + 1)
                places.append(best)
                calls[best[1]] += 1
            total += max((latency for latency, _ in places), default=0.0)
            for x, (_, place) in zip(wanted, places, strict=True):
                if place > instance.num_servers:
                    continue
                clock += 1
                near = [home] if instance.latency_ms[u, home] < cloud else []
                if place < instance.num_servers and place not in near and x in stored[place]:
                    asked[place][x] = (asked[place].get(x, (0, 0))[0] + 1, clock)
                for n in near:
                    asked[n][x] = (asked[n].get(x, (0, 0))[0] + 1, clock)
                    if x in stored[n]:
                        continue

                    def rank(y, n=n):
                        uses, last = asked[n].get(y, (0, 0))
                        return (uses if policy == "lfu" else 0, last)

                    lower = sorted((y for y in stored[n] if rank(y) < rank(x)), key=rank)
                    free = instance.capacity_bytes[n] - sum(int(sizes[y]) for y in stored[n])
                    gone = []
                    while free < sizes[x] and lower:
                        gone.append(lower.pop(0))
                        free += sizes[gone[-1]]
                    if free >= sizes[x]:
                        stored[n] = (stored[n] - set(gone)) | {x}
                        fetched += int(sizes[x])
        times.append(total)
    return np.array(times), calls, fetched, stored


@given(st.data())
def test_caches_do_what_dictionaries_do(data):
    instance = data.draw(instances())
    start = data.draw(placements(instance)) if data.draw(st.booleans()) else None
    routes, grouping = data.draw(replays(instance))
    if start is not None:  # experts that nobody asked for yet rank alike: no such choice to make
        stored = start.stored & (np.cumsum(start.stored, axis=1) <= 1)
        start = Placement(stored)
    tokens = replay_tokens(instance, routes, grouping)
    policy = data.draw(st.sampled_from(POLICIES))
    result = replay_caches(instance, tokens, policy, start=start)
    times, calls, fetched, stored = by_hand(
        instance, tokens, policy, start or Placement.empty(instance)
    )
    assert result.mean.mean == pytest.approx(times.mean(), rel=1e-12, abs=1e-12)
    assert result.calls.tolist() == calls.tolist()
    assert result.fetched_bytes == fetched
    assert [set(np.flatnonzero(row).tolist()) for row in result.placement.stored] == stored
    result.placement.check_capacity(instance)


def one_user(sequence, **changes):
    experts = np.array(sequence, dtype=np.int16)[:, None, None]
    return Tokens(
        user=np.zeros(len(sequence), dtype=np.int64),
        experts=np.concatenate([experts, np.full_like(experts, -1)], axis=1),
        request=np.zeros(len(sequence), dtype=np.int64),
        rate=1.0,
        **changes,
    )


def test_lru_forgets_what_was_wanted_longest_ago(tiny):
    # ann's home ``near`` holds two experts: 0 miss, 1 miss, 0 hit, 2 miss (1 goes), 1 miss
    result = replay_caches(tiny, one_user([0, 1, 0, 2, 1]), "lru")
    assert result.calls.tolist() == [1, 0, 4, 0]
    assert result.mean.mean == (1 + 4 * 10) / 5
    assert result.fetches == 4
    assert result.fetched_bytes == 40
    assert np.flatnonzero(result.placement.stored[0]).tolist() == [1, 2]


def test_lfu_keeps_what_is_wanted_often(tiny):
    # 0 twice, 1 twice; 2 once does not displace them, the third time it does
    tokens = one_user([0, 0, 1, 1, 2, 2, 2, 2])
    result = replay_caches(tiny, tokens, "lfu")
    assert result.calls.tolist() == [1 + 1 + 2, 0, 1 + 1 + 2, 0]
    assert np.flatnonzero(result.placement.stored[0]).tolist() == [1, 2]


def test_another_server_answers_while_the_home_fetches(tiny):
    start = Placement.of(tiny, [(1, 2)])
    result = replay_caches(tiny, one_user([2, 2]), "lru", start=start)
    assert result.calls.tolist() == [1, 1, 0, 0]
    assert result.mean.mean == (4 + 1) / 2


def test_what_warms_the_caches_does_not_count(tiny):
    result = replay_caches(tiny, one_user([0, 0, 0]), "lru", uncounted=1)
    assert result.tokens == 2
    assert result.mean.mean == 1
    assert result.fetched_bytes == 0
    assert result.calls.tolist() == [2, 0, 0, 0]


def test_a_cache_with_room_for_everything_misses_each_expert_once(tiny):
    roomy = replace(tiny, capacity_bytes=np.array([60, 60]))
    rng = np.random.default_rng(0)
    routes = Routes(experts=rng.integers(0, 3, (200, 2, 1)), offsets=np.array([0, 200]))
    tokens = replay_tokens(roomy, routes)
    for policy in POLICIES:
        result = replay_caches(roomy, tokens, policy)
        assert result.fetches == 6
        everything = Placement(np.ones((2, 6), dtype=bool))
        warm = replay_caches(roomy, tokens, policy, start=everything)
        assert warm.mean.mean == simulate(roomy, everything, tokens).mean.mean
        assert warm.fetches == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "fifo"}, "policy: 'fifo' is not one of lru, lfu"),
        ({"uncounted": 3}, r"uncounted: 3 is not in 0..2"),
        ({"start": Placement(np.ones((2, 6), dtype=bool))}, "stores 60 bytes where its capacity"),
    ],
)
def test_wrong_arguments(tiny, arguments, message):
    given_ = {"policy": "lru", **arguments}
    with pytest.raises(InputError, match=message):
        replay_caches(tiny, one_user([0, 1, 2]), given_.pop("policy"), **given_)
