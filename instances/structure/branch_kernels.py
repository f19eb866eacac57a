"""Search over all labels of a layer: arrays in, arrays out.

Symbols as in :mod:`instances.structure.label_kernels`. Experts are labelled one after the other;
a label that misses the set of a clause loses it, and what it credited to other experts is gone.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from instances.structure.label_kernels import credit, label_costs, meeting

OPEN = 1 << 62
"""Depth at which a clause was lost, for one that is not."""


@njit(cache=True, nogil=True)
def branch(
    sets: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    sizes: NDArray[np.int64],
    capacity: NDArray[np.int64],
    price: NDArray[np.float64],
    split: NDArray[np.float64],
    rent: NDArray[np.float64],
    best_label: NDArray[np.int64],
    best_value: float,
    tolerance: float,
    max_nodes: int,
) -> tuple[float, bool]:
    """Search all labels, expert by expert, cut off by the bound; returns value and completeness.

    Where it is complete no labels are worth more than the value by more than the tolerance.
    ``best_label`` is changed in place when better ones are found.
    """
    num_experts, num_servers = sizes.shape[0], capacity.shape[0]
    num_labels = 1 << num_servers
    cost = label_costs(price, rent, sizes, capacity)
    h = np.zeros((num_experts, num_labels))
    credit(split, sets, offsets, bits, h)
    load = np.zeros(num_experts)
    for entry in range(bits.shape[0]):
        load[bits[entry]] += split[entry]
    order = np.argsort(-load, kind="mergesort")
    depth_of = np.empty(num_experts, np.int64)
    depth_of[order] = np.arange(num_experts)
    worth = np.empty(num_labels)
    gain = np.empty((num_experts, num_labels))  # of the expert that is labelled at each depth
    base = np.zeros(num_experts + 1)  # all rents, credits of labelled experts less their cost
    base[0] = rent.sum()
    others = np.zeros(num_experts)  # bound of everything but the expert to be labelled
    room = np.zeros((num_experts + 1, num_servers), np.int64)
    room[0] = capacity
    label = np.zeros(num_experts, np.int64)
    lost_at = np.full(sets.shape[0], OPEN, np.int64)
    trail_clause = np.empty(sets.shape[0], np.int64)  # clauses in the order in which they were lost
    trail_length = np.zeros(num_experts + 1, np.int64)
    saved = np.zeros(bits.shape[0])  # h before an entry was taken out of it
    nodes = 0
    d = 0
    enters = True
    while d >= 0:
        if enters:
            enters = False
            nodes += 1
            if nodes > max_nodes:
                return best_value, False
            bound = base[d]
            for position in range(num_experts - 1, d - 1, -1):
                e = order[position]
                meeting(h[e], worth)
                top = -np.inf
                for t in range(num_labels):
                    worth[t] -= cost[e, t]
                    top = max(top, worth[t])
                if position == d:
                    gain[d] = worth
                    others[d] = bound
                bound += top
            if d == num_experts:
                for m in range(num_servers):  # rent for what stays empty was not worth anything
                    bound -= rent[m] * (room[d, m] / capacity[m])
                if bound > best_value:
                    best_value = bound
                    best_label[:] = label
            if d == num_experts or bound <= best_value + tolerance:
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
        e = order[d]
        t = int(np.argmax(gain[d]))
        if others[d] + gain[d, t] <= best_value + tolerance:
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
            room[d + 1, m] = room[d, m] - sizes[e] * ((t >> m) & 1)
            is_free = is_free and room[d + 1, m] >= 0
        if not is_free:
            continue
        label[e] = t
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
    return best_value, True


@njit(cache=True)
def lose(
    d: int,
    e: int,
    t: int,
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    sets: NDArray[np.int64],
    depth_of: NDArray[np.int64],
    split: NDArray[np.float64],
    lost_at: NDArray[np.int64],
    trail_clause: NDArray[np.int64],
    trail_length: NDArray[np.int64],
    base: NDArray[np.float64],
    saved: NDArray[np.float64],
    h: NDArray[np.float64],
) -> None:
    """Give expert e of depth d the label t: clauses whose set it misses are lost.

    ``base[d + 1]`` gets the credits of the expert that stay, and gives back what lost clauses
    credited to labelled experts; what they credited to later ones leaves ``h``.
    """
    length = trail_length[d]
    for position in range(begin[e], begin[e + 1]):
        entry = entries[position]
        c = clause_of[entry]
        if lost_at[c] < d:
            continue
        if sets[c] & t:
            base[d + 1] += split[entry]
            continue
        lost_at[c] = d
        trail_clause[length] = c
        length += 1
        for other in range(offsets[c], offsets[c + 1]):
            if depth_of[bits[other]] < d:
                base[d + 1] -= split[other]
            elif depth_of[bits[other]] > d:
                saved[other] = h[bits[other], sets[c]]
                h[bits[other], sets[c]] -= split[other]
    trail_length[d + 1] = length


@njit(cache=True)
def restore(
    d: int,
    e: int,
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    sets: NDArray[np.int64],
    depth_of: NDArray[np.int64],
    lost_at: NDArray[np.int64],
    trail_clause: NDArray[np.int64],
    trail_length: NDArray[np.int64],
    saved: NDArray[np.float64],
    h: NDArray[np.float64],
) -> None:
    """Take back the label of depth d, see :func:`lose`: its clauses are open again, bit by bit."""
    for position in range(trail_length[d + 1] - 1, trail_length[d] - 1, -1):
        c = trail_clause[position]
        lost_at[c] = OPEN
        for entry in range(offsets[c + 1] - 1, offsets[c] - 1, -1):
            if depth_of[bits[entry]] > d:
                h[bits[entry], sets[c]] = saved[entry]
