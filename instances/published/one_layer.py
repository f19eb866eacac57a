"""Knapsacks as placement problems: one server, one layer, a saving of 1 ms for each unit of profit.

The server answers at once and the cloud after 1 ms, so a row that the server holds in full saves
its rate, and the saving is the profit. What is packed is an expert, its weight is its size.
"""

import numpy as np
from numpy.typing import NDArray

from instances.model import Model
from instances.problem import Instance

SERVER, USER = "knapsack", "owner"
CLOUD_MS, SERVER_MS = 1.0, 0.0


def one_layer(
    name: str,
    *,
    sizes: NDArray[np.int64],
    capacity: int,
    offsets: NDArray[np.int64],
    experts: NDArray[np.int64],
    profits: NDArray[np.int64] | NDArray[np.float64],
) -> Instance:
    """Make the instance whose saving, in ms per token, is the profit of what the server holds.

    Parameters
    ----------
    name
        Name of the instance.
    sizes
        Size of each expert, bytes, >= 1; (E,).
    capacity
        What the server can hold, bytes.
    offsets, experts
        Experts ``experts[offsets[d]:offsets[d + 1]]`` together earn ``profits[d]``; (D + 1,),
        (any,), (D,). A profit of 0 gives no row: nothing is lost without it.
    profits
        All >= 0.

    Raises
    ------
    InputError
        When the problem has numbers that no placement problem can have.
    """
    earning = profits > 0
    lengths = np.diff(offsets)
    kept = experts[np.repeat(earning, lengths)]
    lengths = lengths[earning]
    num_rows = lengths.size
    model = Model(
        name="items", expert_bytes=sizes[None, :], top_k=max(int(lengths.max(initial=1)), 1)
    )
    return Instance(
        name=name,
        models=(model,),
        server_names=(SERVER,),
        capacity_bytes=np.array([capacity]),
        user_names=(USER,),
        user_model=np.zeros(1, dtype=np.int64),
        latency_ms=np.full((1, 1), SERVER_MS),
        cloud_latency_ms=np.full(1, CLOUD_MS),
        local_latency_ms=np.zeros(1),
        local_offsets=np.zeros(2, dtype=np.int64),
        local_experts=np.zeros(0, dtype=np.int64),
        demand_user=np.zeros(num_rows, dtype=np.int32),
        demand_layer=np.zeros(num_rows, dtype=np.int32),
        demand_offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        demand_experts=kept.astype(np.int32),
        demand_rate=profits[earning].astype(np.float64),
    )
