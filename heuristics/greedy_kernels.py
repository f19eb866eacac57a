"""Hot loops of greedy: gains, a heap of them, and what storing an expert changes.

| symbol | meaning |
|---|---|
| c, x, n | clause, flat expert, server |
| entry | one (clause, expert) incidence, listed by expert |
| pair | n * X + x: storing expert x on server n |
| lacking | experts of a clause that no server of its set stores yet |
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Demand(NamedTuple):
    """Clauses, and the same by expert; nothing in it changes.

    Parameters
    ----------
    weight, server_set, itemset, server_sets, itemset_offsets, itemset_experts
        As in :class:`~instances.structure.clauses.Clauses`.
    entry_offsets, entry_clause
        Clauses of each expert, ascending; int64 (X + 1,), (entries,).
    """

    weight: NDArray[np.float64]
    server_set: NDArray[np.int64]
    itemset: NDArray[np.int64]
    server_sets: NDArray[np.bool_]
    itemset_offsets: NDArray[np.int64]
    itemset_experts: NDArray[np.int64]
    entry_offsets: NDArray[np.int64]
    entry_clause: NDArray[np.int64]


class Progress(NamedTuple):
    """What has been stored, and what that means; changed in place.

    Parameters
    ----------
    stored
        Server n stores expert x; bool (N, X).
    room
        Bytes that are left; int64 (N,).
    expert_bytes
        Sizes; int64 (X,). (They do not change.)
    covered
        The expert of an entry is on a server of the clause's set; bool (entries,).
    lacking
        Experts that each clause lacks; int64 (C,).
    """

    stored: NDArray[np.bool_]
    room: NDArray[np.int64]
    expert_bytes: NDArray[np.int64]
    covered: NDArray[np.bool_]
    lacking: NDArray[np.int64]


@njit(cache=True)
def before(key: NDArray[np.float64], pair: NDArray[np.int64], a: int, b: int) -> bool:
    """Tell whether heap element a comes before b: higher key, then lower pair."""
    return bool(key[a] > key[b] or (key[a] == key[b] and pair[a] < pair[b]))


@njit(cache=True)
def sift_up(key: NDArray[np.float64], pair: NDArray[np.int64], position: int) -> None:
    """Restore the heap upwards from a position."""
    while position > 0:
        parent = (position - 1) >> 1
        if not before(key, pair, position, parent):
            break
        key[position], key[parent] = key[parent], key[position]
        pair[position], pair[parent] = pair[parent], pair[position]
        position = parent


@njit(cache=True)
def sift_down(key: NDArray[np.float64], pair: NDArray[np.int64], position: int, size: int) -> None:
    """Restore the heap downwards from a position."""
    while True:
        first = position
        for child in range(2 * position + 1, min(2 * position + 3, size)):
            if before(key, pair, child, first):
                first = child
        if first == position:
            break
        key[position], key[first] = key[first], key[position]
        pair[position], pair[first] = pair[first], pair[position]
        position = first


@njit(cache=True, inline="always")
def marginal_gain(x: int, n: int, demand: Demand, progress: Progress) -> float:
    """Sum the weights of the clauses that lack only expert x and may find it on server n."""
    gain = 0.0
    for e in range(demand.entry_offsets[x], demand.entry_offsets[x + 1]):
        c = demand.entry_clause[e]
        if (
            progress.lacking[c] == 1
            and not progress.covered[e]
            and demand.server_sets[demand.server_set[c], n]
        ):
            gain += demand.weight[c]
    return gain


@njit(cache=True)
def all_marginal_gains(demand: Demand, progress: Progress) -> NDArray[np.float64]:
    """Return the marginal gain of every expert on every server; (N, X)."""
    num_servers, num_experts = progress.stored.shape
    gain = np.zeros((num_servers, num_experts))
    for n in range(num_servers):
        for x in range(num_experts):
            gain[n, x] = marginal_gain(x, n, demand, progress)
    return gain


@njit(cache=True, inline="always")
def useful(x: int, n: int, demand: Demand, progress: Progress) -> bool:
    """Tell whether some clause still lacks expert x and may find it on server n."""
    for e in range(demand.entry_offsets[x], demand.entry_offsets[x + 1]):
        c = demand.entry_clause[e]
        if not progress.covered[e] and demand.server_sets[demand.server_set[c], n]:
            return True
    return False


@njit(cache=True, inline="always")
def fits(pair: int, progress: Progress) -> bool:
    """Tell whether a pair is not stored yet and there is room for it."""
    num_experts = progress.stored.shape[1]
    n, x = pair // num_experts, pair % num_experts
    return not progress.stored[n, x] and progress.expert_bytes[x] <= progress.room[n]


@njit(cache=True, inline="always")
def gain_per_byte(pair: int, demand: Demand, progress: Progress) -> float:
    """Return what a pair gains now for each byte."""
    num_experts = progress.stored.shape[1]
    n, x = pair // num_experts, pair % num_experts
    return float(marginal_gain(x, n, demand, progress) / progress.expert_bytes[x])


@njit(cache=True)
def last_lacking(c: int, demand: Demand, progress: Progress) -> int:
    """Return the only expert that clause c still lacks."""
    last = -1
    itemset = demand.itemset[c]
    for h in range(demand.itemset_offsets[itemset], demand.itemset_offsets[itemset + 1]):
        y = demand.itemset_experts[h]
        low, high = demand.entry_offsets[y], demand.entry_offsets[y + 1]
        while low < high:  # position of clause c among those of expert y
            middle = (low + high) >> 1
            if demand.entry_clause[middle] < c:
                low = middle + 1
            else:
                high = middle
        if not progress.covered[low]:
            last = y
    return last


@njit(cache=True)
def store(
    pair: int,
    demand: Demand,
    progress: Progress,
    raised: NDArray[np.int64],
    is_raised: NDArray[np.bool_],
) -> int:
    """Store a pair and bring the clauses up to date.

    Writes the pairs whose gain rose, since a clause now lacks that expert alone, into ``raised``
    and returns their number.
    """
    num_servers, num_experts = progress.stored.shape
    n, x = pair // num_experts, pair % num_experts
    progress.stored[n, x] = True
    progress.room[n] -= progress.expert_bytes[x]
    count = 0
    for e in range(demand.entry_offsets[x], demand.entry_offsets[x + 1]):
        c = demand.entry_clause[e]
        if progress.covered[e] or not demand.server_sets[demand.server_set[c], n]:
            continue
        progress.covered[e] = True
        progress.lacking[c] -= 1
        if progress.lacking[c] != 1:
            continue
        last = last_lacking(c, demand, progress)
        for other in range(num_servers):
            risen = other * num_experts + last
            if demand.server_sets[demand.server_set[c], other] and not is_raised[risen]:
                is_raised[risen] = True
                raised[count] = risen
                count += 1
    return count


@njit(cache=True)
def pop_best(
    heap_key: NDArray[np.float64],
    heap_pair: NDArray[np.int64],
    size: int,
    demand: Demand,
    progress: Progress,
) -> tuple[int, int]:
    """Return the pair of the largest gain per byte that fits, -1 for none, and the heap's size.

    A popped key that is out of date is pushed back with its true value.
    """
    while size > 0:
        key, pair = heap_key[0], heap_pair[0]
        size -= 1
        heap_key[0], heap_pair[0] = heap_key[size], heap_pair[size]
        sift_down(heap_key, heap_pair, 0, size)
        if not fits(pair, progress):
            continue
        true_key = gain_per_byte(pair, demand, progress)
        if true_key >= key:
            return pair, size
        if true_key > 0.0:
            heap_key[size], heap_pair[size] = true_key, pair
            sift_up(heap_key, heap_pair, size)
            size += 1
    return -1, size


@njit(cache=True)
def greedy_steps(
    max_steps: int,
    heap_key: NDArray[np.float64],
    heap_pair: NDArray[np.int64],
    state: NDArray[np.int64],
    fallback: NDArray[np.int64],
    demand: Demand,
    progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Store up to ``max_steps`` experts, each with the largest marginal gain per byte.

    The heap holds, for every pair, at least one key that is no less than its gain per byte: gains
    only fall, except when a clause comes to lack a single expert, and then the pairs that complete
    it are pushed anew. When no pair gains anything the next useful one of ``fallback`` is stored.

    ``state`` is [heap size, next position in fallback]; -1 as heap size when nothing is left. The
    heap arrays are returned since they may have grown.
    """
    num_experts = progress.stored.shape[1]
    raised = np.empty(progress.stored.size, np.int64)
    is_raised = np.zeros(progress.stored.size, np.bool_)
    size = state[0]
    for _ in range(max_steps):
        chosen, size = pop_best(heap_key, heap_pair, size, demand, progress)
        while chosen < 0 and state[1] < fallback.shape[0]:
            pair = fallback[state[1]]
            state[1] += 1
            if fits(pair, progress) and useful(
                pair % num_experts, pair // num_experts, demand, progress
            ):
                chosen = pair
        if chosen < 0:
            size = -1
            break
        count = store(chosen, demand, progress, raised, is_raised)
        if size + count > heap_key.shape[0]:
            grown_key = np.empty(2 * (size + count))
            grown_pair = np.empty(2 * (size + count), np.int64)
            grown_key[:size] = heap_key[:size]
            grown_pair[:size] = heap_pair[:size]
            heap_key, heap_pair = grown_key, grown_pair
        for r in range(count):
            pair = raised[r]
            is_raised[pair] = False
            if fits(pair, progress):
                heap_key[size] = gain_per_byte(pair, demand, progress)
                heap_pair[size] = pair
                sift_up(heap_key, heap_pair, size)
                size += 1
    state[0] = size
    return heap_key, heap_pair
