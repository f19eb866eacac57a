from collections import Counter
from itertools import combinations
from math import comb, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.draws import Draws
from instances.errors import InputError
from instances.independent_sets import (
    IndependentSets,
    drawn_demand,
    expected_demand,
    num_sets,
)


@st.composite
def countings(draw):
    """Counts of tokens with random sets, so that some sets have these counts, and K."""
    experts = draw(st.integers(2, 7))
    top_k = draw(st.integers(1, experts))
    pool = list(combinations(range(experts), top_k))
    tokens = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=30))
    counts = np.bincount(np.ravel(tokens), minlength=experts)
    return counts[None].astype(np.int64), top_k


def frequencies(sets, probability, experts):
    return [probability[[e in chosen for chosen in sets]].sum() for e in range(experts)]


@settings(max_examples=60, deadline=None)
@given(countings())
def test_every_expert_is_as_frequent_as_it_was_counted(case):
    counts, top_k = case
    fitted = IndependentSets.of(counts, top_k)
    sets, probability = fitted.expected()
    assert len(sets) == num_sets(counts.shape[1], top_k) == comb(counts.shape[1], top_k)
    share = counts[0] * top_k / counts.sum()
    found = frequencies(sets.tolist(), probability[0], counts.shape[1])
    assert np.allclose(found, share, atol=2e-9)


def test_sets_have_probabilities_in_proportion_to_products_of_weights():
    fitted = IndependentSets.of(np.array([[5, 9, 3, 7], [6, 6, 6, 6]]), 2)
    sets, probability = fitted.expected()
    for layer in range(2):
        products = [prod(fitted.weight[layer][list(chosen)]) for chosen in sets.tolist()]
        assert np.allclose(probability[layer], np.array(products) / sum(products))
    assert np.allclose(probability[1], 1 / 6)  # all alike: every pair is


def test_draws_follow_the_probabilities():
    fitted = IndependentSets.of(np.array([[30, 12, 9, 6, 3]]), 2)
    sets, probability = fitted.expected()
    tokens = 20_000
    drawn = fitted.draw(tokens, Draws("test", 0))
    assert drawn.shape == (tokens, 1, 2)
    assert (drawn[:, :, 0] < drawn[:, :, 1]).all()
    times = Counter(map(tuple, drawn[:, 0].tolist()))
    expected = {tuple(chosen): p for chosen, p in zip(sets.tolist(), probability[0], strict=True)}
    assert set(times) <= set(expected)
    # Five standard deviations; the stream of the draws is fixed.
    for chosen, p in expected.items():
        assert abs(times[chosen] / tokens - p) < 5 * np.sqrt(p * (1 - p) / tokens) + 1e-12


def test_experts_of_every_token_and_of_none():
    # Expert 1 is in every set of two, expert 3 in none.
    fitted = IndependentSets.of(np.array([[4, 10, 6, 0]]), 2)
    assert fitted.always.tolist() == [[False, True, False, False]]
    sets, probability = fitted.expected()
    positive = {tuple(s): p for s, p in zip(sets.tolist(), probability[0], strict=True) if p}
    assert positive == {(0, 1): pytest.approx(0.4), (1, 2): pytest.approx(0.6)}
    drawn = fitted.draw(500, Draws("test", 1))
    assert set(map(tuple, drawn[:, 0].tolist())) == set(positive)


def test_all_experts_in_every_set():
    fitted = IndependentSets.of(np.array([[3, 3, 3]]), 3)
    assert fitted.draw(2, Draws("test", 2)).tolist() == [[[0, 1, 2]], [[0, 1, 2]]]
    assert fitted.expected()[1].tolist() == [[1.0]]


def test_large_layers_are_fitted():
    rng = np.random.default_rng(5)
    popularity = np.exp(rng.normal(0, 1.2, 512))
    counts = np.maximum(popularity / popularity.sum() * 9e5, 1).astype(np.int64)
    fitted = IndependentSets.of(np.minimum(counts, counts.sum() // 11)[None], 10)
    drawn = fitted.draw(2000, Draws("test", 3))
    assert (np.diff(drawn, axis=2) > 0).all()


def test_the_same_keys_give_the_same_sets():
    fitted = IndependentSets.of(np.array([[5, 9, 3, 7]]), 2)
    first = fitted.draw(50, Draws("test", 4))
    assert np.array_equal(first, fitted.draw(50, Draws("test", 4)))
    assert not np.array_equal(first, fitted.draw(50, Draws("test", 5)))


@pytest.mark.parametrize(
    ("counts", "top_k", "message"),
    [
        ([[5, 5], [9, 1]], 2, r"counts\[1\]\[0\]: 9 is more than the tokens .* 10 choices / 2"),
        ([[7, 0, 0]], 2, r"counts\[0\]\[0\]: 7 is more than the tokens"),
    ],
)
def test_impossible_counts_are_refused(counts, top_k, message):
    with pytest.raises(InputError, match=message):
        IndependentSets.of(np.array(counts), top_k)


def test_demands_add_up_to_one_in_every_layer():
    fitted = IndependentSets.of(np.array([[5, 9, 3, 7], [6, 6, 6, 6]]), 2)
    for demand in (
        expected_demand(fitted, users=3),
        drawn_demand(fitted, users=3, tokens=40, draws=Draws("test", 6)),
    ):
        assert np.allclose(np.bincount(demand.layer, demand.rate), 1)
        assert np.allclose(np.bincount(demand.user, demand.rate), 2 / 3)
        assert set(np.diff(demand.offsets).tolist()) == {2}
    sets = len(fitted.expected()[0])
    assert len(expected_demand(fitted, users=3)) == 3 * 2 * sets
