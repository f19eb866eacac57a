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

    ``rows`` lists the rows grouped by user. Both are summed row by row from terms that are not
    negative, so that each keeps its relative accuracy when it is small against the other.
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
    widest = 0
    for v in range(num_users):
        widest = max(widest, user_num_experts[v])
    time = np.empty(widest)
    empty_time = np.empty(widest)
    current = np.int64(-1)
    for position in range(rows.shape[0]):
        d = rows[position]
        u = np.int64(row_user[d])
        if u != current:
            current = u
            first = user_first_expert[u]
            for x in range(user_num_experts[u]):
                best = cloud_ms[u]
                for h in range(copies[first + x], copies[first + x + 1]):
                    best = min(best, latency_ms[u, holders[h]])
                time[x] = best
                empty_time[x] = cloud_ms[u]
            for h in range(local_offsets[u], local_offsets[u + 1]):
                time[local_experts[h]] = local_ms[u]
                empty_time[local_experts[h]] = local_ms[u]
        base = np.int64(row_layer[d]) * user_experts[u]
        wait = 0.0
        empty_wait = 0.0
        for h in range(row_offsets[d], row_offsets[d + 1]):
            expert = base + row_experts[h]
            wait = max(wait, time[expert])
            empty_wait = max(empty_wait, empty_time[expert])
        g = user_first_layer[u] + row_layer[d]
        latency_part = row_rate[d] * wait
        saved_part = row_rate[d] * (empty_wait - wait)
        add(user_latency, user_latency_carry, u, latency_part)
        add(user_saving, user_saving_carry, u, saved_part)
        add(layer_latency, layer_latency_carry, g, latency_part)
        add(layer_saving, layer_saving_carry, g, saved_part)
    return (
        user_latency + user_latency_carry,
        user_saving + user_saving_carry,
        layer_latency + layer_latency_carry,
        layer_saving + layer_saving_carry,
    )
