"""What the routers draw, held against what was measured on real models (docs/instances.md)."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from instances.draws import Draws, fixed_point
from instances.errors import InputError
from instances.routing import (
    FINE_GRAINED,
    MIXTRAL_LIKE,
    ROUTINGS,
    UNIFORM,
    Router,
    draw_choices,
    draw_routes,
    drawing,
)
from instances.routing.drawing import draw_tokens
from instances.routing.drawing_kernels import choose
from instances.routing.statistics import lognormal_sigma, measure, popularity


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
    offsets = np.arange(users + 1) * (choices.shape[0] // users)
    return measure(choices, offsets, experts=experts).values


def assert_within(measured, bounds):
    for name, (low, high) in bounds.items():
        assert low <= measured[name] <= high, (name, measured[name])


MEASURED = {
    "top_quarter": 0.50,
    "top_quarter_user": 0.68,
    "lift_50": 0.56,
    "lift_95": 2.4,
    "lift_99": 4.0,
    "sets_random": 510,
    "cosine": 0.65,
    "overlap_1": 0.437,
}
"""gpt-oss-20b: 10.85 million tokens, 162,000 of them for sets, lifts and overlaps."""

OF_THE_SAME_DATA = {
    "sets_consecutive": 313,
    "common_sets": 0.48,
    "overlap_2": 0.38,
    "overlap_8": 0.34,
    "overlap_64": 0.33,
    "overlap_any": 0.19,
    "experts_touched": 27.6,
    "next_layer": 0.60,
    "next_layer_popularity": 0.295,
}


@pytest.mark.parametrize("key", ["first", "second"])
def test_fine_grained_routing_is_within_a_fifth_of_what_was_measured(key):
    lengths = np.full(40, 400)
    choices = draw_routes(
        FINE_GRAINED["linear-router"], Draws(key), lengths=lengths, layers=16, experts=32, top_k=4
    )
    found = statistics(choices, 40, 32)
    assert_within(found, {name: (0.8 * x, 1.2 * x) for name, x in MEASURED.items()})
    assert_within(found, {name: (0.75 * x, 1.25 * x) for name, x in OF_THE_SAME_DATA.items()})


def test_many_experts_are_like_qwen3():
    choices = draw(FINE_GRAINED["linear-router"], experts=128, top_k=8)
    # Qwen3-30B-A3B: 0.60, 0.73, 0.45 to 0.70; fewer tokens a user add to the skew of one user.
    assert_within(
        statistics(choices, 30, 128),
        {"top_quarter": (0.50, 0.72), "top_quarter_user": (0.65, 0.88), "cosine": (0.40, 0.75)},
    )


def test_mixtral_like_routing_is_nearly_uniform_and_users_are_alike():
    choices = draw(
        MIXTRAL_LIKE["linear-router"], users=12, tokens=1000, layers=16, experts=8, top_k=2
    )
    assert_within(
        statistics(choices, 12, 8),
        {
            "top_quarter": (0.27, 0.37),
            "sigma": (0.1, 0.35),
            "cosine": (0.95, 1.0),
        },  # 0.29, 0.2, 0.98
    )


def test_independent_draws_are_skewed_but_not_co_activated():
    choices = draw(FINE_GRAINED["lognormal"], users=40, tokens=400)
    assert_within(
        statistics(choices, 40, 32),
        {
            "top_quarter": (0.40, 0.55),
            "top_quarter_user": (0.58, 0.75),
            "lift_50": (0.70, 0.82),  # without structure 0.774
            "lift_95": (0.85, 1.2),
            "sets_random": (850, 1000),  # 925
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


def scores_of(key, *, tokens, experts, ties, rank=3):
    """Return what the kernel adds up, of numbers that are exact; few different ones give ties."""
    rng = np.random.default_rng(key)
    levels = 2 if ties else 2**16

    def draw_levels(shape):
        return rng.integers(0, levels, shape) / 4.0

    table = np.arange(2.0**16) % (3 if ties else 2**16)
    hidden, weight, bias = (
        draw_levels((tokens, rank)),
        draw_levels((rank, experts)),
        draw_levels((2, experts)),
    )
    index = rng.integers(0, 2**16, (tokens, experts)).astype(np.uint16)
    user = np.sort(rng.integers(0, 2, tokens))
    return hidden, weight, bias, user, table, index


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("experts", "top_k"),
    [(1, 1), (2, 1), (7, 1), (8, 2), (9, 9), (16, 8), (17, 8), (128, 8), (300, 9), (33, 32)],
)
def test_the_highest_scores_are_chosen_and_of_equal_ones_the_first_experts(experts, top_k, ties):
    parts = scores_of([experts, top_k, ties], tokens=60, experts=experts, ties=ties)
    hidden, weight, bias, user, table, index = parts
    score = hidden @ weight + bias[user] + table[index]
    expected = np.sort(np.argsort(-score, axis=1, kind="stable")[:, :top_k], axis=1)
    choices = np.full((60, top_k), -1, dtype=np.int32)
    choose(*parts, choices)
    assert choices.tolist() == expected.tolist()


@pytest.mark.parametrize("rank", [0, 1, 4, 7, 8])
def test_vectors_of_any_number_of_dimensions(rank):
    parts = scores_of([rank], tokens=30, experts=20, ties=False, rank=rank)
    hidden, weight, bias, user, table, index = parts
    score = hidden @ weight + bias[user] + table[index]
    choices = np.full((30, 3), -1, dtype=np.int32)
    choose(*parts, choices)
    assert choices.tolist() == np.sort(np.argsort(-score, axis=1)[:, :3], axis=1).tolist()


@pytest.mark.parametrize("together", [1, 1000, 2**18])
def test_choices_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch, together):
    whole = draw(FINE_GRAINED["linear-router"], users=3, tokens=17, experts=7, top_k=2)
    monkeypatch.setattr(drawing, "_SCORES_AT_A_TIME", together)
    router = FINE_GRAINED["linear-router"]
    assert np.array_equal(draw(router, users=3, tokens=17, experts=7, top_k=2), whole)
    by_layer = list(
        drawing.draw_layers(router, Draws("test"), users=3, tokens=17, layers=3, experts=7, top_k=2)
    )
    assert np.array_equal(np.stack(by_layer, axis=1), whole)


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


def routes(router, *, lengths, key="test", layers=2):
    return draw_routes(
        router, Draws(key), lengths=np.array(lengths), layers=layers, experts=32, top_k=4
    )


def test_a_trace_has_the_tokens_of_the_instances_in_another_order():
    router = FINE_GRAINED["linear-router"]
    plain = draw(router, users=3, tokens=50).reshape(3, 50, -1)
    ordered = draw_routes(
        router, Draws("test"), lengths=np.full(3, 50), layers=3, experts=32, top_k=4
    ).reshape(3, 50, -1)
    assert not np.array_equal(plain, ordered)
    for own, moved in zip(plain, ordered, strict=True):
        assert sorted(own.tolist()) == sorted(moved.tolist())
    loose = replace(router, stickiness=0.0)
    assert np.array_equal(plain, routes(loose, lengths=[50] * 3, layers=3).reshape(3, 50, -1))


def test_more_stickiness_more_overlap_near_and_none_far():
    overlaps = []
    for stickiness in (0.0, 0.15, 0.5):
        router = replace(FINE_GRAINED["linear-router"], stickiness=stickiness)
        overlaps.append(statistics(routes(router, lengths=[400] * 10), 10, 32))
    near = [found["overlap_1"] for found in overlaps]
    assert near[0] + 0.05 < near[1] < near[2] - 0.05
    for found in overlaps:
        assert found["overlap_64"] == pytest.approx(overlaps[0]["overlap_64"], rel=0.05)
        for name in ("top_quarter", "lift_95", "cosine"):
            assert found[name] == overlaps[0][name]  # the order has no part in them
    assert overlaps[0]["overlap_1"] == pytest.approx(overlaps[0]["overlap_64"], rel=0.05)
    assert overlaps[1]["overlap_1"] > overlaps[1]["overlap_2"] > overlaps[1]["overlap_8"]


def test_users_of_unequal_length():
    choices = routes(FINE_GRAINED["linear-router"], lengths=[5, 1, 90])
    assert choices.shape == (96, 2, 4)
    assert np.array_equal(choices, routes(FINE_GRAINED["linear-router"], lengths=[5, 1, 90]))
    with pytest.raises(InputError, match=r"lengths\[1\]: 0 is not at least 1"):
        routes(UNIFORM, lengths=[5, 0])
    with pytest.raises(InputError, match="users: 0 is not at least 1"):
        routes(UNIFORM, lengths=[])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rank": 0}, r"rank: 0 is not in 1\.\.64"),
        ({"vocabulary": 10**6}, r"vocabulary: 1000000 is not in 1\.\.100000"),
        ({"own_words": 1.5}, r"own_words: 1.5 is not in 0\.\.1"),
        ({"group_weight": 9.0}, r"group_weight: 9.0 is not in 0\.\.8"),
        ({"noise": -0.1}, r"noise: -0.1 is not in 0\.\.64"),
        ({"stickiness": float("nan")}, r"stickiness: nan is not in 0\.\.64"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(InputError, match=message):
        Router(**parameters)


def test_scores_of_the_largest_parameters_are_exact():
    # Another order of the tokens is another matrix product: every bit must stay the same.
    router = Router(
        rank=64,
        user_weight=64.0,
        token_weight=64.0,
        group_weight=8.0,
        bias_sigma=64.0,
        user_bias_sigma=64.0,
        noise=64.0,
    )
    tokens = draw_tokens(router, Draws("largest"), np.full(4, 50))
    weights = fixed_point(Draws("weights").normal((32, 64)))
    scores = tokens.hidden @ weights.T
    assert np.abs(scores).max() < 2**20
    exact = [
        [
            sum(int(h * 2**16) * int(w * 2**16) for h, w in zip(hidden, row, strict=True))
            for row in weights[:4]
        ]
        for hidden in tokens.hidden[:3].tolist()
    ]
    assert (scores[:3, :4] * 2.0**32).astype(object).tolist() == exact
