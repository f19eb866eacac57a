"""Hot loops of the hull sweep: closures by flow between experts, arrays in, arrays out.

| symbol | meaning |
|---|---|
| c, e | clause (a set of experts with a weight), expert of the layer |
| entry | one (clause, expert) incidence, in clause order |
| flow | flow[entry]: the part of the clause's weight that its expert carries |
| load, room | what an expert carries; what it may carry, price times bytes |
| block | experts between two neighbouring sets of the sweep, a slice of ``order`` |

The closure problem max v(C) - p bytes(C) is a minimum cut. Its flow is a way to split the weight of
every clause among its own experts. Overloaded experts hand weight to experts with room, through the
clauses that they share; what cannot be handed on belongs to the closure. So the graph has the
experts as its only nodes.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_ROUNDING = 1e-12
"""Share of a block's weight below which an excess is rounding."""


@njit(cache=True)
def entries_of_experts(
    offsets: NDArray[np.int64], bits: NDArray[np.int64], num_experts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """List the entries of each expert: CSR offsets, entries, and the clause of every entry."""
    begin = np.zeros(num_experts + 1, np.int64)
    for entry in range(bits.shape[0]):
        begin[bits[entry] + 1] += 1
    for e in range(num_experts):
        begin[e + 1] += begin[e]
    cursor = begin[:-1].copy()
    entries = np.empty(bits.shape[0], np.int64)
    clause_of = np.empty(bits.shape[0], np.int64)
    for c in range(offsets.shape[0] - 1):
        for entry in range(offsets[c], offsets[c + 1]):
            clause_of[entry] = c
            entries[cursor[bits[entry]]] = entry
            cursor[bits[entry]] += 1
    return begin, entries, clause_of


@njit(cache=True)
def split_evenly(
    clauses: NDArray[np.int64],
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    block_of: NDArray[np.int64],
    block: int,
    room: NDArray[np.float64],
    load: NDArray[np.float64],
    flow: NDArray[np.float64],
) -> None:
    """Give each clause's weight to the expert of the block that is filled least so far."""
    for position in range(clauses.shape[0]):
        c = clauses[position]
        chosen = np.int64(-1)
        for entry in range(offsets[c], offsets[c + 1]):
            e = bits[entry]
            flow[entry] = 0.0
            if block_of[e] == block and (
                chosen < 0 or load[e] * room[bits[chosen]] < load[bits[chosen]] * room[e]
            ):
                chosen = np.int64(entry)
        flow[chosen] = weight[c]
        load[bits[chosen]] += weight[c]


@njit(cache=True)
def distances_to_room(
    members: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    clause_block: NDArray[np.int64],
    block_of: NDArray[np.int64],
    block: int,
    room: NDArray[np.float64],
    load: NDArray[np.float64],
    flow: NDArray[np.float64],
    slack: float,
    distance: NDArray[np.int64],
    seen: NDArray[np.int64],
    mark: int,
    queue: NDArray[np.int64],
) -> int:
    """Search backwards from the experts with room; returns how many experts reach one.

    ``queue`` then lists them by distance; the others keep distance -1.
    """
    tail = 0
    for position in range(members.shape[0]):
        e = members[position]
        distance[e] = -1
        if room[e] - load[e] > slack:
            distance[e] = 0
            queue[tail] = e
            tail += 1
    head = 0
    while head < tail:
        e = queue[head]
        head += 1
        for h in range(begin[e], begin[e + 1]):
            c = clause_of[entries[h]]
            if clause_block[c] != block or seen[c] == mark:
                continue
            seen[c] = mark
            for entry in range(offsets[c], offsets[c + 1]):
                other = bits[entry]
                if flow[entry] > 0.0 and block_of[other] == block and distance[other] < 0:
                    distance[other] = distance[e] + 1
                    queue[tail] = other
                    tail += 1
    return tail


@njit(cache=True)
def hand_on(
    e: int,
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    clause_block: NDArray[np.int64],
    block_of: NDArray[np.int64],
    block: int,
    room: NDArray[np.float64],
    load: NDArray[np.float64],
    flow: NDArray[np.float64],
    distance: NDArray[np.int64],
) -> None:
    """Hand the excess of an expert to experts that are one step nearer to one with room."""
    for h in range(begin[e], begin[e + 1]):
        excess = load[e] - room[e]
        if excess <= 0.0:
            return
        entry = entries[h]
        c = clause_of[entry]
        if clause_block[c] != block or flow[entry] <= 0.0:
            continue
        for other_entry in range(offsets[c], offsets[c + 1]):
            other = bits[other_entry]
            if block_of[other] != block or distance[other] != distance[e] - 1:
                continue
            amount = min(excess, flow[entry])
            if distance[other] == 0:
                amount = min(amount, room[other] - load[other])
            if amount <= 0.0:
                continue
            flow[entry] -= amount
            flow[other_entry] += amount
            load[e] -= amount
            load[other] += amount
            excess -= amount
            if excess <= 0.0 or flow[entry] <= 0.0:
                break


@njit(cache=True)
def overloaded_closure(
    members: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    clause_block: NDArray[np.int64],
    block_of: NDArray[np.int64],
    block: int,
    room: NDArray[np.float64],
    load: NDArray[np.float64],
    flow: NDArray[np.float64],
    slack: float,
    inside: NDArray[np.bool_],
    queue: NDArray[np.int64],
) -> int:
    """Mark the experts that the excess of overloaded ones could reach; returns their number.

    All clauses that load a marked expert have every expert of the block marked, so the load of the
    marked ones is the weight of the clauses among them.
    """
    tail = 0
    for position in range(members.shape[0]):
        e = members[position]
        inside[e] = load[e] - room[e] > slack
        if inside[e]:
            queue[tail] = e
            tail += 1
    head = 0
    while head < tail:
        e = queue[head]
        head += 1
        for h in range(begin[e], begin[e + 1]):
            entry = entries[h]
            c = clause_of[entry]
            if clause_block[c] != block or flow[entry] <= 0.0:
                continue
            for other_entry in range(offsets[c], offsets[c + 1]):
                other = bits[other_entry]
                if block_of[other] == block and not inside[other]:
                    inside[other] = True
                    queue[tail] = other
                    tail += 1
    return tail


@njit(cache=True)
def balance(
    members: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    clause_block: NDArray[np.int64],
    block_of: NDArray[np.int64],
    block: int,
    room: NDArray[np.float64],
    load: NDArray[np.float64],
    flow: NDArray[np.float64],
    slack: float,
    distance: NDArray[np.int64],
    seen: NDArray[np.int64],
    mark: int,
    queue: NDArray[np.int64],
) -> int:
    """Hand weight on, along shortest ways to room, until no excess can move; returns the last mark.

    Every sweep either moves excess or ends the search; their number is bounded, since rounding
    could keep specks of weight moving.
    """
    for _ in range(10 * members.shape[0] + 100):
        mark += 1
        reached = distances_to_room(
            members,
            offsets,
            bits,
            begin,
            entries,
            clause_of,
            clause_block,
            block_of,
            block,
            room,
            load,
            flow,
            slack,
            distance,
            seen,
            mark,
            queue,
        )
        moved = False
        for position in range(reached - 1, -1, -1):
            e = queue[position]
            if distance[e] > 0 and load[e] - room[e] > slack:
                moved = True
                hand_on(
                    e,
                    offsets,
                    bits,
                    begin,
                    entries,
                    clause_of,
                    clause_block,
                    block_of,
                    block,
                    room,
                    load,
                    flow,
                    distance,
                )
        if not moved:
            break
    return mark


@njit(cache=True)
def put_first(
    lo: int,
    hi: int,
    clo: int,
    chi: int,
    inside: NDArray[np.bool_],
    order: NDArray[np.int64],
    block_of: NDArray[np.int64],
    clauses: NDArray[np.int64],
    clause_block: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
) -> tuple[int, int]:
    """Split a block: marked experts come first, and with them the clauses that lack no other.

    Returns where the second half of the experts and of the clauses begins.
    """
    middle = lo
    for position in range(lo, hi):
        e = order[position]
        if inside[e]:
            order[position], order[middle] = order[middle], e
            middle += 1
    for position in range(middle, hi):
        block_of[order[position]] = middle
    clause_middle = clo
    for position in range(clo, chi):
        c = clauses[position]
        within = True
        for entry in range(offsets[c], offsets[c + 1]):
            if block_of[bits[entry]] == middle:
                within = False
                break
        if within:
            clauses[position], clauses[clause_middle] = clauses[clause_middle], c
            clause_middle += 1
        else:
            clause_block[c] = middle
    return middle, clause_middle


@njit(cache=True, nogil=True)
def hull_order(
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Sort experts so that the breakpoints of the concave hull of v over bytes are prefixes.

    Returns the order, and for each position whether a breakpoint ends there. Divide and conquer: at
    the price at which both ends of a block are worth the same, either nothing in between is worth
    more, and the block is one segment of the hull, or a closure splits it in two.
    """
    num_experts = sizes.shape[0]
    num_clauses = weight.shape[0]
    begin, entries, clause_of = entries_of_experts(offsets, bits, num_experts)
    order = np.arange(num_experts)
    block_of = np.zeros(num_experts, np.int64)
    clauses = np.arange(num_clauses)
    clause_block = np.zeros(num_clauses, np.int64)
    ends = np.zeros(num_experts, np.bool_)
    room = np.zeros(num_experts)
    load = np.zeros(num_experts)
    flow = np.zeros(bits.shape[0])
    distance = np.zeros(num_experts, np.int64)
    queue = np.empty(num_experts, np.int64)
    seen = np.full(num_clauses, -1, np.int64)
    inside = np.zeros(num_experts, np.bool_)
    mark = 0
    stack = np.empty((num_experts + 1, 4), np.int64)
    stack[0] = np.array([0, num_experts, 0, num_clauses])
    depth = 1 if num_experts else 0
    while depth > 0:
        depth -= 1
        lo, hi, clo, chi = stack[depth]
        ends[hi - 1] = True
        members = order[lo:hi]
        inner = clauses[clo:chi]
        if hi - lo == 1 or chi == clo:
            continue
        total = 0.0
        for position in range(inner.shape[0]):
            total += weight[inner[position]]
        block_bytes = 0
        for position in range(members.shape[0]):
            block_bytes += sizes[members[position]]
        for position in range(members.shape[0]):
            e = members[position]
            room[e] = total * (sizes[e] / block_bytes)
            load[e] = 0.0
        slack = _ROUNDING * total
        split_evenly(inner, weight, offsets, bits, block_of, lo, room, load, flow)
        mark = balance(
            members,
            offsets,
            bits,
            begin,
            entries,
            clause_of,
            clause_block,
            block_of,
            lo,
            room,
            load,
            flow,
            slack,
            distance,
            seen,
            mark,
            queue,
        )
        count = overloaded_closure(
            members,
            offsets,
            bits,
            begin,
            entries,
            clause_of,
            clause_block,
            block_of,
            lo,
            room,
            load,
            flow,
            slack,
            inside,
            queue,
        )
        gained = 0.0
        for position in range(members.shape[0]):
            e = members[position]
            if inside[e]:
                gained += load[e] - room[e]
        if count == 0 or count == hi - lo or gained <= slack:
            continue
        middle, clause_middle = put_first(
            lo, hi, clo, chi, inside, order, block_of, clauses, clause_block, offsets, bits
        )
        stack[depth] = np.array([lo, middle, clo, clause_middle])
        stack[depth + 1] = np.array([middle, hi, clause_middle, chi])
        depth += 2
    return order, ends
