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
    num_experts: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Give layers and experts global numbers, drop local experts, sort the experts of each row."""
    num_rows = row_user.shape[0]
    layer = np.empty(num_rows, np.int64)
    has_local = np.zeros(num_rows, np.bool_)
    offsets = np.zeros(num_rows + 1, np.int64)
    experts = np.empty(row_experts.shape[0], np.int64)
    owner = np.full(num_experts, -1, np.int64)  # last user for whom the expert was marked as local
    current = np.int64(-1)
    end = 0
    for d in range(num_rows):
        u = np.int64(row_user[d])
        m = user_model[u]
        if u != current:
            current = u
            for h in range(local_offsets[u], local_offsets[u + 1]):
                owner[model_expert_offset[m] + local_experts[h]] = u
        g = model_layer_offset[m] + row_layer[d]
        layer[d] = g
        begin = end
        for h in range(row_offsets[d], row_offsets[d + 1]):
            x = layer_expert_offset[g] + row_experts[h]
            if owner[x] == u:
                has_local[d] = True
                continue
            position = end  # insertion sort: rows are short
            while position > begin and experts[position - 1] > x:
                experts[position] = experts[position - 1]
                position -= 1
            experts[position] = x
            end += 1
        offsets[d + 1] = end
    return layer, has_local, offsets, experts[:end].copy()


@njit(cache=True)
def intern_itemsets(
    row_layer: NDArray[np.int64], row_offsets: NDArray[np.int64], row_experts: NDArray[np.int64]
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
                chosen = np.sort(touched[:count])
                for position in range(count):
                    out = out_begin[i] + position
                    weight[out] = total[chosen[position]]
                    server_set[out] = chosen[position]
                    itemset[out] = i
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
