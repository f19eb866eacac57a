"""The server subproblem (P3), straight from the demand rows: one server, the others as they are.

A row that waits for several experts gains in steps: each step down to the next faster expert needs
all slower ones on the server. So no clause of the whole instance has to be kept: rows are read
layer by layer, and a layer's steps are merged by the experts that they need (docs/theory.md,
section 3).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.parallel import mapped
from instances.problem import Instance
from instances.structure.curves import Curve, add_all
from instances.structure.server_kernels import (
    Demand,
    grouped,
    holders_of,
    layer_steps,
    rates_of_users,
)
from instances.structure.tables import LayerPart

CurvesOf = Callable[[LayerPart, int], list[Curve]]
"""What storage up to a capacity buys in one layer, as curves to be added."""


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


def best_response(
    rows: LayerRows,
    stored: NDArray[np.bool_],
    server: int,
    curves_of: CurvesOf,
    deadline: Deadline,
    *,
    num_bins: int | None = None,
    threads: int = 1,
) -> NDArray[np.bool_]:
    """Return the experts that gain most on one server while the others stay as they are; bool (X,).

    As exact as the curves are; ``num_bins`` as in :func:`~instances.structure.curves.add`. When
    time is up, layers that were not reached are left out.
    """
    instance = rows.instance
    capacity = int(instance.capacity_bytes[server])
    problem = ServerProblem(rows, stored, server)

    def curves_of_layer(layer: int) -> list[Curve]:
        if deadline.passed:
            return []
        return curves_of(problem.layer(layer), capacity)

    curves = chain.from_iterable(mapped(curves_of_layer, range(instance.num_layers), threads))
    total = add_all(list(curves), capacity, deadline, num_bins=num_bins)
    chosen = np.zeros(instance.num_experts, dtype=np.bool_)
    for experts in total.choices(len(total) - 1):
        chosen[experts] = True
    return chosen


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
    saved, saved_behind_local = savings_against_cloud(instance)
    worth = free @ saved
    worth += held_back @ saved_behind_local
    return [int(n) for n in np.argsort(-worth, kind="stable")]


def savings_against_cloud(instance: Instance) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each server saves each user against the cloud, ms; twice float64 (U, N).

    The second is for rows that wait for an expert on the device, too.
    """
    cloud, local = instance.cloud_latency_ms[:, None], instance.local_latency_ms[:, None]
    reached = np.minimum(instance.latency_ms, cloud)
    return cloud - reached, np.maximum(cloud, local) - np.maximum(reached, local)
