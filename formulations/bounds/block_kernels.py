"""Hot loops over blocks of clauses: arrays in, arrays out.

| symbol | meaning |
|---|---|
| i, b | itemset, block |
| e, x | expert of a block, and its index among all wanted experts |
| k, s | server set of a block, and its index among all server sets |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def sets_of_itemsets(
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    itemset: NDArray[np.int64],
    set_of: NDArray[np.int64],
    num_itemsets: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """List the server sets of the clauses of some weight, by itemset: offsets and sets."""
    offsets = np.zeros(num_itemsets + 1, np.int64)
    sets = np.empty(weight.shape[0], np.int32)
    count = 0
    for c in range(weight.shape[0]):
        if weight[c] > 0.0:
            sets[count] = set_of[server_set[c]]
            count += 1
            offsets[itemset[c] + 1] += 1
    for i in range(num_itemsets):
        offsets[i + 1] += offsets[i]
    return offsets, sets[:count]


@njit(cache=True)
def measure_blocks(
    order: NDArray[np.int64],
    first: NDArray[np.int64],
    set_offsets: NDArray[np.int64],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    index_of: NDArray[np.int64],
    num_wanted: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return where experts, sets, entries and weights of each block begin.

    Block b consists of the itemsets ``order[first[b]:first[b + 1]]``.
    """
    num_blocks = first.shape[0] - 1
    expert_offset = np.zeros(num_blocks + 1, np.int64)
    set_offset = np.zeros(num_blocks + 1, np.int64)
    entry_offset = np.zeros(num_blocks + 1, np.int64)
    weight_offset = np.zeros(num_blocks + 1, np.int64)
    seen_in = np.full(num_wanted, -1, np.int64)
    for b in range(num_blocks):
        count = first[b + 1] - first[b]
        one = order[first[b]]
        num_sets = set_offsets[one + 1] - set_offsets[one]
        num_experts = 0
        for j in range(first[b], first[b + 1]):
            i = order[j]
            for h in range(itemset_offsets[i], itemset_offsets[i + 1]):
                x = index_of[itemset_experts[h]]
                if seen_in[x] != b:
                    seen_in[x] = b
                    num_experts += 1
        length = itemset_offsets[one + 1] - itemset_offsets[one]
        expert_offset[b + 1] = expert_offset[b] + num_experts
        set_offset[b + 1] = set_offset[b] + num_sets
        entry_offset[b + 1] = entry_offset[b] + count * length
        weight_offset[b + 1] = weight_offset[b] + count * num_sets
    return expert_offset, set_offset, entry_offset, weight_offset


@njit(cache=True)
def fill_blocks(
    order: NDArray[np.int64],
    first: NDArray[np.int64],
    set_offsets: NDArray[np.int64],
    sets: NDArray[np.int32],
    clause_weight: NDArray[np.float64],
    clause_begin: NDArray[np.int64],
    unit: float,
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    index_of: NDArray[np.int64],
    num_wanted: int,
    expert_offset: NDArray[np.int64],
    set_offset: NDArray[np.int64],
    entry_offset: NDArray[np.int64],
    weight_offset: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Return experts, sets, entries and weights (in units) of blocks that were measured."""
    num_blocks = first.shape[0] - 1
    block_expert = np.empty(expert_offset[num_blocks], np.int32)
    block_set = np.empty(set_offset[num_blocks], np.int32)
    entries = np.empty(entry_offset[num_blocks], np.int32)
    weight = np.empty(weight_offset[num_blocks])
    seen_in = np.full(num_wanted, -1, np.int64)
    place = np.zeros(num_wanted, np.int32)
    for b in range(num_blocks):
        one = order[first[b]]
        for k in range(set_offset[b + 1] - set_offset[b]):
            block_set[set_offset[b] + k] = sets[set_offsets[one] + k]
        num_experts = 0
        entry = entry_offset[b]
        out = weight_offset[b]
        for j in range(first[b], first[b + 1]):
            i = order[j]
            for h in range(itemset_offsets[i], itemset_offsets[i + 1]):
                x = index_of[itemset_experts[h]]
                if seen_in[x] != b:
                    seen_in[x] = b
                    place[x] = num_experts
                    block_expert[expert_offset[b] + num_experts] = x
                    num_experts += 1
                entries[entry] = place[x]
                entry += 1
            for c in range(clause_begin[i], clause_begin[i + 1]):
                if clause_weight[c] > 0.0:
                    weight[out] = clause_weight[c] / unit  # a power of two: exact
                    out += 1
    return block_expert, block_set, entries, weight


@njit(cache=True, nogil=True)
def share_out(
    begin: int,
    end: int,
    expert_offset: NDArray[np.int64],
    block_expert: NDArray[np.int32],
    set_offset: NDArray[np.int64],
    block_set: NDArray[np.int32],
    entry_offset: NDArray[np.int64],
    entries: NDArray[np.int32],
    weight_offset: NDArray[np.int64],
    weight: NDArray[np.float64],
    attraction: NDArray[np.float64],
    credit: NDArray[np.float64],
) -> None:
    """Split each clause of blocks begin to end - 1 in proportion to attraction[x, s] > 0.

    A block's attractions and credits are copied to where all of them are near each other. Sets are
    worked on eight at a time, in variables by themselves, which become one vector: twice as fast as
    a loop over a few of them. Places beyond the last set have attraction 1 and weight 0.
    """
    for b in range(begin, end):
        num_experts = expert_offset[b + 1] - expert_offset[b]
        num_sets = set_offset[b + 1] - set_offset[b]
        count = (weight_offset[b + 1] - weight_offset[b]) // num_sets
        length = (entry_offset[b + 1] - entry_offset[b]) // count
        width = (num_sets + 7) // 8 * 8
        pull = np.ones(num_experts * width)
        given = np.zeros(num_experts * width)
        for e in range(num_experts):
            x = block_expert[expert_offset[b] + e]
            for k in range(num_sets):
                pull[e * width + k] = attraction[x, block_set[set_offset[b] + k]]
        entry = entry_offset[b]
        clause = weight_offset[b]
        for _ in range(count):
            for k in range(0, num_sets, 8):
                left = num_sets - k
                c = clause + k
                t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = 0.0
                for h in range(entry, entry + length):
                    at = np.uint64(entries[h]) * np.uint64(width) + np.uint64(k)
                    t0 += pull[at]
                    t1 += pull[at + np.uint64(1)]
                    t2 += pull[at + np.uint64(2)]
                    t3 += pull[at + np.uint64(3)]
                    t4 += pull[at + np.uint64(4)]
                    t5 += pull[at + np.uint64(5)]
                    t6 += pull[at + np.uint64(6)]
                    t7 += pull[at + np.uint64(7)]
                t0 = weight[c] / t0
                t1 = (weight[c + 1] if left > 1 else 0.0) / t1
                t2 = (weight[c + 2] if left > 2 else 0.0) / t2
                t3 = (weight[c + 3] if left > 3 else 0.0) / t3
                t4 = (weight[c + 4] if left > 4 else 0.0) / t4
                t5 = (weight[c + 5] if left > 5 else 0.0) / t5
                t6 = (weight[c + 6] if left > 6 else 0.0) / t6
                t7 = (weight[c + 7] if left > 7 else 0.0) / t7
                for h in range(entry, entry + length):
                    at = np.uint64(entries[h]) * np.uint64(width) + np.uint64(k)
                    given[at] += t0 * pull[at]
                    given[at + np.uint64(1)] += t1 * pull[at + np.uint64(1)]
                    given[at + np.uint64(2)] += t2 * pull[at + np.uint64(2)]
                    given[at + np.uint64(3)] += t3 * pull[at + np.uint64(3)]
                    given[at + np.uint64(4)] += t4 * pull[at + np.uint64(4)]
                    given[at + np.uint64(5)] += t5 * pull[at + np.uint64(5)]
                    given[at + np.uint64(6)] += t6 * pull[at + np.uint64(6)]
                    given[at + np.uint64(7)] += t7 * pull[at + np.uint64(7)]
            entry += length
            clause += num_sets
        for e in range(num_experts):
            x = block_expert[expert_offset[b] + e]
            for k in range(num_sets):
                credit[x, block_set[set_offset[b] + k]] += given[e * width + k]


@njit(cache=True)
def add_whole_weights(
    expert_offset: NDArray[np.int64],
    block_expert: NDArray[np.int32],
    set_offset: NDArray[np.int64],
    block_set: NDArray[np.int32],
    entry_offset: NDArray[np.int64],
    entries: NDArray[np.int32],
    weight_offset: NDArray[np.int64],
    weight: NDArray[np.float64],
    total: NDArray[np.float64],
) -> None:
    """Add the weight of every clause to total[x, s] for each of its experts."""
    for b in range(expert_offset.shape[0] - 1):
        num_sets = set_offset[b + 1] - set_offset[b]
        count = (weight_offset[b + 1] - weight_offset[b]) // num_sets
        length = (entry_offset[b + 1] - entry_offset[b]) // count
        for j in range(count):
            for h in range(length):
                e = entries[entry_offset[b] + j * length + h]
                x = block_expert[expert_offset[b] + e]
                for k in range(num_sets):
                    s = block_set[set_offset[b] + k]
                    total[x, s] += weight[weight_offset[b] + j * num_sets + k]
