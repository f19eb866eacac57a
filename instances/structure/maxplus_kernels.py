"""Hot loops of max-plus convolution on dense arrays: arrays in, arrays out.

h[k] = max over i of f[i] + g[k - i], for k = 0 .. limit - 1; ``arg[k]`` is an i that attains it.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

G_WIDTH = 512
F_WIDTH = 64
"""Values of g and of f whose sums are taken together: all of that stays in the fastest cache."""


@njit(cache=True)
def is_concave(f: NDArray[np.float64]) -> bool:
    """Tell whether the differences of f never grow."""
    concave = True
    for i in range(2, f.shape[0]):
        concave = concave and f[i] - f[i - 1] <= f[i - 1] - f[i - 2]
    return concave


@njit(cache=True)
def merge_concave(
    f: NDArray[np.float64], g: NDArray[np.float64], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Both concave: take the larger next difference; O(limit) steps."""
    h = np.empty(limit)
    arg = np.empty(limit, np.int64)
    i = 0
    j = 0
    for k in range(limit):
        h[k] = f[i] + g[j]
        arg[k] = i
        if j + 1 >= g.shape[0] or (i + 1 < f.shape[0] and f[i + 1] - f[i] >= g[j + 1] - g[j]):
            i += 1
        else:
            j += 1
        if i >= f.shape[0]:  # the last cell was reached
            break
    return h, arg


@njit(cache=True)
def later_is_better(
    f: NDArray[np.float64], g: NDArray[np.float64], k: int, early: int, late: int
) -> bool:
    """Compare two indices early < late for row k; indices out of reach lose as monotony needs."""
    if late > k:
        return False
    if k - early >= g.shape[0]:
        return True
    return bool(f[late] + g[k - late] > f[early] + g[k - early])


@njit(cache=True)
def smawk(
    f: NDArray[np.float64], g: NDArray[np.float64], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Only g concave: row maxima of a totally monotone matrix; O(limit + len(f)) steps.

    Aggarwal, Klawe, Moran, Shor, Wilber 1987. Level d holds every 2^d-th row, from row 2^d - 1 on,
    and as many columns as rows.
    """
    num_levels = 0
    while (limit >> num_levels) > 0:
        num_levels += 1
    begin = np.zeros(num_levels + 1, np.int64)
    for level in range(num_levels):
        begin[level + 1] = begin[level] + (limit >> level)
    columns = np.empty(begin[num_levels], np.int64)
    count = np.zeros(num_levels, np.int64)
    for level in range(num_levels):  # reduce
        rows = limit >> level
        base = begin[level]
        size = 0
        candidates = f.shape[0] if level == 0 else count[level - 1]
        for position in range(candidates):
            column = position if level == 0 else columns[begin[level - 1] + position]
            while size > 0 and later_is_better(
                f, g, (size << level) - 1, columns[base + size - 1], column
            ):
                size -= 1
            if size < rows:
                columns[base + size] = column
                size += 1
        count[level] = size
    arg = np.empty(limit, np.int64)
    for level in range(num_levels - 1, -1, -1):  # interpolate
        base = begin[level]
        rows = limit >> level
        position = 0
        for r in range(0, rows, 2):
            k = ((r + 1) << level) - 1
            end = count[level] - 1
            if r + 1 < rows:
                stop = arg[((r + 2) << level) - 1]
                end = position
                while columns[base + end] < stop:
                    end += 1
            best = columns[base + position]
            for p in range(position + 1, end + 1):
                if later_is_better(f, g, k, best, columns[base + p]):
                    best = columns[base + p]
            arg[k] = best
            position = end
    h = np.empty(limit)
    for k in range(limit):
        h[k] = f[arg[k]] + g[k - arg[k]]
    return h, arg


@njit(cache=True)
def blocked(
    f: NDArray[np.float64], g: NDArray[np.float64], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Both arbitrary: all pairs, in blocks that stay in cache; O(len(f) len(g)) steps.

    In the inner loop there are maxima alone, several at a time. The index that attains each is
    looked for afterwards, in the one block of f that had it.
    """
    h = np.full(limit, -np.inf)
    arg = np.zeros(limit, np.int64)  # first index of that block
    window = np.zeros(limit, np.int64)  # first index of the block of g
    block = np.empty(G_WIDTH + F_WIDTH)
    for first in range(0, g.shape[0], G_WIDTH):
        last = min(first + G_WIDTH, g.shape[0])
        values = g[first:last]
        for begin in range(0, min(f.shape[0], limit - first), F_WIDTH):
            end = min(begin + F_WIDTH, f.shape[0])
            cells = min(end - begin + last - first - 1, limit - begin - first)
            block[: end - begin + last - first - 1] = -np.inf
            for i in range(begin, end):
                raise_to(block[i - begin :], f[i], values)
            for k in range(cells):
                if block[k] > h[begin + first + k]:
                    h[begin + first + k] = block[k]
                    arg[begin + first + k] = begin
                    window[begin + first + k] = first
    for k in range(limit):
        i = max(arg[k], k - min(window[k] + G_WIDTH, g.shape[0]) + 1)
        while f[i] + g[k - i] != h[k]:
            i += 1
        arg[k] = i
    return h, arg


@njit(cache=True, inline="always")
def raise_to(block: NDArray[np.float64], value: float, g: NDArray[np.float64]) -> None:
    """Raise each cell of a block to ``value + g``; without a branch, so that it is vectorised."""
    for j in range(g.shape[0]):
        total = value + g[j]
        block[j] = total if total > block[j] else block[j]
