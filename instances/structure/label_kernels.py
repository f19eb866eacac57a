"""Pricing of one layer over labels: arrays in, arrays out.

| symbol | meaning |
|---|---|
| E, M | experts and servers of the layer |
| T, label[e] | set of servers that store an expert, a bit mask |
| S, sets[c] | server set of clause c, a bit mask; c is met if every expert's label meets S |
| cost[e, T] | price of storing e on T; infinite where it does not fit |
| rent[m] | worth of the whole storage of server m to this layer, on top of the price |
| entry | one (clause, expert) incidence, in clause order |
| split[entry] | part of the clause's weight that is credited to its expert; adds up to the weight |
| h[e, S] | what is credited to expert e by clauses with server set S |

max over labels of sum of w_c [c met] - sum of cost. If every expert is credited for a clause as
soon as its own label meets S, the experts separate, and the sum of their maxima is an upper bound,
whatever the split: a clause that is met credits its weight, one that is not credits no less than 0.
Where the layer alone can fill a server, storage costs rent as well, and the bound gets the sum of
all rents on top: a placement that fits pays no more than that.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def label_costs(
    price: NDArray[np.float64],
    rent: NDArray[np.float64],
    sizes: NDArray[np.int64],
    capacity: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the price and the rent of every label for every expert."""
    num_labels = 1 << price.shape[0]
    per_byte = np.zeros(num_labels)
    tightest = np.full(num_labels, np.iinfo(np.int64).max)
    for m in range(price.shape[0]):
        for t in range(1 << m):
            both = t + (1 << m)
            per_byte[both] = per_byte[t] + price[m] + rent[m] / capacity[m]
            tightest[both] = min(tightest[t], capacity[m])
    cost = np.empty((sizes.shape[0], num_labels))
    for e in range(sizes.shape[0]):
        for t in range(num_labels):
            cost[e, t] = per_byte[t] * sizes[e] if sizes[e] <= tightest[t] else np.inf
    return cost


@njit(cache=True)
def meeting(h: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Set ``out[T]`` to the sum of h[S] over the sets S that meet T, by the zeta transform."""
    size = h.shape[0]
    total = 0.0
    for s in range(size):
        out[s] = h[s]
        total += h[s]
    step = 1
    while step < size:
        for s in range(size):
            if s & step:
                out[s] += out[s - step]
        step *= 2
    for t in range(size // 2):  # what misses T lies in the complement of T
        low, high = out[t], out[size - 1 - t]
        out[t] = total - high
        out[size - 1 - t] = total - low


@njit(cache=True)
def used_by(label: NDArray[np.int64], sizes: NDArray[np.int64], used: NDArray[np.int64]) -> None:
    """Set ``used`` to the bytes on each server."""
    used[:] = 0
    for e in range(sizes.shape[0]):
        for m in range(used.shape[0]):
            used[m] += sizes[e] * ((label[e] >> m) & 1)


@njit(cache=True)
def credit(
    split: NDArray[np.float64],
    sets: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    h: NDArray[np.float64],
) -> None:
    """Add up what the clauses credit to each expert, by server set."""
    h[:, :] = 0.0
    for c in range(sets.shape[0]):
        for entry in range(offsets[c], offsets[c + 1]):
            h[bits[entry], sets[c]] += split[entry]


@njit(cache=True, nogil=True)
def improve_split(
    weight: NDArray[np.float64],
    sets: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    sizes: NDArray[np.int64],
    capacity: NDArray[np.int64],
    price: NDArray[np.float64],
    split: NDArray[np.float64],
    rent: NDArray[np.float64],
    best_label: NDArray[np.int64],
    best_value: float,
    tolerance: float,
    iterations: int,
) -> tuple[float, float]:
    """Lower the bound by a subgradient method; returns the bound and the value of the best labels.

    A step moves credit of a clause from experts whose label meets its set to those whose label does
    not, and rent towards servers that are overfull, by the step length of Polyak. ``split`` and
    ``rent`` become the best met; the labels that attain the maxima are placements, of which the
    best that fits is kept when it is worth more than ``best_label``.
    """
    num_experts, num_servers = sizes.shape[0], capacity.shape[0]
    num_labels = 1 << num_servers
    worth_of_all = weight.sum()
    h = np.zeros((num_experts, num_labels))
    worth = np.empty(num_labels)
    label = np.zeros(num_experts, np.int64)
    used = np.zeros(num_servers, np.int64)
    best_split = split.copy()
    best_rent = rent.copy()
    bound = np.inf
    scale = 1.0
    stalled = 0
    for _ in range(iterations):
        credit(split, sets, offsets, bits, h)
        cost = label_costs(price, rent, sizes, capacity)
        total = rent.sum()
        for e in range(num_experts):
            meeting(h[e], worth)
            top = -np.inf
            for t in range(num_labels):
                if worth[t] - cost[e, t] > top:
                    top = worth[t] - cost[e, t]
                    label[e] = t
            total += top
        used_by(label, sizes, used)
        norm = 0.0
        value = 0.0
        is_free = True
        for m in range(num_servers):
            value -= price[m] * used[m]
            is_free = is_free and used[m] <= capacity[m]
            if rent[m] > 0.0 or used[m] > capacity[m]:
                norm += (1.0 - used[m] / capacity[m]) ** 2
        for c in range(sets.shape[0]):
            size = offsets[c + 1] - offsets[c]
            met = 0
            for entry in range(offsets[c], offsets[c + 1]):
                met += 1 if label[bits[entry]] & sets[c] else 0
            norm += met * (size - met) / size
            if met == size:
                value += weight[c]
        if is_free and value > best_value:
            best_value = value
            best_label[:] = label
        if total < bound:
            stalled = 0 if total < bound - tolerance else stalled + 1
            bound = total
            best_split[:] = split
            best_rent[:] = rent
        else:
            stalled += 1
        if stalled >= 5:
            scale *= 0.5
            stalled = 0
        if norm == 0.0 or bound <= best_value + tolerance or scale < 1e-3:
            break
        step = scale * (total - best_value) / norm
        for m in range(num_servers):
            rent[m] -= step * (1.0 - used[m] / capacity[m])
            rent[m] = min(max(0.0, rent[m]), worth_of_all)
        for c in range(sets.shape[0]):
            size = offsets[c + 1] - offsets[c]
            met = 0
            for entry in range(offsets[c], offsets[c + 1]):
                met += 1 if label[bits[entry]] & sets[c] else 0
            if met == 0 or met == size:
                continue
            shared = 0.0
            for entry in range(offsets[c], offsets[c + 1]):
                is_met = 1.0 if label[bits[entry]] & sets[c] else 0.0
                split[entry] = max(0.0, split[entry] - step * (is_met - met / size))
                shared += split[entry]
            for entry in range(offsets[c], offsets[c + 1]):
                split[entry] *= weight[c] / shared
    split[:] = best_split
    rent[:] = best_rent
    return bound, best_value


@njit(cache=True)
def single_worth(
    e: int,
    label: NDArray[np.int64],
    weight: NDArray[np.float64],
    sets: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    h: NDArray[np.float64],
    worth: NDArray[np.float64],
) -> None:
    """Set ``worth[T]`` to the weight of e's clauses that are met when e has label T."""
    h[:] = 0.0
    for position in range(begin[e], begin[e + 1]):
        c = clause_of[entries[position]]
        others_met = True
        for entry in range(offsets[c], offsets[c + 1]):
            if bits[entry] != e and not label[bits[entry]] & sets[c]:
                others_met = False
                break
        if others_met:
            h[sets[c]] += weight[c]
    meeting(h, worth)


@njit(cache=True, nogil=True)
def ascend(
    weight: NDArray[np.float64],
    sets: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    sizes: NDArray[np.int64],
    capacity: NDArray[np.int64],
    cost: NDArray[np.float64],
    label: NDArray[np.int64],
    value: float,
    tolerance: float,
) -> float:
    """Give one expert after the other its best label, until none gains; returns the value."""
    num_experts, num_labels = cost.shape
    h = np.empty(num_labels)
    worth = np.empty(num_labels)
    room = capacity.copy()
    for e in range(num_experts):
        for m in range(room.shape[0]):
            if (label[e] >> m) & 1:
                room[m] -= sizes[e]
    unchanged = 0
    e = 0
    while unchanged < num_experts:
        single_worth(e, label, weight, sets, offsets, bits, begin, entries, clause_of, h, worth)
        old = label[e]
        now = worth[old] - cost[e, old]
        best = now + tolerance
        chosen = old
        for t in range(num_labels):
            if worth[t] - cost[e, t] <= best:
                continue
            is_free = True
            for m in range(room.shape[0]):
                if (t >> m) & 1 and not (old >> m) & 1 and room[m] < sizes[e]:
                    is_free = False
                    break
            if is_free:
                best = worth[t] - cost[e, t]
                chosen = np.int64(t)
        unchanged += 1
        if chosen != old:
            for m in range(room.shape[0]):
                room[m] += sizes[e] * (((old >> m) & 1) - ((chosen >> m) & 1))
            value += best - now
            label[e] = chosen
            unchanged = 1
        e = (e + 1) % num_experts
    return value
