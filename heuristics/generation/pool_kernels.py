"""Placements of one layer near the best at given prices: arrays in, arrays out.

Symbols as in :mod:`instances.structure.label_kernels`. A state is a placement; of those that use
the same bytes on every server only the best is kept.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from instances.structure.label_kernels import single_worth


@njit(cache=True)
def find(
    slots: NDArray[np.int64], known: NDArray[np.int64], used: NDArray[np.int64]
) -> tuple[np.int64, np.int64]:
    """Look up a vector of bytes; returns its slot, and its index in ``known`` or -1."""
    mask = slots.shape[0] - 1
    key = np.uint64(1469598103934665603)
    for n in range(used.shape[0]):
        key = (key ^ np.uint64(used[n])) * np.uint64(1099511628211)
        key ^= key >> np.uint64(29)
    slot = np.int64(key & np.uint64(mask))
    while True:
        state = slots[slot]
        if state < 0:
            return slot, np.int64(-1)
        same = True
        for n in range(used.shape[0]):
            if known[state, n] != used[n]:
                same = False
                break
        if same:
            return slot, state
        slot = (slot + 1) & mask


@njit(cache=True, nogil=True)
def explore(
    seeds: NDArray[np.int64],
    seed_value: NDArray[np.float64],
    weight: NDArray[np.float64],
    sets: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    sizes: NDArray[np.int64],
    capacity: NDArray[np.int64],
    price: NDArray[np.float64],
    least: float,
    tolerance: float,
    max_expansions: int,
    max_states: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Change a label on one or two servers, the best state first; returns labels, bytes, values.

    States whose value less price is below ``least`` are not entered; the seeds, which must be no
    more than ``max_states``, are kept in any case.
    """
    num_experts = sizes.shape[0]
    num_servers = capacity.shape[0]
    num_labels = 1 << num_servers
    size = 16
    while size < 2 * max_states:
        size *= 2
    slots = np.full(size, -1, np.int64)
    labels = np.zeros((max_states, num_experts), np.int64)
    used = np.zeros((max_states, num_servers), np.int64)
    value = np.zeros(max_states)
    reduced = np.zeros(max_states)
    is_open = np.zeros(max_states, np.bool_)
    bytes_ = np.zeros(num_servers, np.int64)
    count = 0
    for i in range(seeds.shape[0]):
        bytes_[:] = 0
        for e in range(num_experts):
            for m in range(num_servers):
                bytes_[m] += sizes[e] * ((seeds[i, e] >> m) & 1)
        slot, state = find(slots, used, bytes_)
        if state < 0:
            state = np.int64(count)
            slots[slot] = state
            used[state] = bytes_
            count += 1
        elif value[state] >= seed_value[i]:
            continue
        labels[state] = seeds[i]
        value[state] = seed_value[i]
        reduced[state] = seed_value[i]
        for m in range(num_servers):
            reduced[state] -= price[m] * bytes_[m]
        is_open[state] = True
    h = np.empty(num_labels)
    worth = np.empty(num_labels)
    for _ in range(max_expansions):
        current = -1
        for state in range(count):
            if is_open[state] and (current < 0 or reduced[state] > reduced[current]):
                current = state
        if current < 0 or reduced[current] < least:
            break
        is_open[current] = False
        label = labels[current].copy()
        for e in range(num_experts):
            single_worth(e, label, weight, sets, offsets, bits, begin, entries, clause_of, h, worth)
            old = label[e]
            for t in range(num_labels):
                new_value = value[current] + worth[t] - worth[old]
                new_reduced = new_value
                changed = t ^ old
                changed &= changed - 1
                is_free = t != old and changed & (changed - 1) == 0  # at most two servers differ
                for m in range(num_servers):
                    bytes_[m] = used[current, m] + sizes[e] * (((t >> m) & 1) - ((old >> m) & 1))
                    new_reduced -= price[m] * bytes_[m]
                    is_free = is_free and bytes_[m] <= capacity[m]
                if not is_free or new_reduced < least:
                    continue
                slot, state = find(slots, used, bytes_)
                if state < 0:
                    if count == max_states:
                        continue
                    state = np.int64(count)
                    slots[slot] = state
                    used[state] = bytes_
                    count += 1
                elif value[state] + tolerance >= new_value:
                    continue
                labels[state] = label
                labels[state, e] = t
                value[state] = new_value
                reduced[state] = new_reduced
                is_open[state] = True
    return labels[:count].copy(), used[:count].copy(), value[:count].copy()


@njit(cache=True)
def extend(
    used: NDArray[np.int64],
    loss: NDArray[np.float64],
    option_used: NDArray[np.int64],
    option_loss: NDArray[np.float64],
    room: NDArray[np.int64],
    most_later: NDArray[np.int64],
    price: NDArray[np.float64],
    limit: float,
    width: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Add one layer to partial selections: the ``width`` best sums with different bytes.

    States and options ascend by loss; sums are met in ascending order, from a heap. A sum is left
    out when it does not fit, or when with the price of the storage that must stay empty (layers to
    come use at most ``most_later``) it reaches ``limit``. Returns the state and the option of every
    sum, its bytes and its loss.
    """
    num_servers = room.shape[0]
    num_states, num_options = loss.shape[0], option_loss.shape[0]
    heap_sum = np.empty(num_states + 1)
    heap_state = np.empty(num_states + 1, np.int64)
    heap_option = np.empty(num_states + 1, np.int64)
    size = 16
    while size < 2 * width:
        size *= 2
    slots = np.full(size, -1, np.int64)
    out_used = np.empty((width, num_servers), np.int64)
    out_loss = np.empty(width)
    out_state = np.empty(width, np.int64)
    out_option = np.empty(width, np.int64)
    bytes_ = np.empty(num_servers, np.int64)
    count = 0
    heap_sum[0] = loss[0] + option_loss[0]
    heap_state[0] = 0
    heap_option[0] = 0
    heap_size = 1
    for _ in range(4 * width):
        if heap_size == 0 or count == width or heap_sum[0] >= limit:
            break
        i, j, total = heap_state[0], heap_option[0], heap_sum[0]
        if j + 1 < num_options:  # the next option of this state takes the place at the top
            heap_sum[0] = loss[i] + option_loss[j + 1]
            heap_option[0] = j + 1
        else:
            heap_size -= 1
            heap_sum[0] = heap_sum[heap_size]
            heap_state[0] = heap_state[heap_size]
            heap_option[0] = heap_option[heap_size]
        _sift_down(heap_sum, heap_state, heap_option, heap_size)
        if j == 0 and i + 1 < num_states:
            heap_sum[heap_size] = loss[i + 1] + option_loss[0]
            heap_state[heap_size] = i + 1
            heap_option[heap_size] = 0
            heap_size += 1
            _sift_up(heap_sum, heap_state, heap_option, heap_size - 1)
        is_free = True
        empty = 0.0
        for n in range(num_servers):
            bytes_[n] = used[i, n] + option_used[j, n]
            is_free = is_free and bytes_[n] <= room[n]
            empty += price[n] * max(0, room[n] - bytes_[n] - most_later[n])
        if not is_free or total + empty >= limit:
            continue
        slot, known = find(slots, out_used, bytes_)
        if known >= 0:
            continue
        slots[slot] = count
        out_used[count] = bytes_
        out_loss[count] = total
        out_state[count] = i
        out_option[count] = j
        count += 1
    return (
        out_state[:count].copy(),
        out_option[:count].copy(),
        out_used[:count].copy(),
        out_loss[:count].copy(),
    )


@njit(cache=True)
def _before(key: NDArray[np.float64], state: NDArray[np.int64], a: int, b: int) -> bool:
    """Order of the heap; ties go to the earlier state."""
    return bool(key[a] < key[b] or (key[a] == key[b] and state[a] < state[b]))


@njit(cache=True)
def _swap(
    key: NDArray[np.float64],
    state: NDArray[np.int64],
    option: NDArray[np.int64],
    a: int,
    b: int,
) -> None:
    key[a], key[b] = key[b], key[a]
    state[a], state[b] = state[b], state[a]
    option[a], option[b] = option[b], option[a]


@njit(cache=True)
def _sift_down(
    key: NDArray[np.float64], state: NDArray[np.int64], option: NDArray[np.int64], size: int
) -> None:
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _before(key, state, child + 1, child):
            child += 1
        if not _before(key, state, child, at):
            return
        _swap(key, state, option, child, at)
        at = child


@njit(cache=True)
def _sift_up(
    key: NDArray[np.float64], state: NDArray[np.int64], option: NDArray[np.int64], at: int
) -> None:
    while at > 0 and _before(key, state, at, (at - 1) // 2):
        _swap(key, state, option, at, (at - 1) // 2)
        at = (at - 1) // 2
