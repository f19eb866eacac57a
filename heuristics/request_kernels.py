"""Hot loop of the baselines: one pass over the rows, arrays in, arrays out.

| symbol | meaning |
|---|---|
| d, u, e | row, its user, expert of its layer |
| asked, asked_local | rate of the rows that ask for an expert: without, with one on the device |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def weigh_requests(
    order: NDArray[np.int64],
    layer_offset: NDArray[np.int64],
    row_user: NDArray[np.int32],
    row_offsets: NDArray[np.int64],
    row_experts: NDArray[np.int32],
    row_rate: NDArray[np.float64],
    local_offsets: NDArray[np.int64],
    local_experts: NDArray[np.int64],
    layer_expert_offset: NDArray[np.int64],
    layer_first_in_model: NDArray[np.int64],
    worth: NDArray[np.float64],
    worth_local: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum rate times worth over all rows that ask for an expert, for every column of worth.

    ``order`` has the rows grouped by layer and then by user. ``worth`` is what a request of a user
    counts, ``worth_local`` the same in rows with an expert on the device, both (U, N); requests for
    experts on the device do not count. Returns (N, X).
    """
    num_columns = worth.shape[1]
    num_layers = layer_offset.shape[0] - 1
    total = np.zeros((num_columns, layer_expert_offset[num_layers]))
    widest = 0
    for g in range(num_layers):
        widest = max(widest, layer_expert_offset[g + 1] - layer_expert_offset[g])
    asked = np.zeros(widest)
    asked_local = np.zeros(widest)
    on_device = np.zeros(widest, np.bool_)
    listed = np.zeros(widest, np.bool_)
    touched = np.empty(widest, np.int64)
    for g in range(num_layers):
        first = layer_expert_offset[g]
        num_experts = layer_expert_offset[g + 1] - first
        position = layer_offset[g]
        while position < layer_offset[g + 1]:
            u = np.int64(row_user[order[position]])
            local = local_experts[local_offsets[u] : local_offsets[u + 1]]
            begin = np.searchsorted(local, layer_first_in_model[g])
            end = np.searchsorted(local, layer_first_in_model[g] + num_experts)
            for h in range(begin, end):
                on_device[local[h] - layer_first_in_model[g]] = True
            count = 0
            while position < layer_offset[g + 1] and row_user[order[position]] == u:
                d = order[position]
                position += 1
                has_local = False
                if end > begin:
                    for h in range(row_offsets[d], row_offsets[d + 1]):
                        has_local |= on_device[row_experts[h]]
                for h in range(row_offsets[d], row_offsets[d + 1]):
                    e = np.int64(row_experts[h])
                    if not listed[e]:
                        listed[e] = True
                        touched[count] = e
                        count += 1
                    if has_local:
                        asked_local[e] += row_rate[d]
                    else:
                        asked[e] += row_rate[d]
            for i in range(count):
                e = touched[i]
                if not on_device[e]:
                    for n in range(num_columns):
                        part = asked[e] * worth[u, n] + asked_local[e] * worth_local[u, n]
                        total[n, first + e] += part
                asked[e] = 0.0
                asked_local[e] = 0.0
                listed[e] = False
            for h in range(begin, end):
                on_device[local[h] - layer_first_in_model[g]] = False
    return total
