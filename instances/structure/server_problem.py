"""The server subproblem (P3), straight from the demand rows: one server, the others as they are.

A row that waits for several experts gains in steps: each step down to the next faster expert needs
all slower ones on the server. So no clause of the whole instance has to be kept: rows are read
layer by layer, and a layer's steps are merged by the experts that they need (docs/theory.md,
section 3).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.problem import Instance
from instances.structure.server_kernels import (
    Demand,
    grouped,
    holders_of,
    layer_steps,
    rates_of_users,
)
from instances.structure.tables import LayerPart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerRows:
    """The demand rows of an instance, grouped by layer and within a layer by user.

    Parameters
    ----------
    instance
        The instance.
    order
        Its rows in this order; int64 (R,).
    layer_offset
        Rows of global layer g: ``order[layer_offset[g] : layer_offset[g + 1]]``; int64 (G + 1,).
    """

    instance: Instance
    order: NDArray[np.int64]
    layer_offset: NDArray[np.int64]

    @classmethod
    def of(cls, instance: Instance) -> "LayerRows":
        """Group the rows of an instance, in time linear in rows, users and layers."""
        users = instance.demand_user
        by_user, _ = grouped(np.arange(users.size), users, instance.num_users)
        layer = instance.model_layer_offset[instance.user_model][users] + instance.demand_layer
        order, layer_offset = grouped(by_user, layer, instance.num_layers)
        return cls(instance=instance, order=order, layer_offset=layer_offset)


class ServerProblem:
    """What one server can gain, layer by layer, when the others store what they do.

    Parameters
    ----------
    rows
        The demand, grouped.
    stored
        What every server stores; that of the server itself is ignored; bool (N, X).
    server
        Index of the server.
    """

    def __init__(self, rows: LayerRows, stored: NDArray[np.bool_], server: int) -> None:
        instance = rows.instance
        self.rows = rows
        self.demand = Demand(
            row_user=instance.demand_user,
            row_offsets=instance.demand_offsets,
            row_experts=instance.demand_experts,
            row_rate=instance.demand_rate,
            latency_ms=instance.latency_ms,
            cloud_ms=instance.cloud_latency_ms,
            local_ms=instance.local_latency_ms,
            local_offsets=instance.local_offsets,
            local_experts=instance.local_experts,
        )
        self.server = server
        self.copies, self.holders = holders_of(np.ascontiguousarray(stored), server)

    def layer(self, layer: int) -> LayerPart:
        """Return the steps of one layer that the server can gain, by the experts they need."""
        rows, instance = self.rows, self.rows.instance
        experts = instance.layer_experts(layer)
        model = int(instance.layer_model[layer])
        wanted, weight, offsets, bits = layer_steps(
            rows.order[rows.layer_offset[layer] : rows.layer_offset[layer + 1]],
            self.demand,
            self.copies[experts.start : experts.stop + 1],
            self.holders,
            experts.start - int(instance.model_expert_offset[model]),
            instance.models[model].top_k,
            self.server,
        )
        wanted += experts.start
        return LayerPart(
            wanted=wanted,
            sizes=instance.expert_bytes[wanted],
            weight=weight,
            offsets=offsets,
            bits=bits,
        )


def servers_by_worth(instance: Instance) -> list[int]:
    """Return server indices, those first that would gain most if they alone stored everything."""
    free, held_back = rates_of_users(
        instance.demand_user,
        instance.demand_layer,
        instance.demand_offsets,
        instance.demand_experts,
        instance.demand_rate,
        np.array([model.experts for model in instance.models])[instance.user_model],
        instance.local_offsets,
        instance.local_experts,
    )
    cloud, local = instance.cloud_latency_ms[:, None], instance.local_latency_ms[:, None]
    reached = np.minimum(instance.latency_ms, cloud)
    worth = free @ (cloud - reached)
    worth += held_back @ (np.maximum(cloud, local) - np.maximum(reached, local))
    return [int(n) for n in np.argsort(-worth, kind="stable")]
