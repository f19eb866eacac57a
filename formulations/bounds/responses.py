"""One server after the other stores what gains most, given the rest: quick placements."""

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.parallel import mapped
from instances.structure.curves import Curve, add_all
from instances.structure.server_problem import LayerRows, ServerProblem, servers_by_worth
from instances.structure.tables import hull_curves

_BINS = 1024
"""Bins of bytes to which long lists of unequal sizes are thinned."""


def respond_in_turn(
    rows: LayerRows, stored: NDArray[np.bool_], deadline: Deadline, threads: int
) -> NDArray[np.bool_]:
    """Re-solve each server once, those first that would gain most alone; bool (N, X).

    A server takes the best combination of its layers' concave hulls and the sets between them. When
    time is up the other servers keep what they have.
    """
    instance = rows.instance
    stored = stored.copy()
    for server in servers_by_worth(instance):
        capacity = int(instance.capacity_bytes[server])
        problem = ServerProblem(rows, stored, server)

        def curves_of(
            layer: int, problem: ServerProblem = problem, capacity: int = capacity
        ) -> list[Curve]:
            return [] if deadline.passed else hull_curves(problem.layer(layer), capacity)

        found = mapped(curves_of, range(instance.num_layers), threads)
        if deadline.passed:
            break
        curves = [curve for of_layer in found for curve in of_layer]
        total = add_all(curves, capacity, deadline, num_bins=_BINS)
        stored[server] = False
        for experts in total.choices(len(total) - 1):
            stored[server, experts] = True
    return stored
