"""Hot loop of the order of tokens: arrays in, arrays out.

| symbol | meaning | shape |
|---|---|---|
| x | words of one user's tokens as vectors; sums of their products are exact | (T, d) |
| partner | position that each proposal exchanges with the next one in turn | (sweeps, T) |
| push | what tips each proposal: a logistic number | (sweeps, T) |
| order | token at each position | (T,) |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def _likeness(x: NDArray[np.float64], a: int, b: int) -> float:
    total = 0.0
    for d in range(x.shape[1]):
        total += x[a, d] * x[b, d]
    return total


@njit(cache=True)
def _gain(
    x: NDArray[np.float64], order: NDArray[np.int64], here: int, there: int, word: int
) -> float:
    """Return what ``here`` gains by holding ``word``; its link to ``there`` stays the same."""
    gain = 0.0
    for near in (here - 1, here + 1):
        if 0 <= near < order.shape[0] and near != there:
            gain += _likeness(x, word, order[near]) - _likeness(x, order[here], order[near])
    return gain


@njit(cache=True)
def arrange(
    x: NDArray[np.float64],
    partner: NDArray[np.int64],
    push: NDArray[np.float64],
    stickiness: float,
    order: NDArray[np.int64],
) -> None:
    """Exchange tokens by Barker's rule; ``order`` is changed in place."""
    for sweep in range(partner.shape[0]):
        for i in range(order.shape[0]):
            j = partner[sweep, i]
            if i == j:
                continue
            gain = _gain(x, order, i, j, order[j]) + _gain(x, order, j, i, order[i])
            if stickiness * gain + push[sweep, i] >= 0:
                order[i], order[j] = order[j], order[i]
