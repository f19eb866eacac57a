"""Hot loops that several heuristics use: arrays in, arrays out.

| symbol | meaning |
|---|---|
| c, x, n | clause, flat expert, server |
| entry | one (clause, expert) incidence, listed by expert |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def wanted_weight(
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    itemset: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    num_experts: int,
) -> NDArray[np.float64]:
    """Sum, for every server and expert, the weights of the clauses that want it there; (N, X)."""
    num_servers = server_sets.shape[1]
    want = np.zeros((num_servers, num_experts))
    for c in range(weight.shape[0]):
        for n in range(num_servers):
            if server_sets[server_set[c], n]:
                for h in range(itemset_offsets[itemset[c]], itemset_offsets[itemset[c] + 1]):
                    want[n, itemset_experts[h]] += weight[c]
    return want


@njit(cache=True)
def entries_by_expert(
    itemset: NDArray[np.int64],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    num_experts: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the clauses of each expert (CSR offsets and clauses, ascending)."""
    offsets = np.zeros(num_experts + 1, np.int64)
    for c in range(itemset.shape[0]):
        for h in range(itemset_offsets[itemset[c]], itemset_offsets[itemset[c] + 1]):
            offsets[itemset_experts[h] + 1] += 1
    for x in range(num_experts):
        offsets[x + 1] += offsets[x]
    cursor = offsets[:-1].copy()
    clause = np.empty(offsets[num_experts], np.int64)
    for c in range(itemset.shape[0]):
        for h in range(itemset_offsets[itemset[c]], itemset_offsets[itemset[c] + 1]):
            x = itemset_experts[h]
            clause[cursor[x]] = c
            cursor[x] += 1
    return offsets, clause
