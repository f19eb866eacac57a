"""The evaluator: latency, saving and feasibility of a placement, fast.

The judge of every result. :mod:`instances.checker` repeats the work in rational arithmetic.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.kernels import split_latency
from instances.placement import Placement
from instances.problem import Instance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What a placement is worth.

    Parameters
    ----------
    latency_ms
        T(X), mean latency per token over the demand, ms.
    saving_ms
        F(X) = T(empty) - T(X), ms per token.
    empty_latency_ms
        T(empty): every expert that is not local comes from the cloud, ms.
    user_latency_ms, user_saving_ms
        The same split by user; float64 (U,).
    layer_latency_ms, layer_saving_ms
        The same split by global layer; float64 (G,).
    used_bytes
        Bytes stored on each server; int64 (N,).
    feasible
        No server stores more than its capacity.
    """

    latency_ms: float
    saving_ms: float
    empty_latency_ms: float
    user_latency_ms: NDArray[np.float64]
    user_saving_ms: NDArray[np.float64]
    layer_latency_ms: NDArray[np.float64]
    layer_saving_ms: NDArray[np.float64]
    used_bytes: NDArray[np.int64]
    feasible: bool


def evaluate(instance: Instance, placement: Placement) -> Evaluation:
    """Evaluate a placement in one pass over the demand rows.

    Latency and saving are summed row by row with compensation, so the relative error of either
    stays near machine precision however small it is against the other.

    Raises
    ------
    InputError
        When the placement does not have the shape of the instance.
    """
    used_bytes = placement.used_bytes(instance)
    expert_set, holders = _holders(placement.stored)
    sets, servers = np.nonzero(holders.T)
    set_offsets = np.searchsorted(sets, np.arange(holders.shape[1] + 1)).astype(np.int64)
    sizes = np.array([(m.experts, m.layers * m.experts) for m in instance.models], dtype=np.int64)
    user_experts, user_num_experts = sizes[instance.user_model].T
    user_latency, user_saving, layer_latency, layer_saving = split_latency(
        rows_by_user(instance),
        instance.demand_user,
        instance.demand_layer,
        instance.demand_offsets,
        instance.demand_experts,
        instance.demand_rate,
        np.ascontiguousarray(user_experts),
        instance.model_expert_offset[instance.user_model],
        np.ascontiguousarray(user_num_experts),
        instance.model_layer_offset[instance.user_model],
        instance.latency_ms,
        instance.cloud_latency_ms,
        instance.local_latency_ms,
        instance.local_offsets,
        instance.local_experts,
        expert_set.astype(np.int32),
        set_offsets,
        servers.astype(np.int64),
        instance.num_layers,
    )
    return Evaluation(
        latency_ms=math.fsum(user_latency),
        saving_ms=math.fsum(user_saving),
        empty_latency_ms=math.fsum([*user_latency, *user_saving]),
        user_latency_ms=user_latency,
        user_saving_ms=user_saving,
        layer_latency_ms=layer_latency,
        layer_saving_ms=layer_saving,
        used_bytes=used_bytes,
        feasible=bool(np.all(used_bytes <= instance.capacity_bytes)),
    )


def _holders(stored: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return which set of servers holds each expert, int64 (X,), and these sets, bool (N, sets).

    There are far fewer of them than experts: as many as combinations of servers that occur. Sets
    of one size follow each other, so that the kernel's loops over them are of one length.
    """
    kind = np.zeros(stored.shape[1], dtype=np.int64)
    first = kind[:1]
    for eight_servers in np.packbits(stored, axis=0):
        _, first, kind = np.unique(
            kind * 256 + eight_servers, return_index=True, return_inverse=True
        )
    order = np.argsort(stored[:, first].sum(axis=0), kind="stable")
    return np.argsort(order)[kind], stored[:, first[order]]


def rows_by_user(instance: Instance) -> NDArray[np.int64]:
    """Return the indices of the demand rows grouped by user, in their order within a user.

    Empty when they are grouped by user as they stand: most are, and there may be many.
    """
    users = instance.demand_user
    if bool(np.all(users[1:] >= users[:-1])):
        return np.empty(0, dtype=np.int64)
    return np.argsort(users, kind="stable").astype(np.int64)
