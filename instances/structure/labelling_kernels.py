"""Hot loops of the search for labellings of a layer: arrays in, arrays out. Whole numbers only.

| symbol | meaning |
|---|---|
| E, S, T | experts of the layer in search order, server sets, labels (sets of servers) |
| k | depth: experts 0 .. k - 1 have labels |
| cover[k, s] | bit mask of the experts below k whose label meets server set s |
| v_s[C] | weight of the clauses with server set s whose experts lie in C |
| part[s, 2^k - 1 + C, j] | weight of the open clauses of s that is credited to expert j >= k |
| base[k] | value of the clauses within the first k experts, less the price of their labels |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

DONE, PAUSED, FULL = 0, 1, 2
"""Why :func:`search` returned."""

DEPTH, FRESH, THRESHOLD, NODES, FOUND = 0, 1, 2, 3, 4
"""Entries of the control array of :func:`search`."""

_LEAST = -(1 << 62)


@njit(cache=True)
def even_out(
    weight: NDArray[np.int64],
    set_of: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    meets: NDArray[np.bool_],
    price: NDArray[np.int64],
    rounds: int,
    share: NDArray[np.float64],
) -> None:
    """Shift the shares of clauses towards a smaller sum of each expert's best label.

    A clause that some of its experts' best labels meet and others do not gives a part of what the
    former carry to the latter: a subgradient step. The best shares seen are kept.
    """
    num_experts, num_labels = price.shape
    num_sets = meets.shape[1]
    credit = np.zeros((num_experts, num_sets))
    chosen = np.zeros(num_experts, np.int64)
    best = share.copy()
    least = np.inf
    for step in range(rounds):
        credit[:] = 0.0
        for c in range(weight.shape[0]):
            for h in range(offsets[c], offsets[c + 1]):
                credit[bits[h], set_of[c]] += weight[c] * share[h]
        total = 0.0
        for j in range(num_experts):
            highest = -np.inf
            for t in range(num_labels):
                value = -np.float64(price[j, t])
                for s in range(num_sets):
                    if meets[t, s]:
                        value += credit[j, s]
                if value > highest:
                    highest = value
                    chosen[j] = t
            total += highest
        if total < least:
            least = total
            best[:] = share
        fraction = 0.5 / (1.0 + 0.1 * step)
        for c in range(weight.shape[0]):
            met = 0
            for h in range(offsets[c], offsets[c + 1]):
                met += meets[chosen[bits[h]], set_of[c]]
            missed = offsets[c + 1] - offsets[c] - met
            if met == 0 or missed == 0:
                continue
            moved = 0.0
            for h in range(offsets[c], offsets[c + 1]):
                if meets[chosen[bits[h]], set_of[c]]:
                    moved += fraction * share[h]
                    share[h] -= fraction * share[h]
            for h in range(offsets[c], offsets[c + 1]):
                if not meets[chosen[bits[h]], set_of[c]]:
                    share[h] += moved / missed
    share[:] = best


@njit(cache=True)
def tabulate(
    weight: NDArray[np.int64],
    set_of: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    share: NDArray[np.float64],
    num_sets: int,
    num_experts: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tables ``part`` and ``v``; the bits of each clause ascend.

    Once the first k experts have labels, an open clause is credited to its experts from k on, in
    proportion to their shares; the last of them takes what rounding leaves, so that parts always
    add up to the weight.
    """
    part = np.zeros((num_sets, 1 << num_experts, num_experts), np.int64)
    value = np.zeros((num_sets, 1 << num_experts), np.int64)
    for c in range(weight.shape[0]):
        s = set_of[c]
        mask = np.int64(0)
        for h in range(offsets[c], offsets[c + 1]):
            mask |= np.int64(1) << bits[h]
        value[s, mask] += weight[c]
        last = offsets[c + 1] - 1
        for k in range(bits[last] + 1):
            at = (1 << k) - 1 + (mask & ((1 << k) - 1))
            total = 0.0
            for h in range(offsets[c], last + 1):
                if bits[h] >= k:
                    total += share[h]
            left = weight[c]
            if total > 0.0:
                for h in range(offsets[c], last):
                    if bits[h] >= k:
                        taken = min(left, np.int64(weight[c] * (share[h] / total)))
                        part[s, at, bits[h]] += taken
                        left -= taken
            part[s, at, bits[last]] += left
    for s in range(num_sets):
        for k in range(1, num_experts):
            first = (1 << k) - 1
            for bit in range(k):
                for row in range(1 << k):
                    if (row >> bit) & 1:
                        for j in range(k, num_experts):
                            part[s, first + row, j] += part[s, first + (row ^ (1 << bit)), j]
        for bit in range(num_experts):
            for row in range(1 << num_experts):
                if (row >> bit) & 1:
                    value[s, row] += value[s, row ^ (1 << bit)]
    return part, value


@njit(cache=True)
def slot_of(
    used: NDArray[np.int64], taken: NDArray[np.bool_], table_used: NDArray[np.int64]
) -> int:
    """Return the slot of a vector in a hash table of vectors, or the empty slot for it."""
    size = taken.shape[0]
    mixed = np.int64(0)
    for n in range(used.shape[0]):
        mixed = (mixed ^ used[n]) * np.int64(0x9E3779B97F4A7C1)
        mixed ^= mixed >> 29
    slot = mixed & (size - 1)
    while taken[slot]:
        same = True
        for n in range(used.shape[0]):
            if table_used[slot, n] != used[n]:
                same = False
                break
        if same:
            break
        slot = (slot + 1) & (size - 1)
    return int(slot)


@njit(cache=True)
def search(
    part: NDArray[np.int64],
    value: NDArray[np.int64],
    sets: NDArray[np.int64],
    labels: NDArray[np.int64],
    met_offsets: NDArray[np.int64],
    met: NDArray[np.int64],
    price: NDArray[np.int64],
    units: NDArray[np.int64],
    room: NDArray[np.int64],
    window: int,
    max_nodes: int,
    control: NDArray[np.int64],
    cover: NDArray[np.int64],
    base: NDArray[np.int64],
    bound: NDArray[np.int64],
    order: NDArray[np.int64],
    cursor: NDArray[np.int64],
    used: NDArray[np.int64],
    table_taken: NDArray[np.bool_],
    table_used: NDArray[np.int64],
    table_value: NDArray[np.int64],
    table_labels: NDArray[np.int16],
) -> int:
    """Find all labellings worth at least a threshold, and keep the best for each use of storage.

    Depth first, expert by expert, labels in descending order of their bounds. The threshold rises
    to the best value found less ``window``. ``sets[s]`` and ``labels[t]`` are bit masks of servers;
    label t meets the sets ``met[met_offsets[t]:met_offsets[t + 1]]``; expert j of ``units[j]``
    costs ``price[j, t]`` with label t; server n has room for ``room[n]`` units.

    Everything that the search needs to go on is in its arguments: it may be called again after it
    returned ``PAUSED``, or ``FULL`` and the table was replaced by a larger one.
    """
    num_experts, num_labels = price.shape
    num_servers = room.shape[0]
    everywhere = (1 << num_servers) - 1
    inside = np.zeros((everywhere + 1, num_experts), np.int64)
    k = control[DEPTH]
    fresh = control[FRESH] == 1
    threshold = control[THRESHOLD]
    visited = 0
    while k >= 0:
        if fresh:
            if visited >= max_nodes or 2 * (control[FOUND] + num_labels) > table_taken.shape[0]:
                control[DEPTH] = k
                control[FRESH] = 1
                control[THRESHOLD] = threshold
                control[NODES] += visited
                return PAUSED if visited >= max_nodes else FULL
            visited += 1
            # inside[m, j]: what is credited to j by the server sets within m
            inside[:, k:] = 0
            for s in range(sets.shape[0]):
                row = part[s, (1 << k) - 1 + cover[k, s]]
                target = inside[sets[s]]
                for j in range(k, num_experts):
                    target[j] = row[j]
            for n in range(num_servers):
                for m in range(everywhere + 1):
                    if (m >> n) & 1:
                        target = inside[m]
                        row = inside[m ^ (1 << n)]
                        for j in range(k, num_experts):
                            target[j] += row[j]
            # the sets that a label meets are those not within its complement
            rest = base[k]
            for j in range(k + 1, num_experts):
                highest = np.int64(_LEAST)
                for t in range(num_labels):
                    highest = max(highest, -inside[everywhere ^ labels[t], j] - price[j, t])
                rest += inside[everywhere, j] + highest
            count = 0
            for t in range(num_labels):
                reach = rest + inside[everywhere, k] - inside[everywhere ^ labels[t], k]
                reach -= price[k, t]
                if reach >= threshold:
                    q = count
                    while q > 0 and bound[k, q - 1] < reach:
                        bound[k, q] = bound[k, q - 1]
                        order[k, q] = order[k, q - 1]
                        q -= 1
                    bound[k, q] = reach
                    order[k, q] = t
                    count += 1
            cursor[k, 0] = 0
            cursor[k, 1] = count
            fresh = False
        while cursor[k, 0] < cursor[k, 1] and not fresh:
            q = cursor[k, 0]
            if bound[k, q] < threshold:
                cursor[k, 0] = cursor[k, 1]
                break
            cursor[k, 0] += 1
            t = order[k, q]
            fits = True
            for n in range(num_servers):
                used[k + 1, n] = used[k, n]
                if (labels[t] >> n) & 1:
                    used[k + 1, n] += units[k]
                    fits = fits and used[k + 1, n] <= room[n]
            if not fits:
                continue
            if k == num_experts - 1:  # no expert is left: the bound is the value
                threshold = max(threshold, bound[k, q] - window)
                slot = slot_of(used[k + 1], table_taken, table_used)
                if not table_taken[slot]:
                    table_taken[slot] = True
                    table_used[slot] = used[k + 1]
                    table_value[slot] = _LEAST
                    control[FOUND] += 1
                if bound[k, q] > table_value[slot]:
                    table_value[slot] = bound[k, q]
                    for j in range(num_experts):
                        table_labels[slot, j] = order[j, cursor[j, 0] - 1]
                continue
            base[k + 1] = base[k] - price[k, t]
            cover[k + 1] = cover[k]
            for h in range(met_offsets[t], met_offsets[t + 1]):
                s = met[h]
                cover[k + 1, s] |= np.int64(1) << k
                base[k + 1] += value[s, cover[k + 1, s]] - value[s, cover[k, s]]
            k += 1
            fresh = True
        if not fresh:
            k -= 1
    control[DEPTH] = -1
    control[THRESHOLD] = threshold
    control[NODES] += visited
    return DONE


@njit(cache=True)
def move(
    taken: NDArray[np.bool_],
    used: NDArray[np.int64],
    value: NDArray[np.int64],
    labels: NDArray[np.int16],
    new_taken: NDArray[np.bool_],
    new_used: NDArray[np.int64],
    new_value: NDArray[np.int64],
    new_labels: NDArray[np.int16],
) -> None:
    """Move the content of a hash table into an empty, larger one."""
    for old in range(taken.shape[0]):
        if taken[old]:
            slot = slot_of(used[old], new_taken, new_used)
            new_taken[slot] = True
            new_used[slot] = used[old]
            new_value[slot] = value[old]
            new_labels[slot] = labels[old]


@njit(cache=True)
def undominated(used: NDArray[np.int64], value: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the options that none of higher value matches in every server; values must descend."""
    num_options, num_servers = used.shape
    keep = np.ones(num_options, np.bool_)
    for i in range(num_options):
        for other in range(i):
            if keep[other]:
                fits = True
                for n in range(num_servers):
                    if used[other, n] > used[i, n]:
                        fits = False
                        break
                if fits:
                    keep[i] = False
                    break
    return keep
