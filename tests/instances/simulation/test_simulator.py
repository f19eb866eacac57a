import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heuristics import HEURISTICS
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import FAMILIES, generate
from instances.placement import Placement
from instances.simulation.kernels import stretch, uniform
from instances.simulation.simulator import jain_index, simulate
from instances.simulation.tokens import Tokens, draw_tokens, replay_tokens
from instances.simulation.traffic import with_traffic
from instances.traces import Routes
from tests.strategies import instances, placements

CASES = [
    (family.name, size) for family in FAMILIES for size in ("tiny", "small") if size in family.sizes
]


@pytest.mark.parametrize(("family", "size"), CASES)
def test_the_mean_agrees_with_the_evaluator_on_every_family(family, size):
    instance = generate(family, size=size, seed=0)
    placement = HEURISTICS.get("popularity").solve(instance, rng=np.random.default_rng(0))
    tokens = draw_tokens(instance, 20_000, np.random.default_rng(0))
    result = simulate(instance, placement, tokens)
    latency = evaluate(instance, placement).latency_ms
    assert result.static_ms == latency
    assert latency in result.mean
    assert result.mean.half_width < 0.02 * evaluate(instance, placement).empty_latency_ms
    # and closer than any sample of independent tokens would dare
    assert abs(result.mean.mean - latency) <= 0.15 * result.mean.half_width
    assert result.layer_ms.sum() == pytest.approx(result.mean.mean, rel=1e-9)


def test_by_hand(tiny, tiny_placement):
    # One request of ann, one of bob; see the fixture for who holds what.
    experts = np.array(
        [
            [[0, 1], [2, 1]],  # ann: max(1, 4), max(4, 1) = 8
            [[2, -1], [0, -1]],  # ann: cloud 10, far 4 = 14
            [[1, 2], [0, -1]],  # bob: max(cloud 8, local 0.5), cloud 8 = 16
            [[-1, -1], [1, -1]],  # bob: none, near 6 = 6
        ]
    )
    tokens = replay_tokens(tiny, Routes(experts=experts, offsets=np.array([0, 2, 4])))
    result = simulate(tiny, tiny_placement, tokens)
    assert result.tokens == 4
    assert result.mean.mean == 11
    assert result.percentiles_ms == (8, 16, 16)
    assert result.user_ms.tolist() == [11, 11]
    assert result.user_tokens.tolist() == [2, 2]
    assert result.fairness == 1
    assert result.layer_ms.tolist() == [22 / 4, 22 / 4]
    # near: 0 and 1 of ann's first token, 1 of bob's last; far: 1, 2, 0; cloud: 2, 1, 0; device: 2
    assert result.calls.tolist() == [3, 3, 3, 1]
    assert result.call_shares.tolist() == [0.3, 0.3, 0.3, 0.1]
    assert (result.load, result.queue_ms) == (None, None)
    # two clusters with sums 22 and 22: no spread between them
    assert result.mean.half_width < 1e-9


def test_the_worst_user(tiny, tiny_placement):
    tokens = draw_tokens(tiny, 100, np.random.default_rng(0))
    result = simulate(tiny, tiny_placement, tokens)
    assert result.worst_user == int(np.argmax(result.user_ms))
    alone = replace(tiny, demand_rate=tiny.demand_rate * (tiny.demand_user == 1))
    result = simulate(alone, tiny_placement, draw_tokens(alone, 100, np.random.default_rng(0)))
    assert math.isnan(result.user_ms[0])
    assert result.worst_user == 1
    assert result.fairness == 1


@st.composite
def replays(draw, instance):
    """A trace that users of the first model decode; None where there is no such user."""
    users = np.flatnonzero(instance.user_model == instance.user_model[0])
    model = instance.models[instance.user_model[0]]
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    lengths[0] += 1
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (sum(lengths), model.layers, model.top_k)
    experts = rng.random((*shape[:2], model.experts)).argsort(axis=2)[:, :, : model.top_k]
    experts = np.where(rng.random(shape) < 0.2, -1, experts)
    routes = Routes(experts=experts, offsets=np.cumsum([0, *lengths]))
    return routes, rng.choice(users, len(lengths))


@given(st.data())
def test_the_mean_over_a_trace_is_t_of_the_instance_made_of_it(data):
    instance = data.draw(instances())
    placement = data.draw(placements(instance))
    routes, grouping = data.draw(replays(instance))
    made = with_traffic(instance, routes, grouping, name="replayed")
    assert made.name == "replayed"
    tokens = replay_tokens(made, routes, grouping)
    result = simulate(made, placement, tokens)
    evaluation = evaluate(made, placement)
    # rates have nine digits
    assert result.mean.mean == pytest.approx(evaluation.latency_ms, rel=2e-9, abs=1e-12)
    assert result.layer_ms == pytest.approx(evaluation.layer_latency_ms, rel=2e-9, abs=1e-12)
    seen = result.user_tokens > 0
    shares = result.user_tokens / len(tokens)
    assert (result.user_ms * shares)[seen] == pytest.approx(
        evaluation.user_latency_ms[seen], rel=2e-9, abs=1e-12
    )
    assert int(result.calls.sum()) == int((routes.experts >= 0).sum())


@given(st.data())
def test_another_copy_hurts_nobody(data):
    instance = data.draw(instances())
    placement = data.draw(placements(instance))
    routes, grouping = data.draw(replays(instance))
    tokens = replay_tokens(instance, routes, grouping)
    server = data.draw(st.integers(0, instance.num_servers - 1))
    stored = placement.stored.copy()
    stored[server] = True
    less = simulate(instance, placement, tokens)
    more = simulate(instance, Placement(stored), tokens)
    assert (more.layer_ms <= less.layer_ms).all()
    assert (np.nan_to_num(more.user_ms) <= np.nan_to_num(less.user_ms)).all()
    assert all(np.array(more.percentiles_ms) <= less.percentiles_ms)


def test_times_of_a_demand_that_adds_up_to_less_are_in_the_unit_of_t(tiny, tiny_placement):
    half = replace(tiny, demand_rate=tiny.demand_rate / 2)
    whole, result = (
        simulate(instance, tiny_placement, draw_tokens(instance, 50, np.random.default_rng(0)))
        for instance in (tiny, half)
    )
    assert result.static_ms == whole.static_ms / 2
    assert result.mean.mean == pytest.approx(whole.mean.mean / 2)
    assert result.user_ms == pytest.approx(whole.user_ms / 2)
    assert result.percentiles_ms == pytest.approx(tuple(t / 2 for t in whole.percentiles_ms))


def test_jitter_keeps_the_mean_of_single_calls():
    instance = generate("switch", size="small", seed=0)  # K = 1: no slowest of several
    placement = HEURISTICS.get("greedy").solve(instance, rng=np.random.default_rng(0))
    tokens = draw_tokens(instance, 20_000, np.random.default_rng(0))
    calm, rough = (simulate(instance, placement, tokens, jitter=c, seed=3) for c in (0, 0.5))
    assert calm.static_ms in rough.mean
    assert rough.mean.half_width > calm.mean.half_width
    assert rough.mean.mean != calm.mean.mean
    assert simulate(instance, placement, tokens, jitter=0.5, seed=3).mean == rough.mean
    assert simulate(instance, placement, tokens, jitter=0.5, seed=4).mean != rough.mean


def test_the_slowest_of_several_calls_suffers_from_jitter():
    instance = generate("gpt-oss", size="small", seed=0)  # K = 4
    tokens = draw_tokens(instance, 5_000, np.random.default_rng(0))
    result = simulate(instance, Placement.empty(instance), tokens, jitter=0.5)
    # all four come from one place: the mean of the largest of four lognormals
    rng = np.random.default_rng(0)
    sigma = math.sqrt(math.log(1.25))
    largest = np.exp(sigma * rng.normal(size=(200_000, 4)) - sigma**2 / 2).max(axis=1).mean()
    assert result.mean.mean == pytest.approx(result.static_ms * largest, rel=0.01)


def test_random_numbers_are_uniform_and_factors_have_their_moments():
    values = np.array([uniform(12345, i) for i in range(100_000)])
    assert 0 < values.min() < values.max() < 1
    counts = np.bincount((values * 100).astype(int), minlength=100)
    assert ((counts - 1000) ** 2 / 1000).sum() < 99 + 5 * math.sqrt(2 * 99)
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 5 / math.sqrt(values.size)
    factors = np.array([stretch(0.5, 7, i) for i in range(100_000)])
    deviation = math.sqrt(math.expm1(0.25))
    assert factors.mean() == pytest.approx(1, abs=5 * deviation / math.sqrt(factors.size))
    assert factors.std() == pytest.approx(deviation, rel=0.03)
    assert stretch(0.0, 7, 1) == 1


@pytest.mark.parametrize("jitter", [-0.1, math.inf, math.nan])
def test_jitter_is_a_number_from_0(tiny, tiny_placement, jitter):
    tokens = draw_tokens(tiny, 2, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"jitter: .* is not a finite number >= 0"):
        simulate(tiny, tiny_placement, tokens, jitter=jitter)


def test_a_placement_of_another_instance_is_refused(tiny):
    tokens = draw_tokens(tiny, 2, np.random.default_rng(0))
    with pytest.raises(InputError, match="placement: shape"):
        simulate(tiny, Placement(np.zeros((1, 1), dtype=bool)), tokens)


def test_a_token_without_experts_takes_no_time(tiny, tiny_placement):
    none = Tokens(
        user=np.zeros(3, dtype=np.int64),
        experts=np.full((3, 2, 1), -1, dtype=np.int16),
        request=np.arange(3),
        rate=1.0,
    )
    result = simulate(tiny, tiny_placement, none)
    assert result.mean.mean == 0
    assert result.fairness == 1
    assert result.call_shares.sum() == 0


@pytest.mark.parametrize(
    ("values", "index"),
    [([1, 2, 3], 36 / 42), ([0, 0], 1), ([], 1), ([1e300, 1e300], 1), ([1e-300, 0], 0.5)],
)
def test_jain(values, index):
    assert jain_index(np.array(values, dtype=float)) == pytest.approx(index)
