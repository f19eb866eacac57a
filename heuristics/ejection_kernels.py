"""Hot loop of the search over all servers at once: arrays in, arrays out.

| symbol | meaning |
|---|---|
| n, e, c, s | server, expert, clause, server set |
| copies | servers of s that hold e |
| holder_sum | sum of their indices: with one copy, the server that holds it |
| lacking | experts of a clause that no server of its set holds |
| gain, loss | what one more copy gains, what dropping a copy loses |
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_DRAWN = 32
"""Clauses drawn at most in the search for targets that are not gained yet."""

_TOURNAMENT = 2
"""Targets of which the one that is worth most per missing byte is taken."""

_RANDOM_SERVER = 0.25
"""Share of missing experts that go to a random server of the set."""

_LOSS_NOISE = 0.3
"""Losses are raised by a random share of up to this much when copies to evict are compared."""

_SWAPS_A_SERVER = 4
"""Gaining moves after each completion, for each server."""


class Rows(NamedTuple):
    """Clauses and where experts occur in them; only read. Shapes as in ``Clauses``.

    What is as long as the clauses is 32 bits wide, but for the weights.
    """

    weight: NDArray[np.float64]
    server_set: NDArray[np.int32]
    itemset: NDArray[np.int32]
    server_sets: NDArray[np.bool_]
    itemset_offsets: NDArray[np.int64]
    itemset_experts: NDArray[np.int32]
    clause_offsets: NDArray[np.int64]
    """Clauses of itemset i: ``clause_offsets[i] : clause_offsets[i + 1]``."""
    expert_offsets: NDArray[np.int64]
    expert_itemsets: NDArray[np.int32]
    """Itemsets with expert e: ``expert_itemsets[expert_offsets[e] : expert_offsets[e + 1]]``."""
    sizes: NDArray[np.int64]
    capacity: NDArray[np.int64]
    dust: float
    """Gains and losses up to this are rounding."""


class State(NamedTuple):
    """A placement in the making, and what follows from it."""

    stored: NDArray[np.bool_]
    room: NDArray[np.int64]
    copies: NDArray[np.int32]
    holder_sum: NDArray[np.int32]
    lacking: NDArray[np.int32]
    gain: NDArray[np.float64]
    loss: NDArray[np.float64]
    value: NDArray[np.float64]
    protected: NDArray[np.bool_]
    """Copies that may not be evicted at the moment."""
    flips: NDArray[np.int64]
    """Pairs (server, expert) that were added or dropped in the current iteration."""
    num_flips: NDArray[np.int64]


@njit(cache=True)
def settle(rows: Rows, state: State) -> None:
    """Work out everything that follows from ``state.stored``."""
    num_sets, num_servers = rows.server_sets.shape
    num_experts = rows.sizes.shape[0]
    state.room[:] = rows.capacity
    state.copies[:] = 0
    state.holder_sum[:] = 0
    state.gain[:] = 0.0
    state.loss[:] = 0.0
    state.value[0] = 0.0
    for n in range(num_servers):
        for e in range(num_experts):
            if not state.stored[n, e]:
                continue
            state.room[n] -= rows.sizes[e]
            for s in range(num_sets):
                if rows.server_sets[s, n]:
                    state.copies[s, e] += 1
                    state.holder_sum[s, e] += n
    for c in range(rows.weight.shape[0]):
        s, w = rows.server_set[c], rows.weight[c]
        itemset = rows.itemset[c]
        missing = -1
        state.lacking[c] = 0
        for entry in range(rows.itemset_offsets[itemset], rows.itemset_offsets[itemset + 1]):
            e = rows.itemset_experts[entry]
            if state.copies[s, e] == 0:
                state.lacking[c] += 1
                missing = e
        if state.lacking[c] == 0:
            state.value[0] += w
            for entry in range(rows.itemset_offsets[itemset], rows.itemset_offsets[itemset + 1]):
                e = rows.itemset_experts[entry]
                if state.copies[s, e] == 1:
                    state.loss[state.holder_sum[s, e], e] += w
        elif state.lacking[c] == 1:
            credit(rows, state, s, missing, w)


@njit(cache=True)
def credit(rows: Rows, state: State, s: int, e: int, w: float) -> None:
    """Add w to the gain of an expert on every server of a set."""
    for n in range(rows.server_sets.shape[1]):
        if rows.server_sets[s, n]:
            state.gain[n, e] += w


@njit(cache=True)
def last_missing(rows: Rows, state: State, c: int, ignored: int) -> int:
    """Return the expert of a clause that no server of its set holds, other than ``ignored``."""
    itemset = rows.itemset[c]
    for entry in range(rows.itemset_offsets[itemset], rows.itemset_offsets[itemset + 1]):
        e = int(rows.itemset_experts[entry])
        if e != ignored and state.copies[rows.server_set[c], e] == 0:
            return e
    return -1


@njit(cache=True)
def charge_single_copies(rows: Rows, state: State, c: int, ignored: int, w: float) -> None:
    """Add w to the loss of every expert of a clause with one copy, other than ``ignored``."""
    s = rows.server_set[c]
    itemset = rows.itemset[c]
    for entry in range(rows.itemset_offsets[itemset], rows.itemset_offsets[itemset + 1]):
        e = rows.itemset_experts[entry]
        if e != ignored and state.copies[s, e] == 1:
            state.loss[state.holder_sum[s, e], e] += w


@njit(cache=True)
def add_copy(rows: Rows, state: State, n: int, e: int) -> None:
    """Store an expert on one more server."""
    for h in range(rows.expert_offsets[e], rows.expert_offsets[e + 1]):
        itemset = rows.expert_itemsets[h]
        for c in range(rows.clause_offsets[itemset], rows.clause_offsets[itemset + 1]):
            s, w = rows.server_set[c], rows.weight[c]
            if not rows.server_sets[s, n]:
                continue
            if state.copies[s, e] == 0:
                state.lacking[c] -= 1
                if state.lacking[c] == 0:
                    state.value[0] += w
                    state.loss[n, e] += w
                    charge_single_copies(rows, state, c, e, w)
                    credit(rows, state, s, e, -w)
                elif state.lacking[c] == 1:
                    credit(rows, state, s, last_missing(rows, state, c, e), w)
            elif state.copies[s, e] == 1 and state.lacking[c] == 0:
                state.loss[state.holder_sum[s, e], e] -= w
    for s in range(rows.server_sets.shape[0]):
        if rows.server_sets[s, n]:
            state.copies[s, e] += 1
            state.holder_sum[s, e] += n
    state.stored[n, e] = True
    state.room[n] -= rows.sizes[e]


@njit(cache=True)
def drop_copy(rows: Rows, state: State, n: int, e: int) -> None:
    """Take an expert off a server: the reverse of :func:`add_copy`."""
    for s in range(rows.server_sets.shape[0]):
        if rows.server_sets[s, n]:
            state.copies[s, e] -= 1
            state.holder_sum[s, e] -= n
    state.stored[n, e] = False
    state.room[n] += rows.sizes[e]
    for h in range(rows.expert_offsets[e], rows.expert_offsets[e + 1]):
        itemset = rows.expert_itemsets[h]
        for c in range(rows.clause_offsets[itemset], rows.clause_offsets[itemset + 1]):
            s, w = rows.server_set[c], rows.weight[c]
            if not rows.server_sets[s, n]:
                continue
            if state.copies[s, e] == 0:
                if state.lacking[c] == 0:
                    state.value[0] -= w
                    state.loss[n, e] -= w
                    charge_single_copies(rows, state, c, e, -w)
                    credit(rows, state, s, e, w)
                elif state.lacking[c] == 1:
                    credit(rows, state, s, last_missing(rows, state, c, e), -w)
                state.lacking[c] += 1
            elif state.copies[s, e] == 1 and state.lacking[c] == 0:
                state.loss[state.holder_sum[s, e], e] += w


@njit(cache=True)
def flip(rows: Rows, state: State, n: int, e: int) -> None:
    """Add or drop a copy, and note it for :func:`undo`."""
    if state.stored[n, e]:
        drop_copy(rows, state, n, e)
    else:
        add_copy(rows, state, n, e)
    state.flips[state.num_flips[0], 0] = n
    state.flips[state.num_flips[0], 1] = e
    state.num_flips[0] += 1


@njit(cache=True)
def undo(rows: Rows, state: State) -> None:
    """Take back all flips of the current iteration."""
    for k in range(state.num_flips[0] - 1, -1, -1):
        n, e = state.flips[k, 0], state.flips[k, 1]
        if state.stored[n, e]:
            drop_copy(rows, state, n, e)
        else:
            add_copy(rows, state, n, e)


@njit(cache=True)
def uniform(seed: NDArray[np.uint64]) -> float:
    """Draw from [0, 1) by splitmix64 (Steele, Lea, Flood 2014)."""
    seed[0] += np.uint64(0x9E3779B97F4A7C15)
    z = seed[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@njit(cache=True)
def draw_target(
    rows: Rows, state: State, targets: NDArray[np.int64], seed: NDArray[np.uint64]
) -> int:
    """Draw clauses that are not gained; return the one worth most per missing byte, or -1.

    A clause is worth what all open clauses of its itemset are worth whose set holds its own.
    """
    best, best_density = -1, -1.0
    found = 0
    for _ in range(_DRAWN):
        c = targets[int(uniform(seed) * targets.shape[0])]
        if state.lacking[c] == 0:
            continue
        s, itemset = rows.server_set[c], rows.itemset[c]
        missing = 0
        for entry in range(rows.itemset_offsets[itemset], rows.itemset_offsets[itemset + 1]):
            e = rows.itemset_experts[entry]
            if state.copies[s, e] == 0:
                missing += rows.sizes[e]
        worth = 0.0
        for other in range(rows.clause_offsets[itemset], rows.clause_offsets[itemset + 1]):
            if state.lacking[other] > 0:
                holds = True
                for n in range(rows.server_sets.shape[1]):
                    if rows.server_sets[s, n] > rows.server_sets[rows.server_set[other], n]:
                        holds = False
                        break
                if holds:
                    worth += rows.weight[other]
        if worth / missing > best_density:
            best, best_density = c, worth / missing
        found += 1
        if found == _TOURNAMENT:
            break
    return best


@njit(cache=True)
def cheapest_copy(rows: Rows, state: State, n: int, noise: float, seed: NDArray[np.uint64]) -> int:
    """Return the copy on a server that loses least per byte; -1 when all are protected.

    Copies that lose nothing come first, in random order.
    """
    best, least = -1, np.inf
    for e in range(rows.sizes.shape[0]):
        if not state.stored[n, e] or state.protected[n, e]:
            continue
        if state.loss[n, e] > rows.dust:
            cost = state.loss[n, e] / rows.sizes[e] * (1.0 + noise * uniform(seed))
        else:
            cost = -uniform(seed)
        if cost < least:
            best, least = e, cost
    return best


@njit(cache=True)
def server_for(rows: Rows, state: State, s: int, e: int, seed: NDArray[np.uint64]) -> int:
    """Choose a server of a set for an expert: where room costs least, or at random; -1 for none."""
    num_members = 0
    for n in range(rows.server_sets.shape[1]):
        num_members += rows.server_sets[s, n] and rows.sizes[e] <= rows.capacity[n]
    pick = int(uniform(seed) * num_members / _RANDOM_SERVER)  # >= num_members: not at random
    where, least = -1, np.inf
    seen = 0
    for n in range(rows.server_sets.shape[1]):
        if not rows.server_sets[s, n] or rows.sizes[e] > rows.capacity[n]:
            continue
        if seen == pick:
            return n
        seen += 1
        cost = -state.gain[n, e]
        if state.room[n] < rows.sizes[e]:
            out = cheapest_copy(rows, state, n, _LOSS_NOISE, seed)
            if out < 0:
                continue
            cost += state.loss[n, out] / rows.sizes[out] * rows.sizes[e]
        if cost < least:
            where, least = n, cost
    return where


@njit(cache=True)
def complete(rows: Rows, state: State, c: int, seed: NDArray[np.uint64]) -> bool:
    """Store the missing experts of a clause, evicting what is in the way; False if no room."""
    s, itemset = rows.server_set[c], rows.itemset[c]
    for entry in range(rows.itemset_offsets[itemset], rows.itemset_offsets[itemset + 1]):
        e = rows.itemset_experts[entry]
        if state.copies[s, e] > 0:
            continue
        n = server_for(rows, state, s, e, seed)
        if n < 0:
            return False
        while state.room[n] < rows.sizes[e]:
            out = cheapest_copy(rows, state, n, _LOSS_NOISE, seed)
            if out < 0:
                return False
            flip(rows, state, n, out)
        flip(rows, state, n, e)
    return True


@njit(cache=True)
def refill(rows: Rows, state: State, seed: NDArray[np.uint64]) -> None:
    """Add experts that gain, also in exchange for a copy that loses less."""
    num_servers, num_experts = state.stored.shape
    for _ in range(_SWAPS_A_SERVER * num_servers):
        top, top_n, top_in, top_out = rows.dust, -1, -1, -1
        for n in range(num_servers):
            out = cheapest_copy(rows, state, n, 0.0, seed)
            for e in range(num_experts):
                if state.gain[n, e] <= top or state.stored[n, e]:
                    continue
                if rows.sizes[e] <= state.room[n]:
                    top, top_n, top_in, top_out = state.gain[n, e], n, e, -1
                elif out >= 0 and rows.sizes[e] <= state.room[n] + rows.sizes[out]:
                    change = state.gain[n, e] - state.loss[n, out]
                    if change > top:
                        top, top_n, top_in, top_out = change, n, e, out
        if top_n < 0:
            return
        if top_out >= 0:
            flip(rows, state, top_n, top_out)
        flip(rows, state, top_n, top_in)


@njit(cache=True)
def protect(rows: Rows, state: State, c: int, value: bool) -> None:
    """Keep the experts of a clause on the servers of its set, or let them go again."""
    s, itemset = rows.server_set[c], rows.itemset[c]
    for entry in range(rows.itemset_offsets[itemset], rows.itemset_offsets[itemset + 1]):
        for n in range(rows.server_sets.shape[1]):
            if rows.server_sets[s, n]:
                state.protected[n, rows.itemset_experts[entry]] = value


@njit(cache=True)
def travel(
    rows: Rows,
    state: State,
    targets: NDArray[np.int64],
    slack: NDArray[np.float64],
    seed: NDArray[np.uint64],
    record: NDArray[np.bool_],
    record_value: float,
) -> float:
    """Complete one clause after the other, and go on from what is not much worse than the record.

    Iteration i is undone when its value is below the record less ``slack[i]`` (record-to-record
    travel, Dueck 1993). ``record`` is overwritten with each better placement; returns its value.
    """
    for i in range(slack.shape[0]):
        c = draw_target(rows, state, targets, seed)
        if c < 0:
            continue
        state.num_flips[0] = 0
        protect(rows, state, c, True)
        fits = complete(rows, state, c, seed)
        if fits:
            refill(rows, state, seed)
        protect(rows, state, c, False)
        if fits and state.value[0] > record_value + rows.dust:
            record_value = state.value[0]
            record[:] = state.stored
        elif not fits or state.value[0] < record_value - slack[i]:
            undo(rows, state)
    return record_value
