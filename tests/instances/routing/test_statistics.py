"""Statistics of routing against definitions written out in plain Python."""

import math
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.draws import Draws
from instances.errors import InputError
from instances.routing import FINE_GRAINED, UNIFORM, draw_routes
from instances.routing import statistics as module
from instances.routing.statistics import (
    FIGURES,
    cosine,
    distinct_sets,
    lognormal_sigma,
    measure,
    pair_lifts,
    popularity,
    top_share,
)


@st.composite
def traces(draw):
    """Return choices with gaps (T, L, K), offsets and E; some requests may be empty."""
    experts = draw(st.integers(2, 7))
    top_k = draw(st.integers(1, min(3, experts)))
    layers = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    choices = np.array(
        [[rng.permutation(experts)[:top_k] for _ in range(layers)] for _ in range(sum(lengths))]
    )
    if draw(st.booleans()):
        choices[rng.random(choices.shape) < 0.3] = -1
    return choices, np.concatenate([[0], np.cumsum(lengths)]), experts


def layer_sets(choices, layer):
    return [frozenset(e for e in row if e >= 0) for row in choices[:, layer].tolist()]


def mean(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def naive_overlap(sets, user, lag):
    shares = [
        len(sets[t] & sets[t - lag]) / len(sets[t])
        for t in range(lag, len(sets))
        if user[t] == user[t - lag] and sets[t] and sets[t - lag]
    ]
    return sum(shares) / len(shares) if shares else None


def naive_lifts(sets, experts, least):
    used = [tokens for tokens in sets if tokens]
    single = Counter(e for tokens in used for e in tokens)
    pairs = Counter(pair for tokens in used for pair in combinations(sorted(tokens), 2))
    expected = {
        (a, b): single[a] * single[b] / max(1, len(used))
        for a, b in combinations(range(experts), 2)
    }
    return [pairs[pair] / mass for pair, mass in expected.items() if mass >= least]


def naive_guess(first, second, experts, known, held_out):
    def chance(a, b):
        uses = [t for t in known if a in first[t]]
        return sum(b in second[t] for t in uses) / max(1, len(uses))

    shares = []
    for t in held_out:
        if first[t] and second[t]:
            score = [math.fsum(chance(a, b) for a in sorted(first[t])) for b in range(experts)]
            order = sorted(range(experts), key=lambda b: (-round(score[b], 9), b))
            shares.append(len(set(order[: len(second[t])]) & second[t]) / len(second[t]))
    return sum(shares) / len(shares) if shares else None


@given(traces())
def test_figures_of_one_layer(trace):
    choices, offsets, experts = trace
    found = measure(choices, offsets, experts=experts).values
    user = np.repeat(np.arange(offsets.size - 1), np.diff(offsets)).tolist()
    layers = [layer_sets(choices, layer) for layer in range(choices.shape[1])]
    for lag in (1, 2, 8):
        naive = mean(naive_overlap(sets, user, lag) for sets in layers)
        assert found[f"overlap_{lag}"] == pytest.approx(naive, nan_ok=True)
    tops, commons, anys = [], [], []
    for sets in layers:
        counts = Counter(e for tokens in sets for e in tokens)
        total = sum(counts.values())
        if total:
            largest = sorted(counts.values(), reverse=True)[: round(experts / 4)]
            tops.append(sum(largest) / total)
            used = [tokens for tokens in sets if tokens]
            commonest = Counter(used).most_common(100)
            commons.append(sum(count for _, count in commonest) / len(used))
            anys.append(sum(n / len(used) * n / total for n in counts.values()))
    assert found["top_quarter"] == pytest.approx(mean(tops), nan_ok=True)
    assert found["common_sets"] == pytest.approx(mean(commons), nan_ok=True)
    assert found["overlap_any"] == pytest.approx(mean(anys), nan_ok=True)
    for sets, layer in zip(layers, range(choices.shape[1]), strict=True):
        assert distinct_sets(choices[:, layer]) == len({tokens for tokens in sets if tokens})
        assert pair_lifts(choices[:, layer], experts, least=1) == pytest.approx(
            naive_lifts(sets, experts, 1)
        )


@given(traces())
def test_the_next_layer_is_guessed_from_other_requests(trace):
    choices, offsets, experts = trace
    user = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    samples = module._Samples.of(user)  # noqa: SLF001 -- what is held out is drawn there
    known, held_out = samples.known.tolist(), samples.held_out.tolist()
    if np.unique(user).size > 1:
        assert not set(user[known]) & set(user[held_out])
    assert not set(known) & set(held_out)
    layers = [layer_sets(choices, layer) for layer in range(choices.shape[1])]
    naive = mean(
        naive_guess(first, second, experts, known, held_out) for first, second in pairwise(layers)
    )
    found = measure(choices, offsets, experts=experts).values["next_layer"]
    # Ties of sums that differ in their last bit may be broken either way.
    tokens = max(1, len(held_out))
    assert found == pytest.approx(naive, abs=1.01 / tokens + 1e-9, nan_ok=True)


@given(traces(), st.randoms(use_true_random=False))
def test_names_of_experts_and_their_order_do_not_matter(trace, random):
    choices, offsets, experts = trace
    names = list(range(experts))
    random.shuffle(names)
    renamed = np.append(names, -1)[choices][:, :, ::-1]
    one, other = (measure(array, offsets, experts=experts).values for array in (choices, renamed))
    for figure in FIGURES:
        if not figure.name.startswith("next_layer"):  # ties are broken by number
            assert one[figure.name] == pytest.approx(other[figure.name], nan_ok=True)


def test_figures_of_users_by_hand():
    # Ann uses experts 0 and 1 half of the time each, bob 0 always, and cid too little to count.
    choices = np.array([[[0]], [[1]]] * 50 + [[[0]]] * 100 + [[[3]]] * 63)
    found = measure(choices, np.array([0, 100, 200, 263]), experts=8).values
    assert found["top_quarter_user"] == 1.0
    assert found["experts_touched"] == 1.5
    assert found["sigma_user"] == 0.0
    assert found["cosine"] == pytest.approx(1 / math.sqrt(2))
    assert found["cosine_5"] == found["cosine_95"] == found["cosine"]
    assert found["overlap_1"] == pytest.approx((99 + 62) / (99 + 99 + 62))
    assert found["overlap_2"] == 1.0
    assert math.isnan(found["lift_50"])
    assert math.isnan(found["sets_random"])
    assert math.isnan(found["next_layer"])


def test_sets_in_windows():
    choices = np.concatenate(
        [np.tile([[0, 1]], (1000, 1)), np.arange(2000).reshape(1000, 2), np.tile([[5, 4]], (9, 1))]
    )[:, None, :]
    found = measure(choices, np.array([0, 2009]), experts=2000).values
    assert (
        found["sets_consecutive"] == (1 + 1000) / 2
    )  # the first two thousand; the rest is cut off
    assert 400 < found["sets_random"] < 600


def test_layers_are_averaged_and_lifts_pooled():
    rng = np.random.default_rng(0)
    steady = np.tile([0, 1], (600, 1))
    loose = np.array([rng.permutation(4)[:2] for _ in range(600)])
    choices = np.stack([steady, loose], axis=1)
    both = measure(choices, np.array([0, 300, 600]), experts=4)
    alone = [measure(choices[:, [layer]], np.array([0, 300, 600]), experts=4) for layer in range(2)]
    for name in ("overlap_1", "top_quarter", "cosine"):
        values = [statistics.values[name] for statistics in alone]
        assert both.values[name] == pytest.approx(np.mean(values))
        assert both.ranges[name] == (min(values), max(values))
    lifts = np.concatenate([pair_lifts(choices[:, layer], 4) for layer in range(2)])
    assert both.values["lift_95"] == np.quantile(lifts, 0.95)
    assert (both.tokens, both.requests, both.layers, both.top_k) == (600, 2, 2, 2)


def test_uniform_independent_draws_give_what_theory_says():
    choices = draw_routes(
        UNIFORM, Draws("uniform"), lengths=np.full(10, 3000), layers=2, experts=16, top_k=4
    )
    found = measure(choices, np.arange(11) * 3000, experts=16).values
    assert found["lift_50"] == pytest.approx(3 / 4 * 16 / 15, rel=0.01)
    for name in ("overlap_1", "overlap_64", "overlap_any", "next_layer"):
        assert found[name] == pytest.approx(4 / 16, rel=0.03)
    sets = math.comb(16, 4)
    assert found["sets_random"] == pytest.approx(sets * (1 - (1 - 1 / sets) ** 1000), rel=0.02)
    assert found["cosine"] == pytest.approx(1, abs=0.01)


def test_correlated_layers_are_told_from_independent_ones():
    by_word, by_chance = (
        measure(
            draw_routes(
                FINE_GRAINED[name],
                Draws("layers"),
                lengths=np.full(12, 300),
                layers=3,
                experts=32,
                top_k=4,
            ),
            np.arange(13) * 300,
            experts=32,
        ).values
        for name in ("linear-router", "lognormal")
    )
    assert by_word["next_layer"] > by_word["next_layer_popularity"] + 0.1
    # Users with experts of their own: their layers give away who they are, but not the token.
    assert by_chance["next_layer"] < by_chance["next_layer_popularity"] + 0.1


def test_an_expert_that_is_not_there_is_refused():
    choices = np.zeros((5, 2, 1), dtype=np.int16)
    choices[3, 1, 0] = 4
    with pytest.raises(InputError, match=r"experts\[3\]\[1\]\[0\]: 4 is not in 0\.\.3"):
        measure(choices, np.array([0, 5]), experts=4)


def test_single_figures_by_hand():
    choices = np.array([[0, 1], [0, 1], [0, 2], [3, 0]])
    popular = popularity(choices, 4)
    assert popular.tolist() == [0.5, 0.25, 0.125, 0.125]
    assert top_share(popular) == 0.5
    assert top_share(popular, 0.5) == 0.75
    assert distinct_sets(choices) == 3
    assert distinct_sets(choices[:, ::-1]) == 3
    # P(0) = 1, P(1) = 1/2, P(2) = P(3) = 1/4; 0 is always there, the others never meet.
    assert pair_lifts(choices, 4, least=0.2).tolist() == [1, 1, 1, 0, 0, 0]
    assert pair_lifts(choices, 4, least=1).tolist() == [1, 1, 1]
    assert cosine(popular, popular) == pytest.approx(1)
    assert cosine(np.array([1.0, 0]), np.array([0, 1.0])) == 0
    assert lognormal_sigma(np.array([1, np.e**2, 0])) == pytest.approx(1)
