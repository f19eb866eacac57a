"""The same instance with its servers, users and rows in another order."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instances.errors import InputError
from instances.problem import Instance


def reordered(
    instance: Instance,
    *,
    servers: ArrayLike | None = None,
    users: ArrayLike | None = None,
    rows: ArrayLike | None = None,
) -> Instance:
    """Return an instance that differs in its order alone; names move along.

    Parameters
    ----------
    instance
        Any instance.
    servers, users, rows
        The old index of each new position, int (N,), (U,), (R,); None leaves the order as it is.

    Raises
    ------
    InputError
        When an order does not list every index once.
    """
    server_order = _order(servers, instance.num_servers, "servers")
    user_order = _order(users, instance.num_users, "users")
    row_order = _order(rows, instance.num_rows, "rows")
    user_at = np.empty_like(user_order)
    user_at[user_order] = np.arange(user_order.size)
    local = [_slice(instance.local_experts, instance.local_offsets, u) for u in user_order]
    chosen = [_slice(instance.demand_experts, instance.demand_offsets, d) for d in row_order]
    return dataclasses.replace(
        instance,
        server_names=tuple(instance.server_names[n] for n in server_order),
        capacity_bytes=instance.capacity_bytes[server_order],
        user_names=tuple(instance.user_names[u] for u in user_order),
        user_model=instance.user_model[user_order],
        latency_ms=instance.latency_ms[np.ix_(user_order, server_order)],
        cloud_latency_ms=instance.cloud_latency_ms[user_order],
        local_latency_ms=instance.local_latency_ms[user_order],
        local_offsets=np.cumsum([0, *map(len, local)]),
        local_experts=np.concatenate([*local, instance.local_experts[:0]]),
        demand_user=user_at[instance.demand_user[row_order]].astype(np.int32),
        demand_layer=instance.demand_layer[row_order],
        demand_rate=instance.demand_rate[row_order],
        demand_offsets=np.cumsum([0, *map(len, chosen)]),
        demand_experts=np.concatenate([*chosen, instance.demand_experts[:0]]),
    )


def _order(order: ArrayLike | None, count: int, field: str) -> NDArray[np.int64]:
    if order is None:
        return np.arange(count, dtype=np.int64)
    array = np.asarray(order, dtype=np.int64)
    if not np.array_equal(np.sort(array), np.arange(count)):
        raise InputError(field, f"{array.tolist()} does not list each of 0..{count - 1} once")
    return array


def _slice(
    values: NDArray[np.int32] | NDArray[np.int64], offsets: NDArray[np.int64], index: int
) -> NDArray[np.int32] | NDArray[np.int64]:
    return values[offsets[index] : offsets[index + 1]]
