"""One server after the other stores what gains most, given the rest: quick placements."""

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.structure.server_problem import LayerRows, best_response, servers_by_worth
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
    stored = stored.copy()
    for server in servers_by_worth(rows.instance):
        found = best_response(
            rows, stored, server, hull_curves, deadline, num_bins=_BINS, threads=threads
        )
        if deadline.passed:
            break
        stored[server] = found
    return stored
