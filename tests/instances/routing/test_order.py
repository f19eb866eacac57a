"""The order of tokens: the chain's stationary distribution, by brute force."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest

from instances.draws import Draws
from instances.routing.order import draw_order

WORDS = np.array([[2.0, 0.0], [1.5, 0.5], [-1.0, 1.0], [0.0, -2.0]])


def test_orders_come_as_often_as_their_likeness_says():
    stickiness, users = 0.3, 20_000
    draws = Draws("order")
    order = draw_order(
        stickiness, np.tile(WORDS, (users, 1)), np.full(users, 4, dtype=np.int64), draws
    ).reshape(users, 4)
    order -= 4 * np.arange(users)[:, None]
    weights = {
        way: math.exp(stickiness * sum(WORDS[a] @ WORDS[b] for a, b in pairwise(way)))
        for way in permutations(range(4))
    }
    total = sum(weights.values())
    found, counts = np.unique(order, axis=0, return_counts=True)
    seen = dict(zip(map(tuple, found.tolist()), (counts / users).tolist(), strict=True))
    for way, weight in weights.items():
        # five standard deviations of a share of 20,000
        assert seen.get(way, 0.0) == pytest.approx(weight / total, abs=5 * 0.5 / math.sqrt(users))


def test_no_stickiness_no_change():
    lengths = np.array([3, 1])
    assert draw_order(0.0, WORDS, lengths, Draws("order")).tolist() == [0, 1, 2, 3]


def test_users_keep_their_places():
    lengths = np.array([1, 300, 2, 97], dtype=np.int64)
    words = Draws("words").normal((400, 3))
    order = draw_order(1.0, words, lengths, Draws("order"))
    start = 0
    for length in lengths.tolist():
        assert sorted(order[start : start + length]) == list(range(start, start + length))
        start += length
    assert np.array_equal(order, draw_order(1.0, words, lengths, Draws("order")))


def test_enough_sweeps_that_the_order_has_settled(monkeypatch):
    words, lengths = Draws("words").normal((2000, 8)), np.array([2000], dtype=np.int64)

    def likeness(key):
        order = draw_order(0.24, words, lengths, Draws(key))
        return np.einsum("ij,ij->i", words[order][1:], words[order][:-1]).mean()

    settled = likeness("a")
    monkeypatch.setattr("instances.routing.order.SWEEPS", 300)
    assert settled == pytest.approx(likeness("b"), rel=0.08)
    monkeypatch.setattr("instances.routing.order.SWEEPS", 1)
    assert likeness("c") < 0.8 * settled
