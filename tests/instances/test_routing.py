"""What the routers draw, held against what was measured on real models (docs/instances.md)."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from instances.draws import Draws
from instances.errors import InputError
from instances.routing import FINE_GRAINED, MIXTRAL_LIKE, ROUTINGS, UNIFORM, draw_choices
from instances.routing.statistics import (
    cosine,
    distinct_sets,
    lognormal_sigma,
    pair_lifts,
    popularity,
    top_share,
)


def draw(router, *, users=30, tokens=300, layers=3, experts=32, top_k=4, key="test"):
    return draw_choices(
        router,
        Draws(key),
        users=users,
        tokens=tokens,
        layers=layers,
        experts=experts,
        top_k=top_k,
    )


def statistics(choices, users, experts):
    """Means over layers of the figures that docs/instances.md tabulates."""
    tokens = choices.shape[0] // users
    sample = np.random.default_rng(0).permutation(choices.shape[0])[:1000]
    rows = []
    for layer in range(choices.shape[1]):
        chosen = choices[:, layer]
        popular = popularity(chosen, experts)
        by_user = [popularity(chosen[u * tokens : (u + 1) * tokens], experts) for u in range(users)]
        lifts = pair_lifts(chosen, experts)
        rows.append(
            {
                "top": top_share(popular),
                "user_top": np.mean([top_share(p) for p in by_user]),
                "sigma": lognormal_sigma(popular),
                "cosine": np.mean([cosine(a, b) for a, b in combinations(by_user, 2)]),
                "lift_50": np.quantile(lifts, 0.5),
                "lift_95": np.quantile(lifts, 0.95),
                "lift_99": np.quantile(lifts, 0.99),
                "consecutive_sets": distinct_sets(chosen[:1000]),
                "sets": distinct_sets(chosen[sample]),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def assert_within(measured, bounds):
    for name, (low, high) in bounds.items():
        assert low <= measured[name] <= high, (name, measured[name])


def test_fine_grained_routing_is_like_gpt_oss():
    choices = draw(FINE_GRAINED["linear-router"], users=40, tokens=400)
    assert_within(
        statistics(choices, 40, 32),
        {
            "top": (0.42, 0.60),  # measured 0.50
            "user_top": (0.60, 0.77),  # 0.68
            "cosine": (0.52, 0.75),  # 0.65
            "lift_50": (0.40, 0.65),  # 0.56
            "lift_95": (1.9, 3.0),  # 2.4
            "lift_99": (2.8, 5.0),  # 4.0
            "consecutive_sets": (220, 440),  # 313
            "sets": (400, 620),  # 510
        },
    )


def test_many_experts_are_like_qwen3():
    choices = draw(FINE_GRAINED["linear-router"], experts=128, top_k=8)
    # Qwen3-30B-A3B: 0.60, 0.73, 0.45 to 0.70; fewer tokens a user add to the skew of one user.
    assert_within(
        statistics(choices, 30, 128),
        {"top": (0.50, 0.72), "user_top": (0.65, 0.88), "cosine": (0.40, 0.75)},
    )


def test_mixtral_like_routing_is_nearly_uniform_and_users_are_alike():
    choices = draw(
        MIXTRAL_LIKE["linear-router"], users=12, tokens=1000, layers=16, experts=8, top_k=2
    )
    assert_within(
        statistics(choices, 12, 8),
        {"top": (0.27, 0.37), "sigma": (0.1, 0.35), "cosine": (0.95, 1.0)},  # 0.29, 0.2, 0.98
    )


def test_independent_draws_are_skewed_but_not_co_activated():
    choices = draw(FINE_GRAINED["lognormal"], users=40, tokens=400)
    assert_within(
        statistics(choices, 40, 32),
        {
            "top": (0.40, 0.55),
            "user_top": (0.58, 0.75),
            "lift_50": (0.70, 0.82),  # without structure 0.774
            "lift_95": (0.85, 1.2),
            "sets": (850, 1000),  # 925
        },
    )
    mixtral = draw(MIXTRAL_LIKE["lognormal"], users=12, tokens=1000, experts=8, top_k=2)
    assert_within(statistics(mixtral, 12, 8), {"sigma": (0.1, 0.35), "cosine": (0.97, 1.0)})


def test_uniform_draws_hit_every_set_equally_often():
    choices = draw(UNIFORM, users=1, tokens=30_000, layers=1, experts=5, top_k=2)[:, 0]
    sets, counts = np.unique(choices, axis=0, return_counts=True)
    assert sets.tolist() == [list(pair) for pair in combinations(range(5), 2)]
    assert np.all(np.abs(counts - 3000) < 250)  # standard deviation 52


def test_lognormal_draws_follow_their_popularities():
    # With K = 1 Gumbel-top-K draws expert e with probability exp(bias_e) / sum: large biases make
    # frequencies as unequal as lognormal weights are.
    router = replace(UNIFORM, bias_sigma=1.0)
    sigmas = [
        lognormal_sigma(
            popularity(draw(router, users=1, tokens=20_000, layers=1, top_k=1, key=key)[:, 0], 32)
        )
        for key in "abcdef"
    ]
    assert 0.85 < np.mean(sigmas) < 1.15


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize(("experts", "top_k"), [(1, 1), (4, 4), (8, 1), (300, 9)])
def test_choices_are_ascending_different_experts(routing, experts, top_k):
    choices = draw(FINE_GRAINED[routing], users=2, tokens=20, experts=experts, top_k=top_k)
    assert choices.shape == (40, 3, top_k)
    assert choices.min() >= 0
    assert choices.max() < experts
    assert np.all(np.diff(choices, axis=2) > 0)


def test_same_key_same_choices():
    router = FINE_GRAINED["linear-router"]
    small = {"users": 2, "tokens": 20}
    assert np.array_equal(draw(router, **small), draw(router, **small))
    assert not np.array_equal(draw(router, **small), draw(router, **small, key="other"))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"users": 0}, "users: 0 is not at least 1"),
        ({"tokens": 0}, "tokens: 0 is not at least 1"),
        ({"layers": -1}, "layers: -1 is not at least 1"),
        ({"top_k": 33}, r"top_k: 33 is not in 1\.\.32"),
        ({"top_k": 0}, r"top_k: 0 is not in 1\.\.32"),
    ],
)
def test_wrong_sizes_are_refused(size, message):
    with pytest.raises(InputError, match=message):
        draw(UNIFORM, **size)


def test_statistics_by_hand():
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
