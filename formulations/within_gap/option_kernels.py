"""Search for all placements of a layer that lose little: arrays in, arrays out.

Symbols as in :mod:`instances.structure.label_kernels`; besides

| symbol | meaning |
|---|---|
| d | depth: number of experts that have their label; ``order[d]`` is labelled next |
| loss | D minus the value less price, D at least the layer's largest value less price |
| pairs[p], allowed[p, left, j, k] | two servers; most loss with j and k experts on them, |
| | ``left`` experts still to get their label |
| cursor | d, whether d was just entered, options found, nodes |

All weights, splits and prices are multiples of one power of two, so that all sums are exact. The
state of the search is in arrays: it goes on where it stopped.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from instances.structure.branch_kernels import lose, restore
from instances.structure.label_kernels import meeting

DONE, PAUSED, FULL = 0, 1, 2
"""Why the search returned: nothing is left; enough nodes for now; no room for another option."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def slot_of(key: int, slots: NDArray[np.int64], keys: NDArray[np.int64]) -> int:
    """Return where a key is in an open hash table, or the free slot where it belongs."""
    mask = slots.shape[0] - 1
    at = np.int64((np.uint64(key) * _MIX) >> np.uint64(24)) & mask
    while slots[at] >= 0 and keys[slots[at]] != key:
        at = (at + 1) & mask
    return int(at)


@njit(cache=True)
def rehash(slots: NDArray[np.int64], keys: NDArray[np.int64], count: int) -> None:
    """Fill an empty hash table with the first keys."""
    for i in range(count):
        slots[slot_of(keys[i], slots, keys)] = i


@njit(cache=True)
def search_options(
    sets: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    sizes: NDArray[np.int64],
    cost: NDArray[np.float64],
    split: NDArray[np.float64],
    rent: NDArray[np.float64],
    label_key: NDArray[np.int64],
    top: float,
    pairs: NDArray[np.int64],
    allowed: NDArray[np.float64],
    order: NDArray[np.int64],
    depth_of: NDArray[np.int64],
    h: NDArray[np.float64],
    saved: NDArray[np.float64],
    gain: NDArray[np.float64],
    tops: NDArray[np.float64],
    base: NDArray[np.float64],
    others: NDArray[np.float64],
    target: NDArray[np.float64],
    room: NDArray[np.int64],
    copies: NDArray[np.int64],
    key: NDArray[np.int64],
    label: NDArray[np.int64],
    lost_at: NDArray[np.int64],
    trail_clause: NDArray[np.int64],
    trail_length: NDArray[np.int64],
    slots: NDArray[np.int64],
    found_key: NDArray[np.int64],
    found_value: NDArray[np.float64],
    found_label: NDArray[np.int16],
    cursor: NDArray[np.int64],
    max_nodes: int,
) -> int:
    """Go on with the search; keep the best placement for each vector of used storage.

    ``rent`` is per unit of storage, and ``cost`` contains it. ``base[0]`` is the rent of all.
    """
    num_experts, num_servers = sizes.shape[0], rent.shape[0]
    num_labels = 1 << num_servers
    worth = np.empty(num_labels)
    d = cursor[0]
    enters = cursor[1] > 0
    nodes = 0
    while d >= 0:
        retreats = False
        if enters:
            nodes += 1
            if nodes > max_nodes:
                cursor[0], cursor[1] = d, 1
                cursor[3] += max_nodes
                return PAUSED
            least = np.inf
            for p in range(pairs.shape[0]):
                j, k = copies[d, pairs[p, 0]], copies[d, pairs[p, 1]]
                least = min(least, allowed[p, num_experts - d, j, k])
            target[d] = top - least
            # What experts were worth at most one label earlier bounds what they are worth now: in
            # their order the old maxima give way to new ones, as long as the branch may be kept.
            bound = base[d]
            for position in range(d, num_experts):
                if d > 0:
                    tops[d, position] = tops[d - 1, position]
                bound += tops[d, position]
            for position in range(num_experts - 1, d - 1, -1):
                if d > 0 and bound < target[d]:
                    break
                e = order[position]
                meeting(h[e], worth)
                highest = -np.inf
                for t in range(num_labels):
                    worth[t] -= cost[e, t]
                    highest = max(highest, worth[t])
                if position == d:
                    gain[d] = worth
                bound += highest - tops[d, position]
                tops[d, position] = highest
            if d < num_experts:
                others[d] = bound - tops[d, d]
            if d == num_experts:
                for m in range(num_servers):  # rent for what stays empty was not worth anything
                    bound -= rent[m] * room[d, m]
                if bound >= target[d]:
                    at = slot_of(key[d], slots, found_key)
                    i = slots[at]
                    if i < 0:
                        i = cursor[2]
                        if i == found_key.shape[0]:
                            cursor[0], cursor[1] = d, 1
                            cursor[3] += nodes - 1
                            return FULL
                        cursor[2] += 1
                        slots[at] = i
                        found_key[i] = key[d]
                        found_value[i] = -np.inf
                    if bound > found_value[i]:
                        found_value[i] = bound
                        for e in range(num_experts):
                            found_label[i, e] = label[e]
            retreats = d == num_experts or bound < target[d]
            enters = False
        if not retreats:
            e = order[d]
            t = int(np.argmax(gain[d]))
            retreats = others[d] + gain[d, t] < target[d]
        if retreats:
            d -= 1
            if d >= 0:
                restore(
                    d,
                    order[d],
                    offsets,
                    bits,
                    sets,
                    depth_of,
                    lost_at,
                    trail_clause,
                    trail_length,
                    saved,
                    h,
                )
            continue
        gain[d, t] = -np.inf
        is_free = True
        for m in range(num_servers):
            stored = (t >> m) & 1
            room[d + 1, m] = room[d, m] - sizes[e] * stored
            copies[d + 1, m] = copies[d, m] + stored
            is_free = is_free and room[d + 1, m] >= 0
        if not is_free:
            continue
        label[e] = t
        key[d + 1] = key[d] + sizes[e] * label_key[t]
        base[d + 1] = base[d] - cost[e, t]
        lose(
            d,
            e,
            t,
            begin,
            entries,
            clause_of,
            offsets,
            bits,
            sets,
            depth_of,
            split,
            lost_at,
            trail_clause,
            trail_length,
            base,
            saved,
            h,
        )
        d += 1
        enters = True
    cursor[0], cursor[1] = -1, 0
    cursor[3] += nodes
    return DONE


@njit(cache=True)
def undominated(used: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell for which options no earlier one takes no more of any server and is worth no less.

    Options come by ascending loss, then ascending key: one that dominates another comes earlier.
    """
    kept = np.ones(value.shape[0], np.bool_)
    for i in range(value.shape[0]):
        for j in range(i):
            if kept[j] and value[j] >= value[i]:
                is_smaller = True
                for m in range(used.shape[1]):
                    if used[j, m] > used[i, m]:
                        is_smaller = False
                        break
                if is_smaller:
                    kept[i] = False
                    break
    return kept


@njit(cache=True)
def share_out(
    weight: NDArray[np.float64], offsets: NDArray[np.int64], split: NDArray[np.float64]
) -> None:
    """Make the parts of each clause add up to its weight exactly, none below 0.

    Parts are multiples of the unit of weights already; the last one takes what remains.
    """
    for c in range(weight.shape[0]):
        remaining = weight[c]
        for entry in range(offsets[c], offsets[c + 1]):
            if entry == offsets[c + 1] - 1:
                split[entry] = remaining
            split[entry] = min(split[entry], remaining)
            remaining -= split[entry]
