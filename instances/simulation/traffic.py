"""Traffic: the demand of an instance replaced by that of a trace."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from instances.demand import merge_choices
from instances.problem import Instance
from instances.simulation.tokens import check_grouping
from instances.traces import Routes


def with_traffic(
    instance: Instance,
    routes: Routes,
    grouping: NDArray[np.int64] | None = None,
    *,
    name: str | None = None,
) -> Instance:
    """Return an instance with the same network and models, and the demand of a trace.

    Every token of the trace counts alike, so T(X) is the mean latency of a token of the trace.

    Parameters
    ----------
    instance
        Where everything but the demand comes from.
    routes
        The trace.
    grouping
        User of each request, int64 (R,); None deals them out in turn.
    name
        Name of the new instance; None keeps the old one.

    Raises
    ------
    InputError
        When the trace does not fit the instance.
    """
    grouping = check_grouping(instance, routes, grouping)
    demand = merge_choices(
        routes.experts,
        np.repeat(grouping, np.diff(routes.offsets)),
        np.full(instance.num_users, 1 / routes.num_tokens),
    )
    return replace(
        instance,
        name=instance.name if name is None else name,
        demand_user=demand.user,
        demand_layer=demand.layer,
        demand_offsets=demand.offsets,
        demand_experts=demand.experts,
        demand_rate=demand.rate,
    )
