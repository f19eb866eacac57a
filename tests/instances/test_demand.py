from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances import demand as module
from instances.demand import join_demands, merge_choices, merge_layers


def rows(demand):
    return {
        (u, layer, tuple(demand.experts[a:b].tolist())): rate
        for u, layer, a, b, rate in zip(
            demand.user.tolist(),
            demand.layer.tolist(),
            demand.offsets[:-1],
            demand.offsets[1:],
            demand.rate.tolist(),
            strict=True,
        )
    }


@st.composite
def token_choices(draw):
    tokens, layers, width = (
        draw(st.integers(0, 12)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 9)),
    )
    users, experts = draw(st.integers(1, 3)), draw(st.sampled_from([9, 300, 30_000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # Few different sets, so that there is something to merge.
    menu = np.stack([rng.permutation(experts)[:width] for _ in range(3)])
    choices = menu[rng.integers(0, 3, (tokens, layers))]
    choices = rng.permuted(choices, axis=2)
    choices[rng.random(choices.shape) < draw(st.sampled_from([0, 0.3, 0.9]))] = -1
    return choices, rng.integers(0, users, tokens), users


@given(token_choices())
def test_merging_counts_every_token_once(case):
    choices, user, num_users = case
    expected = Counter()
    for t, u in enumerate(user.tolist()):
        for layer in range(choices.shape[1]):
            used = tuple(sorted(e for e in choices[t, layer].tolist() if e >= 0))
            if used:
                expected[u, layer, used] += 1
    demand = merge_choices(choices, user, np.full(num_users, 0.125))
    assert rows(demand) == {key: count / 8 for key, count in expected.items()}
    assert len(demand) == len(expected)
    assert list(rows(demand)) == sorted(rows(demand), key=lambda key: key[:2])


@given(token_choices())
def test_rows_that_share_a_word_and_rows_that_need_several_are_merged_alike(case):
    choices, user, num_users = case
    weight = np.linspace(0.1, 0.7, num_users)
    results = []
    for word in (2**62, 100, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_WORD", word)
            results.append(merge_choices(choices, user, weight))
    for field in ("user", "layer", "offsets", "experts", "rate"):
        first, *others = (getattr(demand, field) for demand in results)
        for other in others:
            assert other.dtype == first.dtype
            assert other.tolist() == first.tolist()


def test_layers_may_come_one_by_one():
    choices = np.random.default_rng(0).integers(-1, 6, (50, 3, 2))
    choices[choices[:, :, 0] == choices[:, :, 1], 1] = -1
    user, weight = np.arange(50) % 4, np.full(4, 0.02)
    whole = merge_choices(choices, user, weight)
    by_layer = merge_layers((choices[:, layer] for layer in range(3)), user, weight)
    assert rows(whole) == rows(by_layer)
    assert list(rows(whole)) == list(rows(by_layer))


def test_a_rate_is_rounded_from_tokens_times_weight():
    choices = np.array([0, 0, 0, 1, 1, 2])[:, None, None]
    demand = merge_choices(choices, np.zeros(6, np.int64), np.array([1 / 7]))
    assert demand.rate.tolist() == [0.428571429, 0.285714286, 0.142857143]


def test_order_of_tokens_and_of_experts_does_not_show():
    choices = np.array([[[3, 1]], [[0, 2]], [[1, 3]]])
    user, weight = np.array([0, 0, 0]), np.array([1 / 3])
    demand = merge_choices(choices, user, weight)
    again = merge_choices(choices[::-1, :, ::-1], user, weight)
    assert rows(demand) == rows(again) == {(0, 0, (0, 2)): 0.333333333, (0, 0, (1, 3)): 0.666666667}
    assert demand.experts.tolist() == again.experts.tolist()


def test_joining_shifts_users():
    one = merge_choices(np.array([[[0]], [[1]]]), np.array([0, 1]), np.array([0.5, 0.5]))
    none = merge_choices(np.full((2, 1, 1), -1), np.array([0, 1]), np.array([0.5, 0.5]))
    joined = join_demands([one, none, one], [0, 2, 4])
    assert joined.user.tolist() == [0, 1, 4, 5]
    assert joined.offsets.tolist() == [0, 1, 2, 3, 4]
    assert joined.experts.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("width", [1, 8])
def test_large_expert_numbers_do_not_collide(width):
    base = np.arange(width)
    choices = np.stack([base, base + 1, base + 32_000])[:, None, :]
    assert len(merge_choices(choices, np.zeros(3, np.int64), np.ones(1))) == 3
