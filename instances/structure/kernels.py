"""Hot loops of the clause form: arrays in, arrays out."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def gather_rows(
    row_user: NDArray[np.int32],
    row_layer: NDArray[np.int32],
    row_offsets: NDArray[np.int64],
    row_experts: NDArray[np.int32],
    user_model: NDArray[np.int64],
    model_layer_offset: NDArray[np.int64],
    layer_expert_offset: NDArray[np.int64],
    model_expert_offset: NDArray[np.int64],
    local_offsets: NDArray[np.int64],
    local_experts: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
    """Give layers and experts global numbers, drop local experts, sort the experts of each row."""
    num_rows = row_user.shape[0]
    layer = np.empty(num_rows, np.int32)
    has_local = np.zeros(num_rows, np.bool_)
    offsets = np.zeros(num_rows + 1, np.int64)
    experts = np.empty(row_experts.shape[0], np.int32)
    end = 0
    for d in range(num_rows):
        u = np.int64(row_user[d])
        m = user_model[u]
        local = local_experts[local_offsets[u] : local_offsets[u + 1]]
        g = model_layer_offset[m] + row_layer[d]
        layer[d] = g
        begin = end
        for h in range(row_offsets[d], row_offsets[d + 1]):
            x = layer_expert_offset[g] + row_experts[h]
            within = x - model_expert_offset[m]
            rank = np.searchsorted(local, within)
            if rank < local.shape[0] and local[rank] == within:
                has_local[d] = True
                continue
            position = end  # insertion sort: rows are short
            while position > begin and experts[position - 1] > x:
                experts[position] = experts[position - 1]
                position -= 1
            experts[position] = x
            end += 1
        offsets[d + 1] = end
    return layer, has_local, offsets, experts[:end]


@njit(cache=True)
def gathered(
    values: NDArray[np.int64], first: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Concatenate ``values[first[i] : first[i] + lengths[i]]``; returns offsets and values."""
    offsets = np.zeros(first.shape[0] + 1, np.int64)
    for i in range(first.shape[0]):
        offsets[i + 1] = offsets[i] + lengths[i]
    together = np.empty(offsets[first.shape[0]], np.int64)
    for i in range(first.shape[0]):
        for h in range(lengths[i]):
            together[offsets[i] + h] = values[first[i] + h]
    return offsets, together


@njit(cache=True)
def intern_itemsets(
    row_layer: NDArray[np.int32], row_offsets: NDArray[np.int64], row_experts: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Assign numbers to distinct itemsets in order of appearance; empty ones get -1.

    Returns the number of each row's itemset, and the first row of each itemset. Flat experts are
    unique across layers, so experts alone identify the itemset. Open addressing, exact comparison.
    """
    num_rows = row_layer.shape[0]
    size = 16
    while size < 2 * num_rows:
        size *= 2
    slots = np.full(size, -1, np.int64)
    itemset = np.full(num_rows, -1, np.int64)
    first_row = np.empty(num_rows, np.int64)
    count = 0
    for d in range(num_rows):
        begin, end = row_offsets[d], row_offsets[d + 1]
        if begin == end:
            continue
        key = np.uint64(1469598103934665603)
        for h in range(begin, end):
            key = (key ^ np.uint64(row_experts[h])) * np.uint64(1099511628211)
            key ^= key >> np.uint64(29)
        slot = np.int64(key & np.uint64(size - 1))
        while True:
            known = slots[slot]
            if known < 0:
                slots[slot] = count
                first_row[count] = d
                itemset[d] = count
                count += 1
                break
            other = row_offsets[first_row[known]]
            same = row_offsets[first_row[known] + 1] - other == end - begin
            if same:
                for h in range(end - begin):
                    if row_experts[other + h] != row_experts[begin + h]:
                        same = False
                        break
            if same:
                itemset[d] = known
                break
            slot = (slot + 1) & (size - 1)
    return itemset, first_row[:count].copy()


@njit(cache=True)
def merge_weights(
    row_itemset: NDArray[np.int64],
    row_has_local: NDArray[np.bool_],
    row_user: NDArray[np.int32],
    row_rate: NDArray[np.float64],
    step_offsets: NDArray[np.int64],
    step_set: NDArray[np.int64],
    step_ms: NDArray[np.float64],
    local_step_ms: NDArray[np.float64],
    num_itemsets: int,
    num_sets: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Add up the weights of equal (itemset, server set); returns weight, server set, itemset."""
    num_rows = row_itemset.shape[0]
    begin = np.zeros(num_itemsets + 1, np.int64)
    for d in range(num_rows):
        if row_itemset[d] >= 0:
            begin[row_itemset[d] + 1] += 1
    for i in range(num_itemsets):
        begin[i + 1] += begin[i]
    grouped = np.empty(begin[num_itemsets], np.int64)
    cursor = begin[:-1].copy()
    for d in range(num_rows):
        i = row_itemset[d]
        if i >= 0:
            grouped[cursor[i]] = d
            cursor[i] += 1

    total = np.zeros(num_sets)
    seen = np.full(num_sets, -1, np.int64)
    touched = np.empty(num_sets, np.int64)
    out_begin = np.zeros(num_itemsets + 1, np.int64)
    weight = np.empty(0)
    server_set = np.empty(0, np.int64)
    itemset = np.empty(0, np.int64)
    for fill in range(2):  # first count, then write
        if fill:
            weight = np.empty(out_begin[num_itemsets])
            server_set = np.empty(out_begin[num_itemsets], np.int64)
            itemset = np.empty(out_begin[num_itemsets], np.int64)
        for i in range(num_itemsets):
            mark = i + fill * num_itemsets
            count = 0
            for position in range(begin[i], begin[i + 1]):
                d = grouped[position]
                u = row_user[d]
                for r in range(step_offsets[u], step_offsets[u + 1]):
                    part = row_rate[d] * (local_step_ms[r] if row_has_local[d] else step_ms[r])
                    if part <= 0.0:
                        continue
                    s = step_set[r]
                    if seen[s] != mark:
                        seen[s] = mark
                        touched[count] = s
                        total[s] = 0.0
                        count += 1
                    total[s] += part
            if fill:
                for position in range(count):
                    s = touched[position]
                    out = out_begin[i] + position  # insertion sort: there are few sets
                    while out > out_begin[i] and server_set[out - 1] > s:
                        server_set[out] = server_set[out - 1]
                        weight[out] = weight[out - 1]
                        out -= 1
                    server_set[out] = s
                    weight[out] = total[s]
                    itemset[out_begin[i] + position] = i
            else:
                out_begin[i + 1] = out_begin[i] + count
    return weight, server_set, itemset


@njit(cache=True)
def satisfied(
    server_set: NDArray[np.int64],
    itemset: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    stored: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Tell which clauses have every expert on some server of their set."""
    num_servers = stored.shape[0]
    met = np.empty(server_set.shape[0], np.bool_)
    for c in range(server_set.shape[0]):
        met[c] = True
        for h in range(itemset_offsets[itemset[c]], itemset_offsets[itemset[c] + 1]):
            held = False
            for n in range(num_servers):
                if server_sets[server_set[c], n] and stored[n, itemset_experts[h]]:
                    held = True
                    break
            if not held:
                met[c] = False
                break
    return met


@njit(cache=True)
def add_on_grid(
    left_bytes: NDArray[np.int64],
    left_value: NDArray[np.float64],
    right_bytes: NDArray[np.int64],
    right_value: NDArray[np.float64],
    cells: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Max-plus sum of two curves on a grid of bytes 0 .. cells - 1."""
    best = np.full(cells, -np.inf)
    best_left = np.zeros(cells, np.int64)
    best_right = np.zeros(cells, np.int64)
    for i in range(left_bytes.shape[0]):
        for j in range(right_bytes.shape[0]):
            b = left_bytes[i] + right_bytes[j]
            if b >= cells:
                break
            v = left_value[i] + right_value[j]
            if v > best[b]:
                best[b] = v
                best_left[b] = i
                best_right[b] = j
    keep = np.empty(cells, np.int64)
    count = 0
    highest = -np.inf
    for b in range(cells):
        if best[b] > highest:
            highest = best[b]
            keep[count] = b
            count += 1
    kept = keep[:count].copy()
    return kept, best[kept], best_left[kept], best_right[kept]


@njit(cache=True)
def merge_shifted(
    bytes_: NDArray[np.int64],
    value: NDArray[np.float64],
    left_idx: NDArray[np.int64],
    right_idx: NDArray[np.int64],
    left_bytes: NDArray[np.int64],
    left_value: NDArray[np.float64],
    shift: int,
    lift: float,
    right: int,
    capacity: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Merge a Pareto list with a shifted and lifted copy of another; Pareto points only.

    Points remember the index in the copied list, and ``right`` for the copy itself.
    """
    old, fresh = bytes_.shape[0], left_bytes.shape[0]
    new_bytes = np.empty(old + fresh, np.int64)
    new_value = np.empty(old + fresh)
    new_left = np.empty(old + fresh, np.int64)
    new_right = np.empty(old + fresh, np.int64)
    while fresh > 0 and left_bytes[fresh - 1] + shift > capacity:
        fresh -= 1
    count = 0
    a = 0
    i = 0
    highest = -np.inf
    while a < old or i < fresh:
        take_old = i >= fresh
        if not take_old and a < old:
            shifted = left_bytes[i] + shift
            take_old = bytes_[a] < shifted or (
                bytes_[a] == shifted and value[a] >= left_value[i] + lift
            )
        if take_old:
            if value[a] > highest:
                highest = value[a]
                new_bytes[count] = bytes_[a]
                new_value[count] = value[a]
                new_left[count] = left_idx[a]
                new_right[count] = right_idx[a]
                count += 1
            a += 1
        else:
            if left_value[i] + lift > highest:
                highest = left_value[i] + lift
                new_bytes[count] = left_bytes[i] + shift
                new_value[count] = highest
                new_left[count] = i
                new_right[count] = right
                count += 1
            i += 1
    return (
        new_bytes[:count].copy(),
        new_value[:count].copy(),
        new_left[:count].copy(),
        new_right[:count].copy(),
    )


@njit(cache=True)
def worth_keeping(
    bytes_: NDArray[np.int64], value: NDArray[np.float64], num_bins: int
) -> NDArray[np.bool_]:
    """Mark the breakpoints of the concave hull of a curve, and the last point of each bin."""
    num_points = bytes_.shape[0]
    keep = np.zeros(num_points, np.bool_)
    hull = np.empty(num_points, np.int64)
    top = 0
    for i in range(num_points):
        while top >= 2:
            a, b = hull[top - 2], hull[top - 1]
            rise = (value[b] - value[a]) * float(bytes_[i] - bytes_[a])
            if rise >= (value[i] - value[a]) * float(bytes_[b] - bytes_[a]):
                break
            top -= 1
        hull[top] = i
        top += 1
    for h in range(top):
        keep[hull[h]] = True
    width = bytes_[num_points - 1] // num_bins + 1
    for i in range(num_points - 1):
        if bytes_[i] // width != bytes_[i + 1] // width:
            keep[i] = True
    keep[num_points - 1] = True
    return keep


MOST_COMPARED = 32
"""Clauses of one itemset that a further one is compared with, to be merged."""


@njit(cache=True)
def residual(
    free: NDArray[np.bool_],
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    itemset: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    stored: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """List the clauses that the free servers can still decide, and the experts each of them lacks.

    Returns clause indices, weights, offsets and flat experts (CSR). What free servers store is
    ignored; clauses that the other servers satisfy alone are left out. Neighbours in the list (of
    one itemset) that lack the same and that the same free servers can complete are one: their
    weights are added, and the first stands for all.
    """
    num_servers = stored.shape[0]
    # Which free servers a set has, 0 for none; equal where the same can help. Beyond 62 free
    # servers there are no bits left, and every set counts as different.
    free_members = np.zeros(server_sets.shape[0], np.int64)
    has_bits = free.sum() <= 62
    for s in range(server_sets.shape[0]):
        bit = np.int64(1)
        for n in range(num_servers):
            if free[n]:
                if server_sets[s, n]:
                    free_members[s] |= bit
                bit <<= 1
        if not has_bits and (free & server_sets[s]).any():
            free_members[s] = s + 1
    num_clauses = weight.shape[0]
    clause = np.empty(num_clauses, np.int64)
    gain = np.empty(num_clauses)
    lacks = np.empty(num_clauses, np.int64)  # bit mask of what is lacked, -1 where that is too long
    offsets = np.zeros(num_clauses + 1, np.int64)
    size = 0
    for c in range(num_clauses):
        if free_members[server_set[c]] != 0:
            size += itemset_offsets[itemset[c] + 1] - itemset_offsets[itemset[c]]
    experts = np.empty(size, np.int64)
    count = 0
    end = 0
    first = 0  # of the itemset, among those listed
    for c in range(num_clauses):
        s = server_set[c]
        if c > 0 and itemset[c] != itemset[c - 1]:
            first = count
        if free_members[s] == 0:
            continue
        begin = end
        start = itemset_offsets[itemset[c]]
        stop = itemset_offsets[itemset[c] + 1]
        mask = np.int64(0)
        for h in range(start, stop):
            x = itemset_experts[h]
            held = False
            for n in range(num_servers):
                if not free[n] and server_sets[s, n] and stored[n, x]:
                    held = True
                    break
            if not held:
                experts[end] = x
                end += 1
                if stop - start < 63:
                    mask |= np.int64(1) << (h - start)
        if end == begin:
            continue
        if stop - start >= 63:
            mask = np.int64(-1)
        known = np.int64(-1)
        for other in range(max(first, count - MOST_COMPARED), count):
            if (
                mask >= 0
                and lacks[other] == mask
                and free_members[server_set[clause[other]]] == free_members[s]
            ):
                known = np.int64(other)
                break
        if known >= 0:
            gain[known] += weight[c]
            end = begin
            continue
        clause[count] = c
        gain[count] = weight[c]
        lacks[count] = mask
        count += 1
        offsets[count] = end
    return (
        clause[:count].copy(),
        gain[:count].copy(),
        offsets[: count + 1].copy(),
        experts[:end].copy(),
    )


@njit(cache=True, nogil=True)
def subset_values(
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    num_bits: int,
) -> NDArray[np.float64]:
    """Return v(C) for every subset C: the weights of the sets inside C (zeta transform).

    Set c consists of the bits ``bits[offsets[c]:offsets[c + 1]]``. Takes num_bits * 2^num_bits
    steps.
    """
    table = np.zeros(1 << num_bits)
    for c in range(weight.shape[0]):
        mask = np.int64(0)
        for h in range(offsets[c], offsets[c + 1]):
            mask |= np.int64(1) << bits[h]
        table[mask] += weight[c]
    for bit in range(num_bits):
        step = 1 << bit
        for base in range(0, 1 << num_bits, 2 * step):
            for low in range(base, base + step):
                table[low + step] += table[low]
    return table


@njit(cache=True, nogil=True)
def best_by_count(
    table: NDArray[np.float64], num_bits: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the best value over the subsets of each size, and the first subset that has it."""
    best = np.full(num_bits + 1, -np.inf)
    mask = np.zeros(num_bits + 1, np.int64)
    popcount = np.zeros(table.shape[0], np.int8)
    for c in range(table.shape[0]):
        popcount[c] = popcount[c >> 1] + (c & 1)
        size = popcount[c]
        if table[c] > best[size]:
            best[size] = table[c]
            mask[size] = c
    return best, mask


@njit(cache=True, nogil=True)
def subset_bytes(bit_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of sizes of every subset."""
    total = np.zeros(1 << bit_bytes.shape[0], np.int64)
    for bit in range(bit_bytes.shape[0]):
        step = 1 << bit
        for c in range(step):
            total[step + c] = total[c] + bit_bytes[bit]
    return total
