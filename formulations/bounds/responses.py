"""One server after the other stores what gains most, given the rest: quick placements."""

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.problem import Instance
from instances.structure.clauses import Clauses
from instances.structure.curves import Curve, add_all
from instances.structure.tables import hull_curves, layer_part, residual_of

_BINS = 1024
"""Bins of bytes to which long lists of unequal sizes are thinned."""


def respond_in_turn(
    instance: Instance, clauses: Clauses, stored: NDArray[np.bool_], deadline: Deadline
) -> NDArray[np.bool_]:
    """Re-solve each server once, those first whose clauses are worth most; bool (N, X).

    A server takes the best combination of its layers' concave hulls and the sets between them. When
    time is up the other servers keep what they have.
    """
    stored = stored.copy()
    worth = np.bincount(
        clauses.server_set, weights=clauses.weight, minlength=clauses.server_sets.shape[0]
    )
    for server in np.argsort(-(worth @ clauses.server_sets), kind="stable").tolist():
        capacity = int(instance.capacity_bytes[server])
        part = residual_of(clauses, stored, server)
        curves: list[Curve] = []
        for layer in range(instance.num_layers):
            if deadline.passed:
                return stored
            curves += hull_curves(layer_part(part, layer, instance.expert_bytes), capacity)
        total = add_all(curves, capacity, deadline, num_bins=_BINS)
        stored[server] = False
        for experts in total.choices(len(total) - 1):
            stored[server, experts] = True
    return stored
