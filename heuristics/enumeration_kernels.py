"""Density greedy from many starts, for K = 1: arrays in, arrays out.

| symbol | meaning |
|---|---|
| a, b, p | pairs (server, expert) that gain something alone and fit; index into the pair arrays |
| c | clause; those of the expert of pair p: ``clause_begin[p] : clause_end[p]`` |
| density | marginal gain per byte; 0 when stored |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def store_pair(
    a: int,
    pair_server: NDArray[np.int64],
    pair_bytes: NDArray[np.int64],
    clause_begin: NDArray[np.int64],
    clause_end: NDArray[np.int64],
    alike_begin: NDArray[np.int64],
    alike: NDArray[np.int64],
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    met: NDArray[np.bool_],
    density: NDArray[np.float64],
    room: NDArray[np.int64],
) -> float:
    """Store a pair, bring the densities of its expert's other pairs up to date; return its gain.

    ``alike[alike_begin[a] : alike_begin[a + 1]]`` lists the pairs with the expert of pair a.
    """
    gain = 0.0
    for c in range(clause_begin[a], clause_end[a]):
        if not met[c] and server_sets[server_set[c], pair_server[a]]:
            met[c] = True
            gain += weight[c]
    room[pair_server[a]] -= pair_bytes[a]
    density[a] = 0.0
    for h in range(alike_begin[a], alike_begin[a + 1]):
        p = alike[h]
        if density[p] > 0.0:
            left = 0.0
            for c in range(clause_begin[p], clause_end[p]):
                if not met[c] and server_sets[server_set[c], pair_server[p]]:
                    left += weight[c]
            density[p] = left / pair_bytes[p]
    return gain


@njit(cache=True)
def complete(
    start: NDArray[np.int64],
    pair_server: NDArray[np.int64],
    pair_bytes: NDArray[np.int64],
    clause_begin: NDArray[np.int64],
    clause_end: NDArray[np.int64],
    alike_begin: NDArray[np.int64],
    alike: NDArray[np.int64],
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    capacity: NDArray[np.int64],
    first_density: NDArray[np.float64],
    met: NDArray[np.bool_],
    density: NDArray[np.float64],
    room: NDArray[np.int64],
    stored: NDArray[np.bool_],
) -> float:
    """Store the pairs of ``start``, then again and again the pair of largest density that fits.

    Returns the saving, or -1 when the start does not fit or one of its pairs gains nothing on top
    of the earlier ones. The last four arrays are overwritten; ``stored`` tells which pairs are
    stored.
    """
    met[:] = False
    stored[:] = False
    density[:] = first_density
    room[:] = capacity
    saving = 0.0
    for h in range(start.shape[0]):
        a = start[h]
        if density[a] <= 0.0 or pair_bytes[a] > room[pair_server[a]]:
            return -1.0
        stored[a] = True
        saving += store_pair(
            a,
            pair_server,
            pair_bytes,
            clause_begin,
            clause_end,
            alike_begin,
            alike,
            weight,
            server_set,
            server_sets,
            met,
            density,
            room,
        )
    while True:
        a = np.int64(-1)
        highest = 0.0
        for p in range(density.shape[0]):
            if density[p] > highest and pair_bytes[p] <= room[pair_server[p]]:
                highest = density[p]
                a = p
        if a < 0:
            return saving
        stored[a] = True
        saving += store_pair(
            a,
            pair_server,
            pair_bytes,
            clause_begin,
            clause_end,
            alike_begin,
            alike,
            weight,
            server_set,
            server_sets,
            met,
            density,
            room,
        )


@njit(cache=True)
def best_last(
    start: NDArray[np.int64],
    pair_server: NDArray[np.int64],
    pair_bytes: NDArray[np.int64],
    clause_begin: NDArray[np.int64],
    clause_end: NDArray[np.int64],
    alike_begin: NDArray[np.int64],
    alike: NDArray[np.int64],
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    capacity: NDArray[np.int64],
    first_density: NDArray[np.float64],
) -> tuple[float, int]:
    """Try all pairs behind the second last as the last pair of a start.

    Returns the largest saving of a completed start, -1 when none is feasible, and that last pair.
    """
    met = np.empty(weight.shape[0], np.bool_)
    density = np.empty(first_density.shape[0])
    room = np.empty(capacity.shape[0], np.int64)
    stored = np.empty(first_density.shape[0], np.bool_)
    full = start.copy()
    last = full.shape[0] - 1
    best = -1.0
    best_pair = -1
    for p in range(full[last - 1] + 1 if last > 0 else 0, first_density.shape[0]):
        full[last] = p
        saving = complete(
            full,
            pair_server,
            pair_bytes,
            clause_begin,
            clause_end,
            alike_begin,
            alike,
            weight,
            server_set,
            server_sets,
            capacity,
            first_density,
            met,
            density,
            room,
            stored,
        )
        if saving > best:
            best = saving
            best_pair = p
    return best, best_pair
