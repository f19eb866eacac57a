"""Hot loops of the heuristics: arrays in, arrays out.

| symbol | meaning |
|---|---|
| c, x, n | clause, flat expert, server |
| entry | one (clause, expert) incidence, listed by expert |
| pair | n * X + x: storing expert x on server n |
| lacking | experts of a clause that no server of its set stores yet |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def wanted_weight(
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    itemset: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    num_experts: int,
) -> NDArray[np.float64]:
    """Sum, for every server and expert, the weights of the clauses that want it there; (N, X)."""
    num_servers = server_sets.shape[1]
    want = np.zeros((num_servers, num_experts))
    for c in range(weight.shape[0]):
        for n in range(num_servers):
            if server_sets[server_set[c], n]:
                for h in range(itemset_offsets[itemset[c]], itemset_offsets[itemset[c] + 1]):
                    want[n, itemset_experts[h]] += weight[c]
    return want


@njit(cache=True)
def entries_by_expert(
    itemset: NDArray[np.int64],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    num_experts: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the clauses of each expert (CSR offsets and clauses, ascending)."""
    offsets = np.zeros(num_experts + 1, np.int64)
    for c in range(itemset.shape[0]):
        for h in range(itemset_offsets[itemset[c]], itemset_offsets[itemset[c] + 1]):
            offsets[itemset_experts[h] + 1] += 1
    for x in range(num_experts):
        offsets[x + 1] += offsets[x]
    cursor = offsets[:-1].copy()
    clause = np.empty(offsets[num_experts], np.int64)
    for c in range(itemset.shape[0]):
        for h in range(itemset_offsets[itemset[c]], itemset_offsets[itemset[c] + 1]):
            x = itemset_experts[h]
            clause[cursor[x]] = c
            cursor[x] += 1
    return offsets, clause


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


@njit(cache=True)
def marginal_gain(
    x: int,
    n: int,
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    entry_offsets: NDArray[np.int64],
    entry_clause: NDArray[np.int64],
    covered: NDArray[np.bool_],
    lacking: NDArray[np.int64],
) -> float:
    """Sum the weights of the clauses that lack only expert x and may find it on server n."""
    gain = 0.0
    for e in range(entry_offsets[x], entry_offsets[x + 1]):
        c = entry_clause[e]
        if lacking[c] == 1 and not covered[e] and server_sets[server_set[c], n]:
            gain += weight[c]
    return gain


@njit(cache=True)
def all_marginal_gains(
    num_servers: int,
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    entry_offsets: NDArray[np.int64],
    entry_clause: NDArray[np.int64],
    covered: NDArray[np.bool_],
    lacking: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the marginal gain of every expert on every server; (N, X)."""
    num_experts = entry_offsets.shape[0] - 1
    gain = np.zeros((num_servers, num_experts))
    for n in range(num_servers):
        for x in range(num_experts):
            gain[n, x] = marginal_gain(
                x, n, weight, server_set, server_sets, entry_offsets, entry_clause, covered, lacking
            )
    return gain


@njit(cache=True)
def useful(
    x: int,
    n: int,
    server_set: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    entry_offsets: NDArray[np.int64],
    entry_clause: NDArray[np.int64],
    covered: NDArray[np.bool_],
) -> bool:
    """Tell whether some clause still lacks expert x and may find it on server n."""
    for e in range(entry_offsets[x], entry_offsets[x + 1]):
        if not covered[e] and server_sets[server_set[entry_clause[e]], n]:
            return True
    return False


@njit(cache=True)
def store(
    x: int,
    n: int,
    server_set: NDArray[np.int64],
    itemset: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    entry_offsets: NDArray[np.int64],
    entry_clause: NDArray[np.int64],
    covered: NDArray[np.bool_],
    lacking: NDArray[np.int64],
    raised: NDArray[np.int64],
    is_raised: NDArray[np.bool_],
) -> int:
    """Bring the clauses up to date after expert x was stored on server n.

    Writes the pairs whose gain rose, since a clause now lacks that expert alone, into ``raised``
    and returns their number.
    """
    num_servers = server_sets.shape[1]
    num_experts = entry_offsets.shape[0] - 1
    count = 0
    for e in range(entry_offsets[x], entry_offsets[x + 1]):
        c = entry_clause[e]
        if covered[e] or not server_sets[server_set[c], n]:
            continue
        covered[e] = True
        lacking[c] -= 1
        if lacking[c] != 1:
            continue
        last = np.int64(-1)
        for h in range(itemset_offsets[itemset[c]], itemset_offsets[itemset[c] + 1]):
            y = itemset_experts[h]
            low, high = entry_offsets[y], entry_offsets[y + 1]
            while low < high:  # position of clause c among those of expert y
                middle = (low + high) >> 1
                if entry_clause[middle] < c:
                    low = middle + 1
                else:
                    high = middle
            if not covered[low]:
                last = y
        for other in range(num_servers):
            pair = other * num_experts + last
            if server_sets[server_set[c], other] and not is_raised[pair]:
                is_raised[pair] = True
                raised[count] = pair
                count += 1
    return count


@njit(cache=True)
def greedy_steps(
    max_steps: int,
    heap_key: NDArray[np.float64],
    heap_pair: NDArray[np.int64],
    state: NDArray[np.int64],
    fallback: NDArray[np.int64],
    stored: NDArray[np.bool_],
    room: NDArray[np.int64],
    expert_bytes: NDArray[np.int64],
    weight: NDArray[np.float64],
    server_set: NDArray[np.int64],
    itemset: NDArray[np.int64],
    server_sets: NDArray[np.bool_],
    itemset_offsets: NDArray[np.int64],
    itemset_experts: NDArray[np.int64],
    entry_offsets: NDArray[np.int64],
    entry_clause: NDArray[np.int64],
    covered: NDArray[np.bool_],
    lacking: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Store up to ``max_steps`` experts, each with the largest marginal gain per byte.

    The heap holds, for every pair, at least one key that is no less than its gain per byte: gains
    only fall, except when a clause comes to lack a single expert, and then the pairs that complete
    it are pushed anew. A popped key that is out of date is pushed back with its true value. When no
    pair gains anything the next useful one of ``fallback`` is stored.

    ``state`` is [heap size, next position in fallback]; -1 as heap size when nothing is left. The
    heap arrays are returned since they may have grown.
    """
    num_servers, num_experts = stored.shape
    raised = np.empty(num_servers * num_experts, np.int64)
    is_raised = np.zeros(num_servers * num_experts, np.bool_)
    size = state[0]
    for _ in range(max_steps):
        chosen = np.int64(-1)
        while size > 0:
            key, pair = heap_key[0], heap_pair[0]
            size -= 1
            heap_key[0], heap_pair[0] = heap_key[size], heap_pair[size]
            sift_down(heap_key, heap_pair, 0, size)
            n, x = pair // num_experts, pair % num_experts
            if stored[n, x] or expert_bytes[x] > room[n]:
                continue
            gain = marginal_gain(
                x, n, weight, server_set, server_sets, entry_offsets, entry_clause, covered, lacking
            )
            true_key = gain / expert_bytes[x]
            if true_key >= key:
                chosen = pair
                break
            if true_key > 0.0:
                heap_key[size], heap_pair[size] = true_key, pair
                sift_up(heap_key, heap_pair, size)
                size += 1
        while chosen < 0 and state[1] < fallback.shape[0]:
            pair = fallback[state[1]]
            state[1] += 1
            n, x = pair // num_experts, pair % num_experts
            if (
                not stored[n, x]
                and expert_bytes[x] <= room[n]
                and useful(x, n, server_set, server_sets, entry_offsets, entry_clause, covered)
            ):
                chosen = pair
        if chosen < 0:
            size = -1
            break
        n, x = chosen // num_experts, chosen % num_experts
        stored[n, x] = True
        room[n] -= expert_bytes[x]
        count = store(
            x,
            n,
            server_set,
            itemset,
            server_sets,
            itemset_offsets,
            itemset_experts,
            entry_offsets,
            entry_clause,
            covered,
            lacking,
            raised,
            is_raised,
        )
        if size + count > heap_key.shape[0]:
            grown_key = np.empty(2 * (size + count))
            grown_pair = np.empty(2 * (size + count), np.int64)
            grown_key[:size] = heap_key[:size]
            grown_pair[:size] = heap_pair[:size]
            heap_key, heap_pair = grown_key, grown_pair
        for r in range(count):
            pair = raised[r]
            is_raised[pair] = False
            n, x = pair // num_experts, pair % num_experts
            if stored[n, x] or expert_bytes[x] > room[n]:
                continue
            gain = marginal_gain(
                x, n, weight, server_set, server_sets, entry_offsets, entry_clause, covered, lacking
            )
            heap_key[size], heap_pair[size] = gain / expert_bytes[x], pair
            sift_up(heap_key, heap_pair, size)
            size += 1
    state[0] = size
    return heap_key, heap_pair
