"""Hot loops of the server-set bound: arrays in, arrays out.

| symbol | meaning | unit |
|---|---|---|
| x, s, n | wanted expert, server set (bit mask over servers), server | |
| t | label: the servers that store an expert, a bit mask | |
| credit[x, s] | what expert x is paid for being on some server of s | units of weight |
| worth[x, t] | what it is paid with label t | units of weight |
| price[n] | what a byte on server n costs | units of weight a byte |
| q | number of experts stored, a cell of the max-plus sum | |

Weights and credits are whole numbers of units: sums of them are exact below 2^53.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NEGLIGIBLE = -30.0
"""Logarithm of a probability that counts as 0 where only steps depend on it."""


@njit(cache=True, nogil=True)
def sum_over_subsets(table: NDArray[np.float64], num_bits: int) -> None:
    """Let table[t] become the sum of table over the subsets of t; takes num_bits 2^num_bits."""
    for bit in range(num_bits):
        step = 1 << bit
        for base in range(0, 1 << num_bits, 2 * step):
            for low in range(base, base + step):
                table[low + step] += table[low]


@njit(cache=True, nogil=True)
def add_up_costs(cost: NDArray[np.float64], price: NDArray[np.float64]) -> None:
    """Let cost[t] become the sum of the prices of the servers in t."""
    cost[0] = 0.0
    for n in range(price.shape[0]):
        step = 1 << n
        for low in range(step):
            cost[step + low] = cost[low] + price[n]


@njit(cache=True, nogil=True)
def label_worths(
    begin: int,
    end: int,
    credit: NDArray[np.float64],
    masks: NDArray[np.int64],
    num_servers: int,
    worth: NDArray[np.float64],
) -> None:
    """Fill worth[x, t], the credits of the sets that t meets: all but those inside its complement.

    Experts x = begin .. end - 1; num_servers * 2^num_servers steps for each of them.
    """
    num_labels = 1 << num_servers
    within = np.empty(num_labels)
    for x in range(begin, end):
        within[:] = 0.0
        total = 0.0
        for s in range(masks.shape[0]):
            within[masks[s]] += credit[x, s]
            total += credit[x, s]
        sum_over_subsets(within, num_servers)
        for t in range(num_labels):
            worth[x, t] = total - within[num_labels - 1 - t]


@njit(cache=True, nogil=True)
def best_labels(
    begin: int,
    end: int,
    worth: NDArray[np.float64],
    sizes: NDArray[np.int64],
    fits: NDArray[np.bool_],
    price: NDArray[np.float64],
    used: NDArray[np.int64],
) -> float:
    """Return the sum over experts of the largest worth less cost; bytes used are added to ``used``.

    Costs are whole numbers of units, not above the exact ones, so the result is not below the exact
    sum. Labels with a server that the expert does not fit into are left out.
    """
    num_labels, num_servers = worth.shape[1], price.shape[0]
    single = np.empty(num_servers)
    cost = np.zeros(num_labels)
    total = 0.0
    for x in range(begin, end):
        changed = x == begin or sizes[x] != sizes[x - 1]
        for n in range(num_servers):
            # the product is off by less than one unit below 2^52, where larger ones are cut off
            alone = max(0.0, math.floor(min(price[n] * sizes[x], 2.0**52)) - 1.0)
            if not fits[x, n]:
                alone = np.inf
            changed = changed or alone != single[n]
            single[n] = alone
        if changed:
            add_up_costs(cost, single)
        best = 0
        top = 0.0
        for t in range(1, num_labels):
            if worth[x, t] - cost[t] > top:
                top = worth[x, t] - cost[t]
                best = t
        total += top
        for n in range(num_servers):
            if (best >> n) & 1:
                used[n] += sizes[x]
    return total


@njit(cache=True, nogil=True)
def mix_labels(
    begin: int,
    end: int,
    pull: NDArray[np.float64],
    scale: NDArray[np.float64],
    sizes: NDArray[np.float64],
    slope: NDArray[np.float64],
    price: NDArray[np.float64],
    masks: NDArray[np.int64],
    fits: NDArray[np.bool_],
    met: NDArray[np.float64],
    on: NDArray[np.float64],
    used: NDArray[np.float64],
    curvature: NDArray[np.float64],
) -> float:
    """Mix labels with probabilities in proportion to exp(worth / scale - slope * prices).

    The worth of a label is that of its credits ``pull[x, s]``, as in label_worths. Fills the
    probabilities that a set is met and that a server stores an expert, (X, S) and (X, N), and adds
    the bytes used, and their derivative in the prices with the sign changed. Returns the convex
    function of the prices whose derivative is the bytes used with the sign changed.
    """
    num_servers = price.shape[0]
    num_labels = 1 << num_servers
    everything = num_labels - 1
    cost = np.empty(num_labels)
    add_up_costs(cost, price)
    within = np.empty(num_labels)
    height = np.empty(num_labels)
    earned = 0.0
    for x in range(begin, end):
        within[:] = 0.0
        for s in range(masks.shape[0]):
            within[masks[s]] += pull[x, s]
        sum_over_subsets(within, num_servers)
        barred = 0
        for n in range(num_servers):
            if not fits[x, n]:
                barred |= 1 << n
        inverse = 1.0 / scale[x]
        top = -np.inf
        for t in range(num_labels):
            # what all sets are worth together is left out: it is the same for every label
            height[t] = -within[everything - t] * inverse - slope[x] * cost[t]
            if t & barred == 0:
                top = max(top, height[t])
        total = 0.0
        for t in range(num_labels):
            above = height[t] - top
            likely = above > _NEGLIGIBLE and t & barred == 0
            within[t] = math.exp(above) if likely else 0.0
            total += within[t]
        earned += sizes[x] / slope[x] * (top + math.log(total))
        for t in range(num_labels):
            within[t] /= total
        sum_over_subsets(within, num_servers)
        for s in range(masks.shape[0]):
            met[x, s] = 1.0 - within[everything - masks[s]]
        for n in range(num_servers):
            on[x, n] = 1.0 - within[everything - (1 << n)]
            used[n] += on[x, n] * sizes[x]
        for n in range(num_servers):
            curvature[n, n] += on[x, n] * (1.0 - on[x, n]) * sizes[x] * slope[x]
            for k in range(n):
                both = on[x, n] + on[x, k] - 1.0 + within[everything - (1 << n) - (1 << k)]
                change = (both - on[x, n] * on[x, k]) * sizes[x] * slope[x]
                curvature[n, k] += change
                curvature[k, n] += change
    return earned


@njit(cache=True)
def best_sets(
    tables: NDArray[np.float64],
    table_offset: NDArray[np.int64],
    block_expert: NDArray[np.int64],
    block_offset: NDArray[np.int64],
    popcount: NDArray[np.int8],
    piece_offset: NDArray[np.int64],
    piece_set: NDArray[np.int64],
    piece_slots: NDArray[np.int64],
    credit: NDArray[np.float64],
    chosen: NDArray[np.float64],
) -> float:
    """Return the sum over pieces of the largest table value less credits, within its slots.

    A piece is one server set and the experts of one size: its blocks are layers, and at most
    ``piece_slots`` experts are chosen over all of them. ``chosen[x, s]`` becomes 1 for those, 0 for
    the other experts of its blocks.
    """
    widest = 0
    most_blocks = 0
    for b in range(block_offset.shape[0] - 1):
        widest = max(widest, block_offset[b + 1] - block_offset[b])
    for p in range(piece_set.shape[0]):
        most_blocks = max(most_blocks, piece_offset[p + 1] - piece_offset[p])
    paid = np.empty(1 << widest)
    best = np.empty(widest + 1)
    arg = np.zeros((most_blocks, widest + 1), np.int64)
    total = 0.0
    for p in range(piece_set.shape[0]):
        s, first, slots = piece_set[p], piece_offset[p], piece_slots[p]
        choice = np.zeros((piece_offset[p + 1] - first, slots + 1), np.int8)
        now = np.full(slots + 1, -np.inf)
        following = np.empty(slots + 1)
        now[0] = 0.0
        reach = 0
        for b in range(first, piece_offset[p + 1]):
            width = block_offset[b + 1] - block_offset[b]
            table = tables[table_offset[b] : table_offset[b + 1]]
            paid[0] = 0.0
            for bit in range(width):
                step = 1 << bit
                single = credit[block_expert[block_offset[b] + bit], s]
                for low in range(step):
                    paid[step + low] = paid[low] + single
            best[: width + 1] = -np.inf
            for subset in range(table.shape[0]):
                value = table[subset] - paid[subset]
                count = popcount[subset]
                if value > best[count]:
                    best[count] = value
                    arg[b - first, count] = subset
            old_reach = reach
            reach = min(slots, reach + width)
            following[: reach + 1] = -np.inf
            top = -np.inf
            for count in range(width + 1):
                if best[count] <= top:
                    continue
                top = best[count]
                for q in range(count, min(reach, old_reach + count) + 1):
                    value = now[q - count] + top
                    if value > following[q]:
                        following[q] = value
                        choice[b - first, q] = count
            now[: reach + 1] = following[: reach + 1]
        q = 0
        for other in range(reach + 1):
            if now[other] > now[q]:
                q = other
        total += now[q]
        for b in range(piece_offset[p + 1] - 1, first - 1, -1):
            count = choice[b - first, q]
            subset = arg[b - first, count]
            for bit in range(block_offset[b + 1] - block_offset[b]):
                chosen[block_expert[block_offset[b] + bit], s] = float((subset >> bit) & 1)
            q -= count
    return total
