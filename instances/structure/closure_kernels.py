"""Hot loops of the hull sweep: closures by flow between experts, arrays in, arrays out.

| symbol | meaning |
|---|---|
| c, e | clause (a set of experts with a weight), expert of the layer |
| entry | one (clause, expert) incidence, in clause order |
| flow | flow[entry]: the part of the clause's weight that its expert carries |
| load | load[e]: what an expert carries of all clauses |
| excess | excess[e]: what it carries beyond price times bytes |
| block | experts between two neighbouring sets of the sweep, a slice of ``order`` |
| reach | bit matrix, rows of 64-bit words: who can hand weight to whom within some clause |

The closure problem max v(C) - p bytes(C) is a minimum cut. Its flow is a way to split the weight of
every clause among its own experts. Overloaded experts hand weight to experts with room, through the
clauses that they share; what cannot be handed on belongs to the closure. So the graph has the
experts as its only nodes, and clauses are only read in one pass after the other.

The flow of a block serves the two blocks that it splits into: clauses of the first half load that
half alone, and the others load nothing in it (docs/theory.md, section 3).
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_ROUNDING = 1e-12
"""Share of a block's weight below which an excess is rounding."""

_LEVELLINGS = 5
"""Passes in which every clause evens out the loads of its experts, before the first cut."""

_PUSHES = 30
"""Passes that hand on weight between two exact looks at who can hand weight to whom."""


class Layer(NamedTuple):
    """Clauses as they are split and sorted into blocks; those of a block are neighbours.

    A clause of a block has only the experts of the block, and at least two.
    """

    length: NDArray[np.int32]
    bits: NDArray[np.uint32]
    flow: NDArray[np.float64]
    size: NDArray[np.float64]
    load: NDArray[np.float64]


class Block(NamedTuple):
    """A slice of the experts, and its clauses."""

    begin: int
    end: int
    clause: int
    clause_end: int
    entry: int
    """The first clause's first."""


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
def split_weights(weight: NDArray[np.float64], layer: Layer) -> None:
    """Give each clause's weight to its expert that is filled least so far, then even out."""
    length, bits, flow, size, load = layer
    ratio = np.zeros(size.shape[0])
    entry = 0
    for c in range(length.shape[0]):
        least = entry
        for other in range(entry, entry + length[c]):
            flow[other] = 0.0
            if ratio[bits[other]] < ratio[bits[least]]:
                least = other
        entry += length[c]
        e = bits[least]
        flow[least] = weight[c]
        load[e] += weight[c]
        ratio[e] = load[e] / size[e]
    for _ in range(_LEVELLINGS):
        entry = 0
        for c in range(length.shape[0]):
            full, least = entry, entry
            most_filled, least_filled = -1.0, np.inf
            for other in range(entry, entry + length[c]):
                filled = ratio[bits[other]]
                if filled > most_filled and flow[other] > 0.0:
                    most_filled, full = filled, other
                if filled < least_filled:
                    least_filled, least = filled, other
            entry += length[c]
            if most_filled > least_filled:
                e, f = bits[full], bits[least]
                even = (load[e] * size[f] - load[f] * size[e]) / (size[e] + size[f])
                amount = min(even, flow[full])
                flow[full] -= amount
                flow[least] += amount
                load[e] -= amount
                load[f] += amount
                ratio[e] = load[e] / size[e]
                ratio[f] = load[f] / size[f]


@njit(cache=True)
def find_reach(
    block: Block, layer: Layer, place: NDArray[np.int64], reach: NDArray[np.uint64]
) -> None:
    """Find out who can hand weight to whom in a block: within any clause that loads the giver.

    Rows and bits of ``reach`` are places within the block; ``place[e]`` is the expert's.
    """
    length, bits, flow = layer.length, layer.bits, layer.flow
    words = reach.shape[1]
    members = np.empty(words, np.uint64)
    reach[:] = np.uint64(0)
    entry = block.entry
    for c in range(block.clause, block.clause_end):
        end = entry + length[c]
        members[:] = np.uint64(0)
        for other in range(entry, end):
            i = place[bits[other]]
            members[i >> 6] |= np.uint64(1) << np.uint64(i & 63)
        for other in range(entry, end):
            if flow[other] > 0.0:
                i = place[bits[other]]
                for w in range(words):
                    reach[i, w] |= members[w]
        entry = end


@njit(cache=True)
def distances_to_room(
    members: NDArray[np.int64],
    reach: NDArray[np.uint64],
    excess: NDArray[np.float64],
    slack: float,
    distance: NDArray[np.int64],
) -> bool:
    """Count the steps from each expert to the nearest with room; -1 where there is no way.

    Returns whether weight of some overloaded expert can get to one with room.
    """
    words = reach.shape[1]
    frontier = np.zeros(words, np.uint64)
    for i in range(members.shape[0]):
        e = members[i]
        distance[e] = -1
        if excess[e] < -slack:
            distance[e] = 0
            frontier[i >> 6] |= np.uint64(1) << np.uint64(i & 63)
    found = False
    steps = 0
    while frontier.any():
        steps += 1
        nearer = frontier.copy()
        frontier[:] = np.uint64(0)
        for i in range(members.shape[0]):
            e = members[i]
            if distance[e] >= 0:
                continue
            for w in range(words):
                if reach[i, w] & nearer[w]:
                    distance[e] = steps
                    frontier[i >> 6] |= np.uint64(1) << np.uint64(i & 63)
                    found |= excess[e] > slack
                    break
    return found


@njit(cache=True)
def hand_on(
    block: Block,
    layer: Layer,
    place: NDArray[np.int64],
    excess: NDArray[np.float64],
    distance: NDArray[np.int64],
    reach: NDArray[np.uint64],
) -> bool:
    """Let overloaded experts hand weight to those one step nearer to room, clause by clause.

    Returns whether any did. ``reach`` gets what is new; what is no longer so stays in it.
    """
    length, bits, flow = layer.length, layer.bits, layer.flow
    moved = False
    entry = block.entry
    for c in range(block.clause, block.clause_end):
        end = entry + length[c]
        for giver in range(entry, end):
            e = bits[giver]
            if excess[e] <= 0.0 or flow[giver] <= 0.0 or distance[e] <= 0:
                continue
            for taker in range(entry, end):
                f = bits[taker]
                if distance[f] != distance[e] - 1:
                    continue
                amount = min(excess[e], flow[giver])
                if distance[f] == 0:
                    amount = min(amount, -excess[f])
                if amount <= 0.0:
                    continue
                if flow[taker] == 0.0:
                    for other in range(entry, end):
                        i = place[bits[other]]
                        reach[place[f], i >> 6] |= np.uint64(1) << np.uint64(i & 63)
                flow[giver] -= amount
                flow[taker] += amount
                excess[e] -= amount
                excess[f] += amount
                moved = True
                if excess[e] <= 0.0 or flow[giver] <= 0.0:
                    break
        entry = end
    return moved


@njit(cache=True)
def balance(
    block: Block,
    layer: Layer,
    members: NDArray[np.int64],
    place: NDArray[np.int64],
    excess: NDArray[np.float64],
    slack: float,
    reach: NDArray[np.uint64],
    distance: NDArray[np.int64],
) -> None:
    """Hand weight on, along shortest ways to room, until no excess can move; ``reach`` is exact.

    Every pass either moves excess or ends the search; their number is bounded, since rounding could
    keep specks of weight moving.
    """
    for _ in range(10 * members.shape[0] + 100):
        find_reach(block, layer, place, reach)
        if not distances_to_room(members, reach, excess, slack, distance):
            return
        for _ in range(_PUSHES):
            if not hand_on(block, layer, place, excess, distance, reach):
                break
            if not distances_to_room(members, reach, excess, slack, distance):
                break


@njit(cache=True)
def overloaded_closure(
    members: NDArray[np.int64],
    reach: NDArray[np.uint64],
    excess: NDArray[np.float64],
    slack: float,
    inside: NDArray[np.bool_],
    queue: NDArray[np.int64],
) -> int:
    """Mark the experts that the excess of overloaded ones could reach; returns their number.

    All clauses that load a marked expert have every expert of the block marked, so the load of the
    marked ones is the weight of the clauses among them.
    """
    tail = 0
    for i in range(members.shape[0]):
        e = members[i]
        inside[e] = excess[e] > slack
        if inside[e]:
            queue[tail] = i
            tail += 1
    head = 0
    while head < tail:
        row = reach[queue[head]]
        head += 1
        for i in range(members.shape[0]):
            if not inside[members[i]] and row[i >> 6] & (np.uint64(1) << np.uint64(i & 63)):
                inside[members[i]] = True
                queue[tail] = i
                tail += 1
    return tail


@njit(cache=True)
def split_block(
    block: Block, layer: Layer, order: NDArray[np.int64], inside: NDArray[np.bool_]
) -> tuple[Block, Block]:
    """Split a block: marked experts come first, and with them the clauses that lack no other.

    Clauses of the second half lose the marked experts, who carry nothing of them; those with a
    single expert left have nothing to split any more, and are dropped.
    """
    length, bits, flow = layer.length, layer.bits, layer.flow
    middle = block.begin
    for position in range(block.begin, block.end):
        e = order[position]
        if inside[e]:
            order[position], order[middle] = order[middle], e
            middle += 1
    first_clause, first_entry = block.clause, block.entry
    later_length = np.empty(block.clause_end - block.clause, np.int32)
    later_clause, later_entry = 0, 0
    entries = 0
    for c in range(block.clause, block.clause_end):
        entries += length[c]
    later_bits = np.empty(entries, np.uint32)
    later_flow = np.empty(entries)
    entry = block.entry
    for c in range(block.clause, block.clause_end):
        size = length[c]
        outside = 0
        for other in range(entry, entry + size):
            if not inside[bits[other]]:
                later_bits[later_entry + outside] = bits[other]
                later_flow[later_entry + outside] = flow[other]
                outside += 1
        if outside == 0:
            for other in range(entry, entry + size):
                bits[first_entry] = bits[other]
                flow[first_entry] = flow[other]
                first_entry += 1
            length[first_clause] = size
            first_clause += 1
        elif outside > 1:
            later_length[later_clause] = outside
            later_clause += 1
            later_entry += outside
        entry += size
    length[first_clause : first_clause + later_clause] = later_length[:later_clause]
    bits[first_entry : first_entry + later_entry] = later_bits[:later_entry]
    flow[first_entry : first_entry + later_entry] = later_flow[:later_entry]
    return (
        Block(block.begin, middle, block.clause, first_clause, block.entry),
        Block(middle, block.end, first_clause, first_clause + later_clause, first_entry),
    )


@njit(cache=True, nogil=True)
def hull_order(
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int32],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Sort experts so that the breakpoints of the concave hull of v over bytes are prefixes.

    Returns the order, and for each position whether a breakpoint ends there. Divide and conquer: at
    the price at which both ends of a block are worth the same, either nothing in between is worth
    more, and the block is one segment of the hull, or a closure splits it in two.
    """
    num_experts = sizes.shape[0]
    order = np.arange(num_experts)
    ends = np.zeros(num_experts, np.bool_)
    if num_experts == 0:
        return order, ends
    layer = Layer(
        np.diff(offsets).astype(np.int32),
        bits.astype(np.uint32),
        np.empty(bits.shape[0]),
        sizes.astype(np.float64),
        np.zeros(num_experts),
    )
    split_weights(weight, layer)
    excess = np.zeros(num_experts)
    distance = np.zeros(num_experts, np.int64)
    place = np.zeros(num_experts, np.int64)
    inside = np.zeros(num_experts, np.bool_)
    queue = np.empty(num_experts, np.int64)
    blocks = [Block(0, num_experts, 0, weight.shape[0], 0)]
    while blocks:
        block = blocks.pop()
        ends[block.end - 1] = True
        members = order[block.begin : block.end]
        total = layer.load[members].sum()
        if members.shape[0] == 1 or total <= 0.0:
            continue
        price = total / layer.size[members].sum()
        slack = _ROUNDING * total
        place[members] = np.arange(members.shape[0])
        excess[members] = layer.load[members] - price * layer.size[members]
        reach = np.empty((members.shape[0], (members.shape[0] + 63) // 64), np.uint64)
        balance(block, layer, members, place, excess, slack, reach, distance)
        layer.load[members] = excess[members] + price * layer.size[members]
        count = overloaded_closure(members, reach, excess, slack, inside, queue)
        gained = 0.0
        for e in members:
            if inside[e]:
                gained += excess[e]
        if 0 < count < members.shape[0] and gained > slack:
            first, second = split_block(block, layer, order, inside)
            blocks.append(first)
            blocks.append(second)
    return order, ends
