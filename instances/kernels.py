"""Hot loops of the evaluator: arrays in, arrays out.

| symbol | meaning |
|---|---|
| copies, holders | CSR: servers that hold flat expert x |
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
def _fill(
    base: int,
    num_experts: int,
    first: int,
    cloud: float,
    local: float,
    near_ms: NDArray[np.float64],
    local_experts: NDArray[np.int64],
    copies: NDArray[np.int64],
    holders: NDArray[np.int64],
    time: NDArray[np.float64],
    empty_time: NDArray[np.float64],
) -> bool:
    """Fill in the times of one layer for one user; tell whether she holds experts of it herself."""
    for x in range(base, base + num_experts):
        best = cloud
        for h in range(copies[first + x], copies[first + x + 1]):
            best = min(best, near_ms[holders[h]])
        time[x] = best
        empty_time[x] = cloud
    begin = np.searchsorted(local_experts, base)
    end = np.searchsorted(local_experts, base + num_experts)
    for x in local_experts[begin:end]:
        time[x] = local
        empty_time[x] = local
    return bool(end > begin)


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
    copies: NDArray[np.int64],
    holders: NDArray[np.int64],
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
        if filled_for[g] != u:
            filled_for[g] = u
            has_local[g] = _fill(
                base,
                user_experts[u],
                user_first_expert[u],
                cloud,
                local_ms[u],
                latency_ms[u],
                local_experts[local_offsets[u] : local_offsets[u + 1]],
                copies,
                holders,
                time,
                empty_time,
            )
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
