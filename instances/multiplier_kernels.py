"""Hot loops of the multipliers. All values are multiples of one unit: sums are exact.

| symbol | meaning |
|---|---|
| w, alpha, pi | weight of a clause, multiplier of an entry, of a pair; ms per token |
| demand | for each pair, the sum of its alpha |
| load | ``load[n, i]``: the sum of pi over the pairs of expert i in reach of server n |
| cost | ``cost[n, i]``: what expert i pays for its storage on server n, not above price * size |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def share_weights(
    weight: NDArray[np.float64],
    entry_offsets: NDArray[np.int64],
    entry_pair: NDArray[np.int64],
    alpha: NDArray[np.float64],
    pi: NDArray[np.float64],
    demand: NDArray[np.float64],
    unit: float,
) -> None:
    """Make the alpha of each clause add up to its weight, where they cost least; in place.

    ``demand`` is kept up to date. Alpha move from pairs whose demand exceeds pi to pairs of the
    same clause where pi still has room, which lowers the bound by as much.
    """
    for c in range(weight.shape[0]):
        begin, end = entry_offsets[c], entry_offsets[c + 1]
        total = 0.0
        for e in range(begin, end):
            total += min(alpha[e], weight[c])
        factor = weight[c] / total if total > weight[c] else 1.0
        free = weight[c]
        for e in range(begin, end):
            share = np.floor(min(alpha[e], weight[c]) * factor / unit) * unit
            share = min(share, free)
            p = entry_pair[e]
            excess = demand[p] - pi[p]
            if excess > 0.0:  # more than pi covers: it may be worth more elsewhere
                kept = max(0.0, share - excess)
                demand[p] -= alpha[e] - kept
                alpha[e] = kept
            else:
                demand[p] -= alpha[e] - share
                alpha[e] = share
            free -= alpha[e]
        largest = begin
        for e in range(begin, end):
            p = entry_pair[e]
            given = min(free, max(0.0, pi[p] - demand[p]))
            alpha[e] += given
            demand[p] += given
            free -= given
            if alpha[e] > alpha[largest]:
                largest = e
        if begin < end:
            alpha[largest] += free
            demand[entry_pair[largest]] += free


@njit(cache=True)
def fit_pairs(
    demand: NDArray[np.float64],
    pair_expert: NDArray[np.int64],
    pair_offsets: NDArray[np.int64],
    pair_servers: NDArray[np.int64],
    cost: NDArray[np.float64],
    pi: NDArray[np.float64],
    load: NDArray[np.float64],
) -> None:
    """Choose each pi in turn such that the bound is least while all others stay; in place.

    As a function of one pi the bound falls while it is below the demand and no server's cost is
    reached, stays while one is exceeded, and grows after that.
    """
    for p in range(demand.shape[0]):
        i = pair_expert[p]
        first = second = np.inf  # where the first and the second server's cost is reached
        for position in range(pair_offsets[p], pair_offsets[p + 1]):
            n = pair_servers[position]
            reached = cost[n, i] - (load[n, i] - pi[p])
            if reached < first:
                first, second = reached, first
            elif reached < second:
                second = reached
        best = max(0.0, min(demand[p], max(first, min(second, pi[p]))))
        if best != pi[p]:
            for position in range(pair_offsets[p], pair_offsets[p + 1]):
                load[pair_servers[position], i] += best - pi[p]
            pi[p] = best


@njit(cache=True)
def add_loads(
    pair_expert: NDArray[np.int64],
    pair_offsets: NDArray[np.int64],
    pair_servers: NDArray[np.int64],
    pi: NDArray[np.float64],
    num_servers: int,
    num_experts: int,
) -> NDArray[np.float64]:
    """Return the load of every server and expert."""
    load = np.zeros((num_servers, num_experts))
    for p in range(pi.shape[0]):
        for position in range(pair_offsets[p], pair_offsets[p + 1]):
            load[pair_servers[position], pair_expert[p]] += pi[p]
    return load
