"""Hot loops of the evaluator: arrays in, arrays out.

| symbol | meaning |
|---|---|
| expert_set | which of the different sets of servers holds flat expert x |
| set_offsets, set_servers | CSR: the servers of a set |
| reach | reach[s]: what the current user waits for an expert that set s holds, ms |
| time | time[x]: what the current user waits for expert x of her model, ms |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def add(sums: NDArray[np.float64], carry: NDArray[np.float64], i: int, value: float) -> None:
    """Add to a running sum with Neumaier's compensation."""
    old = sums[i]
    new = old + value
    if abs(old) >= abs(value):
        carry[i] += (old - new) + value
    else:
        carry[i] += (value - new) + old
    sums[i] = new


@njit(cache=True)
def _reach(
    u: int,
    latency_ms: NDArray[np.float64],
    cloud_ms: NDArray[np.float64],
    set_offsets: NDArray[np.int64],
    set_servers: NDArray[np.int64],
    reach: NDArray[np.float64],
) -> None:
    """Fill in what a user waits for an expert that a set of servers, or the cloud, has."""
    for s in range(reach.shape[0]):
        best = cloud_ms[u]
        for h in range(set_offsets[s], set_offsets[s + 1]):
            best = min(best, latency_ms[u, set_servers[h]])
        reach[s] = best


@njit(cache=True)
def _first_at_least(values: NDArray[np.int64], begin: int, end: int, limit: int) -> int:
    """Return the first place of an ascending stretch that holds at least ``limit``, or its end."""
    while begin < end:
        middle = (begin + end) // 2
        if values[middle] < limit:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(cache=True)
def split_latency(
    rows: NDArray[np.int64],
    row_user: NDArray[np.int32],
    row_layer: NDArray[np.int32],
    row_offsets: NDArray[np.int64],
    row_experts: NDArray[np.int32],
    row_rate: NDArray[np.float64],
    user_experts: NDArray[np.int64],
    user_first_expert: NDArray[np.int64],
    user_num_experts: NDArray[np.int64],
    user_first_layer: NDArray[np.int64],
    latency_ms: NDArray[np.float64],
    cloud_ms: NDArray[np.float64],
    local_ms: NDArray[np.float64],
    local_offsets: NDArray[np.int64],
    local_experts: NDArray[np.int64],
    expert_set: NDArray[np.int32],
    set_offsets: NDArray[np.int64],
    set_servers: NDArray[np.int64],
    num_layers: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum the latency and the saving, by user and by layer.

    ``rows`` lists the rows grouped by user; empty, they are so already. Both are summed row by row
    from terms that are not negative, so that each keeps its relative accuracy when it is small
    against the other. While user and layer stay the same, the sums and what their roundings lost
    (Knuth's exact sum of two) stay in registers. Indices without a sign spare the test for those
    that count from the end, a third of the time.
    """
    num_users = cloud_ms.shape[0]
    user_latency = np.zeros(num_users)
    user_saving = np.zeros(num_users)
    layer_latency = np.zeros(num_layers)
    layer_saving = np.zeros(num_layers)
    user_latency_carry = np.zeros(num_users)
    user_saving_carry = np.zeros(num_users)
    layer_latency_carry = np.zeros(num_layers)
    layer_saving_carry = np.zeros(num_layers)
    widest = np.int64(0)
    for v in range(num_users):
        widest = max(widest, user_num_experts[v])
    time = np.empty(widest)
    empty_time = np.empty(widest)
    reach = np.empty(set_offsets.shape[0] - 1)
    reach_of = np.int64(-1)  # user whose times they are
    filled_for = np.full(num_layers, -1, dtype=np.int64)  # user whose times a layer has
    has_local = np.zeros(num_layers, dtype=np.bool_)
    num_rows = row_rate.shape[0]
    grouped = rows.shape[0] == 0
    position = np.int64(0)
    while position < num_rows:
        first_row = position if grouped else rows[position]
        u = np.int64(row_user[first_row])
        layer = np.int64(row_layer[first_row])
        g = user_first_layer[u] + layer
        base = layer * user_experts[u]
        cloud = cloud_ms[u]
        if reach_of != u:
            reach_of = u
            _reach(u, latency_ms, cloud_ms, set_offsets, set_servers, reach)
        if filled_for[g] != u:
            filled_for[g] = u
            first = user_first_expert[u] + base
            for e in range(user_experts[u]):
                time[base + e] = reach[np.uint64(expert_set[np.uint64(first + e)])]
            begin, end = local_offsets[u], local_offsets[u + 1]
            begin = _first_at_least(local_experts, begin, end, base)
            end = _first_at_least(local_experts, begin, end, base + user_experts[u])
            has_local[g] = end > begin
            if end > begin:
                for e in range(user_experts[u]):
                    empty_time[base + e] = cloud
                for h in range(begin, end):
                    time[local_experts[h]] = local_ms[u]
                    empty_time[local_experts[h]] = local_ms[u]
        local = has_local[g]
        latency = 0.0
        latency_lost = 0.0
        saving = 0.0
        saving_lost = 0.0
        d = first_row
        while True:
            wait = 0.0
            begin = row_offsets[np.uint64(d)]
            end = row_offsets[np.uint64(d + 1)]
            for h in range(begin, end):
                wait = max(wait, time[np.uint64(base + row_experts[np.uint64(h)])])
            empty_wait = cloud
            if local:
                empty_wait = 0.0
                for h in range(begin, end):
                    expert = np.uint64(base + row_experts[np.uint64(h)])
                    empty_wait = max(empty_wait, empty_time[expert])
            rate = row_rate[np.uint64(d)]
            part = rate * wait
            new = latency + part
            rounded = new - latency
            latency_lost += (latency - (new - rounded)) + (part - rounded)
            latency = new
            part = rate * (empty_wait - wait)
            new = saving + part
            rounded = new - saving
            saving_lost += (saving - (new - rounded)) + (part - rounded)
            saving = new
            position += 1
            if position == num_rows:
                break
            d = position if grouped else rows[position]
            if row_user[np.uint64(d)] != u or row_layer[np.uint64(d)] != layer:
                break
        add(user_latency, user_latency_carry, u, latency)
        add(user_saving, user_saving_carry, u, saving)
        add(layer_latency, layer_latency_carry, g, latency)
        add(layer_saving, layer_saving_carry, g, saving)
        user_latency_carry[u] += latency_lost
        user_saving_carry[u] += saving_lost
        layer_latency_carry[g] += latency_lost
        layer_saving_carry[g] += saving_lost
    return (
        user_latency + user_latency_carry,
        user_saving + user_saving_carry,
        layer_latency + layer_latency_carry,
        layer_saving + layer_saving_carry,
    )
