import hashlib

import numpy as np
import pytest

from instances import draws as module
from instances.draws import Draws, fixed_point

FIRST_WORDS = [11996487621401662812, 18224424421965127844, 13838227951900324243]
UNIFORM = "e07fb9cc2ee3ccb4"
NORMAL = "76be94a4bd1c9629"
GUMBEL = "c72f5d4cb004982e"
NORMAL_TABLE = "e370b09ebf2d8107"
GUMBEL_TABLE = "6e6ff96092efd807"


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array, dtype="<f8").tobytes()).hexdigest()[:16]


def test_streams_are_pinned():
    # Changing any of these changes every instance ever published.
    assert Draws("a", 1).words(3).tolist() == FIRST_WORDS
    assert digest(Draws("a", 1).uniform(1000)) == UNIFORM
    assert digest(Draws("a", 1).normal(1001)) == NORMAL
    assert digest(Draws("a", 1).gumbel((7, 13))) == GUMBEL
    assert digest(module._normal_quantiles()) == NORMAL_TABLE  # noqa: SLF001  pins the table
    assert digest(module.gumbel_quantiles()) == GUMBEL_TABLE


def test_a_large_draw_may_be_taken_in_parts():
    whole = Draws("parts").quantile_index((10, 6))
    draws = Draws("parts")
    parts = [draws.quantile_index((rows, 6)) for rows in (2, 4, 4)]
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert module.gumbel_quantiles()[whole].tolist() == Draws("parts").gumbel((10, 6)).tolist()


@pytest.mark.parametrize("other", [("a", 2), ("b", 1), (1, "a"), ("a",), ("a", 1, "x")])
def test_other_keys_give_other_streams(other):
    assert Draws(*other).words(4).tolist() != Draws("a", 1).words(4).tolist()


def test_moments_and_ranges():
    draws = Draws("moments")
    uniform, normal, gumbel = draws.uniform(200_000), draws.normal(200_000), draws.gumbel(200_000)
    assert 0 <= uniform.min() < 1e-4
    assert 1 - 1e-4 < uniform.max() < 1
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    assert abs(gumbel.mean() - np.euler_gamma) < 0.015
    assert abs(gumbel.std() - np.pi / np.sqrt(6)) < 0.02
    for numbers in (normal, gumbel):
        assert np.array_equal(numbers, fixed_point(numbers))


def test_whole_numbers():
    draws = Draws("whole")
    counts = np.bincount(draws.below(5, 50_000), minlength=5)
    assert counts.size == 5
    assert np.all(np.abs(counts - 10_000) < 500)
    weights = np.array([1, 0, 3, 4], dtype=np.int64)
    shares = np.bincount(draws.below_mass(weights, 80_000), minlength=4) / 80_000
    assert np.allclose(shares, weights / 8, atol=0.01)
    assert 0 <= draws.integer(3) < 3
    assert sorted(draws.permutation(9).tolist()) == list(range(9))
    assert 0.65 < np.mean([draws.chance(0.7) for _ in range(2000)]) < 0.75


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 255, 256, 257])
def test_table_draws_of_any_count(count):
    assert Draws("count").normal(count).shape == (count,)
    # A longer draw begins with the shorter one: nothing is thrown away in the middle.
    longer = Draws("count").normal(count + 4)
    assert np.array_equal(Draws("count").normal(count), longer[:count])


def test_products_of_fixed_point_numbers_add_up_exactly_in_any_order():
    draws = Draws("exact")
    a, b = draws.normal((50, 8)), fixed_point(draws.normal((30, 8)) * 1.7)
    product = a @ b.T
    for order in (slice(None), slice(None, None, -1), [3, 1, 4, 0, 5, 2, 6, 7]):
        total = np.zeros((50, 30))
        for k in np.arange(8)[order]:
            total += a[:, k, None] * b[None, :, k]
        assert np.array_equal(total, product)
