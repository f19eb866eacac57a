"""A sample of the demand rows, to try out many placements before all rows are read again."""

from dataclasses import replace

import numpy as np

from instances.problem import Instance
from instances.structure.kernels import gathered


def sampled(instance: Instance, count: int, rng: np.random.Generator) -> Instance:
    """Return the instance with about ``count`` rows in place of all, rates so that savings agree.

    Systematic sampling: a row is drawn in proportion to the most that it could save, its rate times
    what its user's fastest server is ahead of the cloud. So for every placement the expected saving
    is the true one, rows that no server can help are left out, and a row that is worth more than
    one draw comes with as much weight as draws fell on it.

    Time and memory are linear in the rows: 16 bytes each.
    """
    fastest = instance.latency_ms.min(axis=1)
    ahead = np.maximum(instance.cloud_latency_ms - fastest, 0.0)
    ends = ahead[instance.demand_user]
    ends *= instance.demand_rate
    np.cumsum(ends, out=ends)
    total = float(ends[-1]) if ends.size else 0.0
    step = total / count
    drawn = np.empty(0, dtype=np.int64)
    if step > 0.0:
        marks = (np.arange(count) + rng.random()) * step
        drawn = np.searchsorted(ends, marks[marks < total], side="right")
    rows, times = np.unique(drawn, return_counts=True)
    first = instance.demand_offsets[rows]
    lengths = instance.demand_offsets[rows + 1] - first
    offsets, experts = gathered(instance.demand_experts, first, lengths)
    users = instance.demand_user[rows]
    return replace(
        instance,
        demand_user=users,
        demand_layer=instance.demand_layer[rows],
        demand_rate=times * (step / ahead[users]),
        demand_offsets=offsets,
        demand_experts=experts,
    )
