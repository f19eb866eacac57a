"""The master program by the primal simplex method: arrays in, arrays out.

| symbol | meaning |
|---|---|
| C, N, L | columns, servers, layers |
| m | rows: first N capacity rows, then L convexity rows, every right-hand side 1 |
| basis[k] | column that is basic in position k; -1 - r is the slack of row r |
| inv, x, y | inverse of the basis, values of the basic columns, duals of the rows |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_PIVOT = 1e-9
"""Smallest entry that may become a pivot; rows and right-hand sides are of the order of 1."""

_DEGENERATE_STEPS = 50
"""Steps in a row without progress after which Bland's rule takes over, which cannot cycle."""


@njit(cache=True)
def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a matrix by Gauss-Jordan elimination; row by row, the same on every machine."""
    size = matrix.shape[0]
    left = matrix.copy()
    right = np.eye(size)
    for k in range(size):
        pivot = k
        for i in range(k + 1, size):
            if abs(left[i, k]) > abs(left[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(size):
                left[k, j], left[pivot, j] = left[pivot, j], left[k, j]
                right[k, j], right[pivot, j] = right[pivot, j], right[k, j]
        scale = left[k, k]
        for j in range(size):
            left[k, j] /= scale
            right[k, j] /= scale
        for i in range(size):
            factor = left[i, k]
            if i != k and factor != 0.0:
                for j in range(size):
                    left[i, j] -= factor * left[k, j]
                    right[i, j] -= factor * right[k, j]
    return right


@njit(cache=True)
def simplex(
    value: NDArray[np.float64],
    layer: NDArray[np.int64],
    share: NDArray[np.float64],
    num_layers: int,
    basis: NDArray[np.int64],
    tolerance: float,
    max_steps: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Maximise the value of a mix of columns, from a feasible basis, which is changed in place.

    ``share[j, n]`` is the part of server n that column j fills. Returns x by position in the basis,
    y by row, and the number of steps.
    """
    num_servers = share.shape[1]
    num_rows = num_servers + num_layers
    num_columns = value.shape[0]
    matrix = np.zeros((num_rows, num_rows))
    for k in range(num_rows):
        j = basis[k]
        if j < 0:
            matrix[-1 - j, k] = 1.0
        else:
            for n in range(num_servers):
                matrix[n, k] = share[j, n]
            matrix[num_servers + layer[j], k] = 1.0
    inv = inverse(matrix)
    x = np.zeros(num_rows)
    y = np.zeros(num_rows)
    for k in range(num_rows):
        j = basis[k]
        for r in range(num_rows):
            x[k] += inv[k, r]
            if j >= 0:
                y[r] += value[j] * inv[k, r]
    entering = np.empty(num_rows)
    still = 0
    steps = 0
    while steps < max_steps:
        bland = still > _DEGENERATE_STEPS
        enter = np.int64(0)
        best = tolerance
        for r in range(num_rows):
            if -y[r] > best:
                best = -y[r]
                enter = np.int64(-1 - r)
                if bland:
                    break
        if not (bland and best > tolerance):
            for j in range(num_columns):
                reduced = value[j] - y[num_servers + layer[j]]
                for n in range(num_servers):
                    reduced -= y[n] * share[j, n]
                if reduced > best:
                    best = reduced
                    enter = np.int64(j)
                    if bland:
                        break
        if best <= tolerance:
            break
        for k in range(num_rows):
            if enter < 0:
                entering[k] = inv[k, -1 - enter]
            else:
                entering[k] = inv[k, num_servers + layer[enter]]
                for n in range(num_servers):
                    entering[k] += inv[k, n] * share[enter, n]
        leave = np.int64(-1)
        step = np.inf
        for k in range(num_rows):
            if entering[k] <= _PIVOT:
                continue
            ratio = max(x[k], 0.0) / entering[k]
            tie = leave >= 0 and ratio <= step + 1e-12
            if ratio < step - 1e-12 or (
                tie and (basis[k] < basis[leave] if bland else entering[k] > entering[leave])
            ):
                step = ratio
                leave = np.int64(k)
        if leave < 0:  # only rounding can claim this: every column is in a row with right side 1
            break
        still = still + 1 if step <= 1e-12 else 0
        pivot = entering[leave]
        for r in range(num_rows):
            inv[leave, r] /= pivot
            y[r] += best * inv[leave, r]
        for k in range(num_rows):
            if k != leave and entering[k] != 0.0:
                for r in range(num_rows):
                    inv[k, r] -= entering[k] * inv[leave, r]
                x[k] -= entering[k] * step
        x[leave] = step
        basis[leave] = enter
        steps += 1
    return x, y, steps
