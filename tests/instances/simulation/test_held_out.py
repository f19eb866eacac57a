from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.simulation.held_out import SPLITS, hold_out, join_tokens
from instances.simulation.simulator import simulate
from instances.simulation.tokens import replay_tokens
from instances.simulation.traffic import with_traffic
from instances.traces import Routes, read_routes

ROOT = Path(__file__).parents[3]
RECORDED = ROOT.parent / "shared" / "traces" / "gpt-oss-20b" / "routes.npz"
"""A recorded trace, kept beside the project and not in it."""


def routes(lengths):
    """Token t uses expert t modulo 3 in layer 0, so that tokens can be told apart."""
    tokens = np.arange(sum(lengths))
    experts = np.full((tokens.size, 2, 1), -1)
    experts[:, 0, 0] = tokens % 3
    return Routes(experts=experts, offsets=np.cumsum([0, *lengths]))


def used(tokens):
    return sorted(zip(tokens.user.tolist(), tokens.experts[:, 0, 0].tolist(), strict=True))


def test_requests_alternate_within_each_user(tiny):
    # ann: requests 0, 2, 4; bob: 1, 3
    part = hold_out(tiny, routes([1, 1, 1, 1, 1]), None, "requests")
    assert used(part.warm_up) == [(0, 0), (0, 1), (1, 1)]  # tokens 0, 4 and 1
    assert used(part.replay) == [(0, 2), (1, 0)]  # tokens 2 and 3
    assert part.planned.name == "tiny-by-hand-requests-planned"
    assert part.measured.name == "tiny-by-hand-requests-held-out"
    assert part.measured.demand_rate.tolist() == [0.5, 0.5]


def test_requests_without_tokens_do_not_count(tiny):
    part = hold_out(tiny, routes([1, 0, 1]), np.array([0, 0, 0]), "requests")
    assert used(part.warm_up) == [(0, 0)]
    assert used(part.replay) == [(0, 1)]


def test_time_splits_the_tokens_of_each_user(tiny):
    # ann: tokens 0, 1, 2 and 4, 5; bob: 3. The later half, where it is odd the smaller part
    part = hold_out(tiny, routes([3, 1, 2]), None, "time")
    assert used(part.warm_up) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert used(part.replay) == [(0, 1), (0, 2)]
    assert part.replay.request.tolist() == [0, 0]


def test_every_second_user_is_held_out(tiny):
    part = hold_out(tiny, routes([2, 1, 1]), None, "users")
    assert set(part.warm_up.user) == {0}
    assert set(part.replay.user) == {1}


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.sampled_from(sorted(SPLITS)),
    st.integers(0, 100),
)
def test_every_token_is_in_one_part(lengths, split, seed):
    instance = generate("mixtral", size="tiny", seed=0)
    rng = np.random.default_rng(seed)
    experts = rng.random((sum(lengths), 2, 8)).argsort(axis=2)[:, :, :2]
    if not experts.size:
        return
    trace = Routes(experts=experts, offsets=np.cumsum([0, *lengths]))
    grouping = rng.integers(0, instance.num_users, len(lengths))
    try:
        part = hold_out(instance, trace, grouping, split)
    except InputError as error:
        assume("leaves one part empty" not in str(error))
        raise
    whole = with_traffic(instance, trace, grouping)
    placement = Placement(rng.random((instance.num_servers, instance.num_experts)) < 0.3)
    shares = [len(part.warm_up) / trace.num_tokens, len(part.replay) / trace.num_tokens]
    assert sum(shares) == 1
    mixed = sum(
        share * evaluate(one, placement).latency_ms
        for share, one in zip(shares, (part.planned, part.measured), strict=True)
    )
    assert mixed == pytest.approx(evaluate(whole, placement).latency_ms, rel=5e-9)
    both = join_tokens(part.warm_up, part.replay)
    assert simulate(whole, placement, both).mean.mean == pytest.approx(mixed, rel=5e-9)
    assert not set(both.request[: len(part.warm_up)]) & set(both.request[len(part.warm_up) :])


@pytest.mark.parametrize(
    ("lengths", "grouping", "split", "message"),
    [
        ([1, 1], None, "requests", "leaves one part empty: users have one request each"),
        ([2, 2], [1, 1], "users", "leaves one part empty: there is one user"),
        ([1, 1], None, "time", "leaves one part empty: there is one token"),
        ([2, 2], None, "weeks", "'weeks' is not one of requests, time, users"),
    ],
)
def test_what_cannot_be_split(tiny, lengths, grouping, split, message):
    with pytest.raises(InputError, match=f"split: .*{message}"):
        hold_out(tiny, routes(lengths), None if grouping is None else np.array(grouping), split)


@pytest.mark.skipif(not RECORDED.exists(), reason="no recorded routing beside the project")
def test_recorded_routing():
    trace = read_routes(RECORDED)
    small = generate("gpt-oss", size="real", seed=0)
    model = small.models[0]
    assert (model.layers, model.experts) == (trace.num_layers, 32)
    made = with_traffic(small, trace)
    full = Placement(np.random.default_rng(0).random((small.num_servers, small.num_experts)) < 0.2)
    result = simulate(made, full, replay_tokens(made, trace))
    assert result.tokens == 17_891
    assert result.mean.mean == pytest.approx(evaluate(made, full).latency_ms, rel=1e-9)
    part = hold_out(small, trace, np.arange(40) % 4, "requests")
    assert len(part.warm_up) + len(part.replay) == 17_891
