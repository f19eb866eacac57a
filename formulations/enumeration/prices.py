"""Prices for storage: the Lagrangian bound over layers, and a search for its minimum.

For prices p >= 0, the sum over layers of the largest reduced value, plus the price of all storage,
is at least the value of every placement (docs/theory.md, section 5).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instances.structure.labelling import Options

_BLUR = 1e-9
"""Smoothing of the maxima at the end, as a share of the total weight."""

_SHARPENING = 0.25
_NEWTON_STEPS = 30
"""Factor by which smoothing shrinks, and most Newton steps for each degree of it."""


def best_prices(
    options: Sequence[Options],
    room: NDArray[np.int64],
    total: int,
    prices: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return prices at which the Lagrangian bound over known options is about least.

    The maxima are smoothed, max f = t log sum exp(f / t), and the least price is kept off zero by a
    barrier; both fade as t shrinks, and Newton's method follows the minimum. Any prices give a
    bound, so nothing depends on the accuracy of this, nor on the floating point in it.

    Parameters
    ----------
    options
        Options of each layer, at least one each.
    room
        Storage of each server, in units, at least 1; int64 (N,).
    total
        Weight of all clauses: the scale of values.
    prices
        Where to start from; int64 (N,).
    """
    # values in shares of the total weight, storage in shares of the room
    value = np.concatenate([layer.value for layer in options]) / total
    used = np.concatenate([layer.used for layer in options]) / room
    sizes = np.array([layer.value.size for layer in options])
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    layer_of = np.repeat(np.arange(sizes.size), sizes)

    def smoothed(x: NDArray[np.float64], blur: float) -> tuple[float, NDArray[np.float64]]:
        scaled = (value - used @ x) / blur
        highest = np.maximum.reduceat(scaled, first)
        share = np.exp(scaled - highest[layer_of])
        sums = np.add.reduceat(share, first)
        height = blur * float((highest + np.log(sums)).sum() - np.log(x).sum())
        return float(x.sum()) + height, share / sums[layer_of]

    x = np.clip(prices * room / total, 1e-6, 1.0)
    blur = 1e-2
    while True:
        for _ in range(_NEWTON_STEPS):
            height, share = smoothed(x, blur)
            weighted = share[:, None] * used
            mean = np.add.reduceat(weighted, first, axis=0)
            gradient = 1.0 - weighted.sum(axis=0) - blur / x
            # in shares of x: the barrier is then no steeper in one direction than in another
            curvature = x[:, None] * (used.T @ weighted - mean.T @ mean) * x / blur
            curvature[np.diag_indices_from(curvature)] += blur + 1e-12 * np.trace(curvature)
            step = -x * np.linalg.solve(curvature, x * gradient)
            descent = float(-gradient @ step)
            if not descent >= 1e-3 * blur:
                break
            falling = step < 0
            length = min(1.0, 0.9 * float(np.min(-x[falling] / step[falling], initial=2.0)))
            while length > 1e-9:
                if smoothed(x + length * step, blur)[0] <= height - 1e-4 * length * descent:
                    break
                length /= 2
            x = x + length * step
        if blur <= _BLUR:
            return np.asarray(np.rint(np.clip(x, 0.0, 1.0) * total / room).astype(np.int64))
        blur *= _SHARPENING


def merged(left: Options, right: Options) -> Options:
    """Unite options; the better one stays where two use the same storage."""
    used = np.concatenate([left.used, right.used])
    value = np.concatenate([left.value, right.value])
    labels = np.concatenate([left.labels, right.labels])
    order = np.lexsort((-value, *used.T[::-1]))
    first = np.append(True, np.any(np.diff(used[order], axis=0) != 0, axis=1))
    kept = order[first]
    return Options(used[kept], value[kept], labels[kept])
