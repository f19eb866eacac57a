"""Hot loop of the search over whole clauses on one server: arrays in, arrays out.

| symbol | meaning |
|---|---|
| c, e | clause (a set of experts with a weight), wanted expert of the server |
| chosen | clauses whose experts are all packed |
| count | how many chosen clauses need an expert; it takes room while that is not 0 |
| cost, relief | bytes that choosing a clause adds, that giving one up frees |
| until | move up to which a clause may not move again |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from heuristics.ejection_kernels import uniform

_DEPTHS = (30, 100, 300)
"""Moves without a new best value before the next kick: one of these at random."""

_TENURE_IN, _TENURE_OUT = 2, 5
"""Least moves for which a clause that was chosen, or given up, stays so; up to twice as many,
and up to four times as many after some kicks."""

_LEAST_KICK, _MOST_KICK = 0.1, 0.95
"""Share of the best choice that a kick gives up."""


@njit(cache=True)
def choose(
    c: int,
    step: int,
    chosen: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    sizes: NDArray[np.int64],
    count: NDArray[np.int64],
) -> int:
    """Choose a clause (step 1) or give it up (step -1); return the bytes that this adds."""
    added = 0
    for k in range(offsets[c], offsets[c + 1]):
        e = bits[k]
        before = count[e]
        count[e] += step
        if before == 0:
            added += sizes[e]
        elif count[e] == 0:
            added -= sizes[e]
    chosen[c] = step > 0
    return added


@njit(cache=True)
def best_addition(
    weight: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    cost: NDArray[np.int64],
    room: int,
    until: NDArray[np.int64],
    move: int,
    needed: float,
) -> int:
    """Return the clause worth most that fits, -1 for none; a tabu one must exceed ``needed``."""
    best, top = -1, 0.0
    for c in range(weight.shape[0]):
        if chosen[c] or cost[c] > room or weight[c] <= top:
            continue
        if until[c] <= move or weight[c] > needed:
            best, top = c, weight[c]
    return best


@njit(cache=True)
def best_exchange(
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    sizes: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    count: NDArray[np.int64],
    cost: NDArray[np.int64],
    relief: NDArray[np.int64],
    room: int,
    until: NDArray[np.int64],
    move: int,
    needed: float,
    alone: NDArray[np.int64],
    seed: NDArray[np.uint64],
) -> tuple[int, int, int]:
    """Return the best (clause out, clause in) that fits, and the elementary steps it took.

    Nothing in (-1) is allowed, too; ties are broken at random. ``alone`` is zero before and after.
    """
    num_clauses = weight.shape[0]
    out, into, ties, steps = -1, -1, 0, 0
    top = -np.inf
    for a in range(num_clauses):
        if not chosen[a]:
            continue
        for k in range(offsets[a], offsets[a + 1]):
            if count[bits[k]] == 1:
                alone[bits[k]] = sizes[bits[k]]
        is_tabu = until[a] > move
        if not is_tabu and -weight[a] > top:
            out, into, ties, top = a, -1, 1, -weight[a]
        freed = room + relief[a]
        for b in range(num_clauses):
            change = weight[b] - weight[a]
            if chosen[b] or cost[b] > freed or change < top:
                continue
            if (is_tabu or until[b] > move) and change <= needed:
                continue
            shared = 0
            for k in range(offsets[b], offsets[b + 1]):
                shared += alone[bits[k]]
            steps += offsets[b + 1] - offsets[b]
            if cost[b] + shared > freed:
                continue
            ties = ties + 1 if change == top else 1
            if ties > 1 and uniform(seed) * ties >= 1.0:
                continue
            out, into, top = a, b, change
        for k in range(offsets[a], offsets[a + 1]):
            alone[bits[k]] = 0
        steps += num_clauses
    return out, into, steps


@njit(cache=True)
def pack(
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    sizes: NDArray[np.int64],
    capacity: int,
    start: NDArray[np.bool_],
    steps: int,
    moves: int,
    seed: NDArray[np.uint64],
) -> tuple[NDArray[np.bool_], float]:
    """Search by adding, giving up and exchanging clauses, always the best move that is not tabu.

    After some moves without a new best value a random share of the best choice is given up, and
    the search goes on from there (iterated tabu search), for about ``steps`` elementary steps, or
    ``moves`` moves if these take less. ``start`` fits the capacity. Returns the best choice found
    and its worth.
    """
    num_clauses = weight.shape[0]
    count = np.zeros(sizes.shape[0], np.int64)
    alone = np.zeros(sizes.shape[0], np.int64)
    chosen = np.zeros(num_clauses, np.bool_)
    cost = np.zeros(num_clauses, np.int64)
    relief = np.zeros(num_clauses, np.int64)
    until = np.zeros(num_clauses, np.int64)
    room = capacity
    value = 0.0
    for c in range(num_clauses):
        if start[c]:
            room -= choose(c, 1, chosen, offsets, bits, sizes, count)
            value += weight[c]
    noise = 1e-12 * weight.sum()
    best, best_value, local_value = chosen.copy(), value, value
    done, move, stale, tenure = 0, 0, 0, 1
    depth = _DEPTHS[0]
    while done < steps and move < moves:
        move += 1
        for c in range(num_clauses):
            cost[c] = 0
            relief[c] = 0
            for k in range(offsets[c], offsets[c + 1]):
                e = bits[k]
                if count[e] == 0:
                    cost[c] += sizes[e]
                elif count[e] == 1:
                    relief[c] += sizes[e]
        done += bits.shape[0] + num_clauses
        needed = local_value - value + noise
        out = -1
        into = best_addition(weight, chosen, cost, room, until, move, needed)
        if into < 0:
            out, into, taken = best_exchange(
                weight,
                offsets,
                bits,
                sizes,
                chosen,
                count,
                cost,
                relief,
                room,
                until,
                move,
                needed,
                alone,
                seed,
            )
            done += taken
        if out >= 0:
            room -= choose(out, -1, chosen, offsets, bits, sizes, count)
            value -= weight[out]
            until[out] = move + int(tenure * _TENURE_OUT * (1.0 + uniform(seed)))
        if into >= 0:
            room -= choose(into, 1, chosen, offsets, bits, sizes, count)
            value += weight[into]
            until[into] = move + int(tenure * _TENURE_IN * (1.0 + uniform(seed)))
        stale += 1
        if value > local_value + noise:
            local_value = value
            stale = 0
        if value > best_value + noise:
            best_value = value
            best[:] = chosen
        if stale < depth:
            continue
        depth = _DEPTHS[int(uniform(seed) * len(_DEPTHS))]
        tenure = 1 + int(uniform(seed) * 2.0)
        share = _LEAST_KICK + (_MOST_KICK - _LEAST_KICK) * uniform(seed)
        stale = 0
        for c in range(num_clauses):
            until[c] = 0
            keep = best[c] and uniform(seed) >= share
            if best[c] and not keep:
                until[c] = move + int(tenure * _TENURE_OUT * (1.0 + uniform(seed)))
            if chosen[c] and not keep:
                choose(c, -1, chosen, offsets, bits, sizes, count)
        for c in range(num_clauses):
            if best[c] and not chosen[c] and until[c] == 0:
                choose(c, 1, chosen, offsets, bits, sizes, count)
        room = capacity
        for e in range(sizes.shape[0]):
            if count[e] > 0:
                room -= sizes[e]
        value = 0.0
        for c in range(num_clauses):
            if chosen[c]:
                value += weight[c]
        local_value = value
    return best, best_value
