import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.structure.maxplus import convolve
from instances.structure.maxplus_kernels import blocked, is_concave, smawk

values = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=40).map(np.array)
"""Whole numbers, so that sums are exact and ties are common."""

concave = st.lists(st.integers(-9, 9), max_size=40).map(
    lambda steps: np.cumsum([0, *sorted(steps, reverse=True)]).astype(float)
)


def naive(f: np.ndarray, g: np.ndarray, limit: int) -> np.ndarray:
    h = np.full(f.size + g.size - 1, -np.inf)
    for i, value in enumerate(f):
        h[i : i + g.size] = np.maximum(h[i : i + g.size], value + g)
    return h[:limit]


@pytest.mark.parametrize("left", [values, concave])
@pytest.mark.parametrize("right", [values, concave])
@given(data=st.data())
def test_equals_the_naive_result(
    left: st.SearchStrategy, right: st.SearchStrategy, data: st.DataObject
) -> None:
    f, g = data.draw(left), data.draw(right)
    limit = data.draw(st.integers(1, f.size + g.size - 1))
    h, arg = convolve(f, g, limit)
    assert h.tolist() == naive(f, g, limit).tolist()
    assert np.array_equal(f[arg] + g[np.arange(limit) - arg], h)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 255, 256, 257, 511, 512, 513, 1100, 2000])
def test_all_forms_agree_across_sizes(size: int) -> None:
    rng = np.random.default_rng(size)
    rough = np.cumsum(rng.integers(0, 9, size)).astype(float)
    smooth = np.cumsum(-np.sort(-rng.integers(0, 9, size // 2 + 1))).astype(float)
    limit = size + smooth.size - 1
    assert is_concave(smooth)
    expected = naive(rough, smooth, limit)
    assert np.array_equal(convolve(rough, smooth, limit)[0], expected)
    assert np.array_equal(convolve(smooth, rough, limit)[0], expected)
    assert np.array_equal(smawk(rough, smooth, limit)[0], expected)
    for f, g in ((rough, smooth), (smooth, rough), (rough, rough)):
        most = f.size + g.size - 1
        for length in (1, most // 2 + 1, most):
            h, arg = blocked(f, g, length)
            assert np.array_equal(h, naive(f, g, length))
            assert np.array_equal(f[arg] + g[np.arange(length) - arg], h)


def test_impossible_lengths_are_refused() -> None:
    one = np.ones(1)
    for f, limit in ((one, 2), (one, 0), (np.empty(0), 1)):
        with pytest.raises(ValueError, match="no convolution of length"):
            convolve(f, one, limit)
