from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.errors import InputError
from instances.families import generate
from instances.model import Model
from instances.simulation.tokens import draw_tokens, replay_tokens
from instances.traces import Routes
from tests.strategies import instances


def row_key(user, layer, experts):
    return int(user), int(layer), tuple(sorted(int(e) for e in experts if e >= 0))


def rates_of(instance):
    """Rate of each distinct row, and of each (user, layer)."""
    rows, groups = {}, {}
    for d in range(instance.num_rows):
        low, high = instance.demand_offsets[d : d + 2]
        user, layer = instance.demand_user[d], instance.demand_layer[d]
        rate = float(instance.demand_rate[d])
        key = row_key(user, layer, instance.demand_experts[low:high])
        rows[key] = rows.get(key, 0.0) + rate
        groups[int(user), int(layer)] = groups.get((int(user), int(layer)), 0.0) + rate
    return rows, groups


@given(st.data())
def test_every_row_is_drawn_as_often_as_its_rate_says(data):
    instance = data.draw(instances())
    rows, groups = rates_of(instance)
    count = data.draw(st.integers(1, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    if sum(rows.values()) == 0:
        with pytest.raises(InputError, match="no demand to draw tokens from"):
            draw_tokens(instance, count, rng)
        return
    tokens = draw_tokens(instance, count, rng)
    user_rate = {}
    for (user, _), rate in groups.items():
        user_rate[user] = max(user_rate.get(user, 0.0), rate)
    assert len(tokens) == count
    assert tokens.rate == pytest.approx(sum(user_rate.values()), rel=1e-12)
    drawn = {}
    of_user = np.bincount(tokens.user, minlength=instance.num_users)
    for user, experts in zip(tokens.user, tokens.experts, strict=True):
        layers = instance.models[instance.user_model[user]].layers
        assert (experts[layers:] == -1).all()
        for layer in range(layers):
            key = row_key(user, layer, experts[layer])
            drawn[key] = drawn.get(key, 0) + 1
    # Equal parts of an interval, one point in each: a piece of it holds its share, but for the
    # parts at its two ends; the same row may come in several pieces.
    for user, rate in user_rate.items():
        assert abs(of_user[user] - count * rate / tokens.rate) < 2 + 1e-6
    for key, number in drawn.items():
        assert not key[2] or rows[key] > 0
        pieces = 2 * instance.num_rows
        expected = rows.get(key, user_rate[key[0]] - groups.get(key[:2], 0.0))
        share = expected / user_rate[key[0]]
        assert abs(number - of_user[key[0]] * share) < pieces + 1e-6


def test_one_seed_gives_one_sample():
    instance = generate("mixtral", size="tiny", seed=0)
    one, same, other = (draw_tokens(instance, 50, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one.experts, same.experts)
    assert np.array_equal(one.user, same.user)
    assert not np.array_equal(one.experts, other.experts)


def test_layers_are_independent_and_the_order_is_random():
    instance = generate("mixtral", size="small", seed=0)
    tokens = draw_tokens(instance, 40_000, np.random.default_rng(0))
    mine = tokens.experts[tokens.user == 4]
    first = (mine[:, 0] == mine[0, 0, 0]).any(axis=1)
    second = (mine[:, 1] == mine[0, 1, 0]).any(axis=1)
    # five standard deviations of a correlation of independent bits
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(len(mine))
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 5 / np.sqrt(len(mine))
    assert abs(np.corrcoef(tokens.user[1:], tokens.user[:-1])[0, 1]) < 5 / np.sqrt(len(tokens))


def test_a_layer_with_less_demand_is_passed_in_the_rest_of_the_cases(tiny):
    # ann: 0.75 in layer 0, 1 in layer 1; bob: 0.625 and 0.25
    tokens = draw_tokens(tiny, 1625, np.random.default_rng(0))
    assert tokens.rate == 1.625
    passes = (tokens.experts == -1).all(axis=2)
    ann, bob = tokens.user == 0, tokens.user == 1
    assert ann.sum() == 1000
    assert passes[ann].sum(axis=0).tolist() == [250, 0]
    assert passes[bob].sum(axis=0).tolist() == [0, 375]


@pytest.mark.parametrize("count", [0, -1])
def test_a_sample_has_tokens(tiny, count):
    with pytest.raises(InputError, match=f"tokens: {count} is not at least 1"):
        draw_tokens(tiny, count, np.random.default_rng(0))


def test_large_experts_numbers_keep_their_value(tiny):
    model = Model.uniform("wide", layers=1, experts=40_000, top_k=1, expert_bytes=1)
    wide = replace(
        tiny,
        models=(model,),
        local_offsets=np.zeros(3, dtype=int),
        local_experts=np.zeros(0, dtype=int),
        demand_user=np.array([0]),
        demand_layer=np.array([0]),
        demand_offsets=np.array([0, 1]),
        demand_experts=np.array([39_999]),
        demand_rate=np.array([1.0]),
    )
    tokens = draw_tokens(wide, 3, np.random.default_rng(0))
    assert tokens.experts.ravel().tolist() == [39_999] * 3


def routes(lengths, layers=2, width=2):
    total = sum(lengths)
    experts = np.arange(total * layers * width).reshape(total, layers, width) % 3
    experts[:, :, 1] = -1
    return Routes(experts=experts, offsets=np.cumsum([0, *lengths]))


def test_users_take_turns_in_a_replay(tiny):
    # requests of ann, bob, ann: 2, 1 and 3 tokens
    tokens = replay_tokens(tiny, routes([2, 1, 3]))
    assert tokens.user.tolist() == [0, 1, 0, 0, 0, 0]
    assert tokens.request.tolist() == [0, 1, 0, 2, 2, 2]
    original = routes([2, 1, 3]).experts
    assert np.array_equal(tokens.experts, original[[0, 2, 1, 3, 4, 5]])
    assert tokens.rate == 1.0


def test_requests_go_where_they_are_told(tiny):
    tokens = replay_tokens(tiny, routes([2, 2]), np.array([1, 1]))
    assert tokens.user.tolist() == [1, 1, 1, 1]
    assert tokens.request.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("trace", "grouping", "message"),
    [
        (routes([2, 1]), [0], "grouping: 1 users where 2 requests need one each"),
        (routes([2, 1]), [0, 2], r"grouping\[1\]: 2 is not in 0..1"),
        (routes([2, 1]), [-1, 0], r"grouping\[0\]: -1 is not in 0..1"),
        (routes([2], layers=3), None, "experts: 3 layers, but toy has 2"),
        (routes([2], width=3), None, "experts: 3 experts a token, but toy has 2"),
        (
            Routes(experts=np.array([[[0], [3]]]), offsets=np.array([0, 1])),
            None,
            "experts: expert 3, but toy has 3",
        ),
    ],
)
def test_a_trace_that_does_not_fit_is_refused(tiny, trace, grouping, message):
    with pytest.raises(InputError, match=message):
        replay_tokens(tiny, trace, None if grouping is None else np.array(grouping))
