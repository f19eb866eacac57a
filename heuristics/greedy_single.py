"""Greedy where every row has one expert: on the rows themselves, without clauses."""

import numpy as np
from numpy.typing import NDArray

from heuristics.greedy_single_kernels import (
    LANES,
    Rows,
    Servers,
    full_heap,
    rows_by_expert,
    single_steps,
)
from instances.deadline import Deadline
from instances.problem import Instance

_PICKS_BETWEEN_LOOKS = 4096
"""Experts stored between two looks at the clock."""


def has_single_experts(instance: Instance) -> bool:
    """Tell whether every row has one expert, whatever the ``top_k`` of its model."""
    return instance.demand_experts.size == instance.num_rows


def single_picks(
    instance: Instance, *, most: int | None = None, deadline: Deadline | None = None
) -> NDArray[np.int64]:
    """Return the (server, expert) pairs that greedy stores, in its order.

    Each has the largest marginal gain per byte of those that fit; ties go to the server, then the
    expert, with the lower index. Needs one expert in every row (:func:`has_single_experts`).

    Time O(N R + X log X) for R rows, N servers and X experts, and O(N) for each row of the expert
    that is stored. Memory 24 bytes a row.

    Parameters
    ----------
    most
        Stop after so many picks; None for no limit but storage.
    deadline
        Stop when it has passed.

    Returns
    -------
    NDArray[np.int64]
        Server and flat expert of each pick; int64 (picks, 2).
    """
    sizes = np.array([(m.experts, m.layers * m.experts) for m in instance.models], dtype=np.int64)
    rows = Rows(
        *rows_by_expert(
            instance.demand_user,
            instance.demand_layer,
            instance.demand_experts,
            instance.demand_rate,
            instance.model_expert_offset[instance.user_model],
            sizes[instance.user_model, 0],
            instance.local_offsets,
            instance.local_experts,
            instance.cloud_latency_ms,
            instance.num_experts,
        )
    )
    padded = np.full((instance.num_users, -(-instance.num_servers // LANES) * LANES), np.inf)
    padded[:, : instance.num_servers] = instance.latency_ms
    servers = Servers(padded, instance.capacity_bytes.copy(), instance.expert_bytes)
    heap = full_heap(rows, servers)
    size, num_picks = heap.key.size, 0
    possible = instance.num_servers * size
    picks = np.empty(possible if most is None else min(most, possible), dtype=np.int64)
    while size and num_picks < picks.size and not (deadline is not None and deadline.passed):
        until = min(num_picks + _PICKS_BETWEEN_LOOKS, picks.size)
        num_picks, size = single_steps(picks[:until], num_picks, size, heap, rows, servers)
    return np.stack(np.divmod(picks[:num_picks], instance.num_experts), axis=1)
