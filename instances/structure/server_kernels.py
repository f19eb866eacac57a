"""Hot loops of the server subproblem: arrays in, arrays out.

| symbol | meaning |
|---|---|
| d, u, e | row, its user, expert of the layer |
| wait | wait[e]: how long the current user waits for an expert without the server, ms |
| floor | what a row waits at least: the server's latency, or that of an expert on the device |
| step | a set of experts and what the row gains as soon as the server stores all of them |
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_ON_DEVICE = -1.0
"""Stands for the wait for an expert on the device, which no server changes."""

_BATCH = 1 << 18
"""Most experts of the steps that may be found between two looks at how much room is left."""


@njit(cache=True)
def grouped(
    items: NDArray[np.int64], group_of: NDArray[np.int64], num_groups: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort items by group, those of a group in their order; also returns the groups' offsets."""
    offsets = np.zeros(num_groups + 1, np.int64)
    for position in range(items.shape[0]):
        offsets[group_of[items[position]] + 1] += 1
    for g in range(num_groups):
        offsets[g + 1] += offsets[g]
    cursor = offsets[:-1].copy()
    order = np.empty(items.shape[0], np.int64)
    for position in range(items.shape[0]):
        g = group_of[items[position]]
        order[cursor[g]] = items[position]
        cursor[g] += 1
    return order, offsets


@njit(cache=True)
def holders_of(
    stored: NDArray[np.bool_], server: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the other servers that store each expert, ascending; CSR, offsets first."""
    num_servers, num_experts = stored.shape
    offsets = np.zeros(num_experts + 1, np.int64)
    for n in range(num_servers):
        if n != server:
            for x in range(num_experts):
                offsets[x + 1] += stored[n, x]
    for x in range(num_experts):
        offsets[x + 1] += offsets[x]
    cursor = offsets[:-1].copy()
    holders = np.empty(offsets[num_experts], np.int64)
    for n in range(num_servers):
        if n != server:
            for x in range(num_experts):
                if stored[n, x]:
                    holders[cursor[x]] = n
                    cursor[x] += 1
    return offsets, holders


@njit(cache=True)
def rates_of_users(
    row_user: NDArray[np.int32],
    row_layer: NDArray[np.int32],
    row_offsets: NDArray[np.int64],
    row_experts: NDArray[np.int32],
    row_rate: NDArray[np.float64],
    user_experts: NDArray[np.int64],
    local_offsets: NDArray[np.int64],
    local_experts: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add up each user's rates, of rows without and of rows with experts on the device.

    Rows that need no other experts than those are left out.
    """
    num_users = user_experts.shape[0]
    without = np.zeros(num_users)
    some = np.zeros(num_users)
    for d in range(row_user.shape[0]):
        u = np.int64(row_user[d])
        local = local_experts[local_offsets[u] : local_offsets[u + 1]]
        if local.shape[0] == 0:
            without[u] += row_rate[d]
            continue
        count = 0
        for h in range(row_offsets[d], row_offsets[d + 1]):
            within = np.int64(row_layer[d]) * user_experts[u] + row_experts[h]
            rank = np.searchsorted(local, within)
            if rank < local.shape[0] and local[rank] == within:
                count += 1
        if count == 0:
            without[u] += row_rate[d]
        elif count < row_offsets[d + 1] - row_offsets[d]:
            some[u] += row_rate[d]
    return without, some


@njit(cache=True)
def _hashes(count: int) -> NDArray[np.uint64]:
    """Return well-mixed numbers (splitmix64); a set's hash is the sum of those of its members."""
    mixed = np.empty(count, np.uint64)
    for i in range(count):
        x = np.uint64(i + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed[i] = x ^ (x >> np.uint64(31))
    return mixed


class Demand(NamedTuple):
    """The rows of an instance, and how long its users wait; arrays as in ``Instance``."""

    row_user: NDArray[np.int32]
    row_offsets: NDArray[np.int64]
    row_experts: NDArray[np.int32]
    row_rate: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    cloud_ms: NDArray[np.float64]
    local_ms: NDArray[np.float64]
    local_offsets: NDArray[np.int64]
    local_experts: NDArray[np.int64]


class Steps(NamedTuple):
    """Steps of two experts and more, and a hash table of the sets that they need.

    With room for more: only as many are there as are counted beside it.
    """

    weight: NDArray[np.float64]
    offsets: NDArray[np.int64]
    bits: NDArray[np.int32]
    keys: NDArray[np.uint64]
    slots: NDArray[np.int32]


@njit(cache=True)
def _with_room(steps: Steps, count: int, more: int, more_bits: int) -> Steps:
    """Return the first ``count`` steps with room for so many more, and for so many experts."""
    weight, offsets, bits, keys, slots = steps
    if count + more > weight.shape[0]:
        size = 2 * (count + more)
        weight = _longer(weight, count, size)
        keys = _longer(keys, count, size)
        offsets = _longer(offsets, count + 1, size + 1)
    if 2 * (count + more) > slots.shape[0]:  # no larger: it should stay in the cache
        table = 16
        while table < 2 * (count + more):
            table *= 2
        slots = np.full(table, -1, np.int32)
        last = np.uint64(table - 1)
        for known in range(count):
            slot = keys[known] & last
            while slots[slot] >= 0:
                slot = (slot + np.uint64(1)) & last
            slots[slot] = known
    if offsets[count] + more_bits > bits.shape[0]:
        bits = _longer(bits, offsets[count], 2 * (offsets[count] + more_bits))
    return Steps(weight, offsets, bits, keys, slots)


@njit(cache=True)
def _longer(values: NDArray[Any], count: int, size: int) -> NDArray[Any]:
    """Return a longer array with the first ``count`` values."""
    longer = np.empty(size, values.dtype)
    longer[:count] = values[:count]
    return longer


@njit(cache=True)
def _equal(values: NDArray[np.int32], start: int, stop: int, other: int, other_stop: int) -> bool:
    """Tell whether two slices are equal."""
    same = stop - start == other_stop - other
    length = stop - start if same else 0
    for i in range(length):
        same &= values[start + i] == values[other + i]
    return same


@njit(cache=True, nogil=True)
def layer_steps(
    rows: NDArray[np.int64],
    demand: Demand,
    copies: NDArray[np.int64],
    holders: NDArray[np.int64],
    first_in_model: int,
    top_k: int,
    server: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """List the steps of one layer's rows that a server can gain; equal sets are one step.

    ``copies`` and ``holders`` are the other servers that store each expert of the layer (CSR),
    ``first_in_model`` is the layer's first expert among those of its model, no row has more than
    ``top_k`` experts. Returns the experts that steps need, ascending, and for each step its weight
    and the experts that it needs, as indices into that list (CSR): those that need one expert
    first, then the others as they appear.
    """
    num_experts = copies.shape[0] - 1
    hashes = _hashes(num_experts)
    alone = np.zeros(num_experts)
    wait = np.empty(num_experts)
    known_for = np.full(num_experts, -1, np.int64)
    most = min(top_k, demand.latency_ms.shape[1])  # different waits of a row above the floor
    steps = Steps(
        np.empty(0),
        np.zeros(1, np.int64),
        np.empty(0, np.int32),
        np.empty(0, np.uint64),
        np.empty(0, np.int32),
    )
    count = 0
    batch_rows = max(1, _BATCH // (most * top_k))
    for begin in range(0, rows.shape[0], batch_rows):
        batch = rows[begin : begin + batch_rows]
        most_steps = most * batch.shape[0]
        steps = _with_room(steps, count, most_steps, top_k * (most_steps + 1))
        count = _add_steps(
            batch,
            demand,
            copies,
            holders,
            first_in_model,
            top_k,
            server,
            hashes,
            wait,
            known_for,
            alone,
            steps,
            count,
        )
    end = steps.offsets[count]
    wanted, weight, offsets, bits = _with_singles(
        alone, steps.weight[:count], steps.offsets[: count + 1], steps.bits[:end]
    )
    return wanted, weight, offsets, bits


@njit(cache=True)
def _add_steps(
    rows: NDArray[np.int64],
    demand: Demand,
    copies: NDArray[np.int64],
    holders: NDArray[np.int64],
    first_in_model: int,
    top_k: int,
    server: int,
    hashes: NDArray[np.uint64],
    wait: NDArray[np.float64],
    known_for: NDArray[np.int64],
    alone: NDArray[np.float64],
    steps: Steps,
    count: int,
) -> int:
    """Add the steps of some rows to those of one expert and to the others; returns the new count.

    ``known_for[e]`` is the user for whom ``wait[e]`` holds. There must be room: an array that may
    grow inside the loop would cost more than everything else.
    """
    weight, offsets, bits, keys, slots = steps
    last_slot = np.uint64(slots.shape[0] - 1)
    needs = np.empty(top_k, np.int64)  # experts that the current row waits for, ascending
    waits = np.empty(top_k)
    user = np.int64(-1)
    for position in range(rows.shape[0]):
        d = rows[position]
        u = np.int64(demand.row_user[d])
        if u != user:
            user = u
            cloud = demand.cloud_ms[u]
            own_latency = demand.latency_ms[u, server]
            local = demand.local_experts[demand.local_offsets[u] : demand.local_offsets[u + 1]]
            begin = np.searchsorted(local, first_in_model)
            for h in range(begin, np.searchsorted(local, first_in_model + wait.shape[0])):
                e = local[h] - first_in_model
                wait[e] = _ON_DEVICE
                known_for[e] = u
        rate = demand.row_rate[d]
        if own_latency >= cloud or rate <= 0.0:
            continue
        floor = own_latency
        num_needs = 0
        longest = 0.0
        for h in range(demand.row_offsets[d], demand.row_offsets[d + 1]):
            e = np.int64(demand.row_experts[h])
            if known_for[e] != u:
                known_for[e] = u
                wait[e] = cloud
                for copy in range(copies[e], copies[e + 1]):
                    wait[e] = min(wait[e], demand.latency_ms[u, holders[copy]])
            if wait[e] > own_latency:
                place = num_needs
                while place > 0 and needs[place - 1] > e:  # most rows are ascending
                    waits[place] = waits[place - 1]
                    needs[place] = needs[place - 1]
                    place -= 1
                waits[place] = wait[e]
                needs[place] = e
                num_needs += 1
                longest = max(longest, wait[e])
            elif wait[e] == _ON_DEVICE:
                floor = max(floor, demand.local_ms[u])
        while longest > floor:
            start = offsets[count]
            end = start
            next_longest = floor
            key = np.uint64(0)
            for i in range(num_needs):
                if waits[i] >= longest:
                    bits[end] = needs[i]
                    key += hashes[needs[i]]
                    end += 1
                else:
                    next_longest = max(next_longest, waits[i])
            gain = rate * (longest - next_longest)
            longest = next_longest
            if end == start + 1:
                alone[bits[start]] += gain
                continue
            slot = key & last_slot
            known = slots[slot]
            while known >= 0:
                if keys[known] == key and _equal(
                    bits, offsets[known], offsets[known + 1], start, end
                ):
                    break
                slot = (slot + np.uint64(1)) & last_slot
                known = slots[slot]
            if known >= 0:
                weight[known] += gain
                continue
            weight[count] = gain
            keys[count] = key
            slots[slot] = count
            count += 1
            offsets[count] = end
    return count


@njit(cache=True, nogil=True)
def _with_singles(
    alone: NDArray[np.float64],
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """Put the steps of single experts in front, and number the experts that any step needs."""
    rank = np.zeros(alone.shape[0], np.int64)
    singles = 0
    for e in range(alone.shape[0]):
        if alone[e] > 0.0:
            rank[e] = 1
            singles += 1
    for h in range(bits.shape[0]):
        rank[bits[h]] = 1
    wanted = np.flatnonzero(rank)
    rank[wanted] = np.arange(wanted.shape[0])
    all_weights = np.empty(singles + weight.shape[0])
    all_offsets = np.empty(singles + weight.shape[0] + 1, np.int64)
    all_bits = np.empty(singles + bits.shape[0], np.int32)
    count = 0
    for e in range(alone.shape[0]):
        if alone[e] > 0.0:
            all_weights[count] = alone[e]
            all_bits[count] = rank[e]
            all_offsets[count] = count
            count += 1
    all_weights[count:] = weight
    all_offsets[count:] = singles + offsets
    for h in range(bits.shape[0]):
        all_bits[singles + h] = rank[bits[h]]
    return wanted, all_weights, all_offsets, all_bits
