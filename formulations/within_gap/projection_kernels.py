"""Sums of options over the storage of a few servers: arrays in, arrays out.

| symbol | meaning |
|---|---|
| cell | units on each of p servers, numbered in mixed radix ``shape``, the last server fastest |
| loss | of a cell: least loss of the layers so far; infinite where it is beyond the budget |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def spread(
    cells: NDArray[np.float64],
    shape: NDArray[np.int64],
    used: NDArray[np.int64],
    loss: NDArray[np.float64],
    budget: float,
) -> NDArray[np.float64]:
    """Add one layer: options by ascending loss, ``used[o, i]`` units on server i."""
    num_servers = shape.shape[0]
    out = np.full(cells.shape[0], np.inf)
    shift = np.zeros(loss.shape[0], np.int64)
    for o in range(loss.shape[0]):
        for i in range(num_servers):
            shift[o] = shift[o] * shape[i] + used[o, i]
    free = np.empty(num_servers, np.int64)
    for cell in range(cells.shape[0]):
        if cells[cell] > budget:
            continue
        rest = np.int64(cell)
        for i in range(num_servers - 1, -1, -1):
            free[i] = shape[i] - 1 - rest % shape[i]
            rest //= shape[i]
        for o in range(loss.shape[0]):
            total = cells[cell] + loss[o]
            if total > budget:
                break
            fits = True
            for i in range(num_servers):
                fits = fits and used[o, i] <= free[i]
            if fits and total < out[cell + shift[o]]:
                out[cell + shift[o]] = total
    return out


@njit(cache=True)
def rest_of(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    shape: NDArray[np.int64],
    used: NDArray[np.int64],
    budget: float,
) -> NDArray[np.float64]:
    """Return for each option of a layer the least loss of all other layers beside it.

    ``before`` is over the units used by earlier layers, ``after`` over those left to later ones.
    """
    num_servers = shape.shape[0]
    out = np.full(used.shape[0], np.inf)
    cells = np.flatnonzero(before <= budget)
    free = np.empty((cells.shape[0], num_servers), np.int64)
    for k in range(cells.shape[0]):
        rest = np.int64(cells[k])
        for i in range(num_servers - 1, -1, -1):
            free[k, i] = shape[i] - 1 - rest % shape[i]
            rest //= shape[i]
    for o in range(used.shape[0]):
        shift = np.int64(0)
        for i in range(num_servers):
            shift = shift * shape[i] + used[o, i]
        for k in range(cells.shape[0]):
            fits = True
            for i in range(num_servers):
                fits = fits and used[o, i] <= free[k, i]
            if fits:
                left = before.shape[0] - 1 - cells[k] - shift
                out[o] = min(out[o], before[cells[k]] + after[left])
    return out
