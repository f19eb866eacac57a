"""Free storage of a plan: room for experts that are nowhere else."""

import numpy as np

from instances.placement import Placement
from instances.problem import Instance


def with_missing_experts(instance: Instance, placement: Placement) -> Placement:
    """Store experts that are on no server where room is left; a placement is never worse for it.

    What a trace never used may be used tomorrow, and serving systems want each expert somewhere.
    Those that are used most come first, each to the server with most room.
    """
    lengths = np.diff(instance.demand_offsets)
    model = instance.user_model[instance.demand_user]
    layer = instance.model_layer_offset[model] + instance.demand_layer
    expert = np.repeat(instance.layer_expert_offset[layer], lengths) + instance.demand_experts
    used = np.zeros(instance.num_experts)
    np.add.at(used, expert, np.repeat(instance.demand_rate, lengths))
    missing = np.flatnonzero(~placement.stored.any(axis=0))
    stored = placement.stored.copy()
    room = instance.capacity_bytes - placement.used_bytes(instance)
    for x in missing[np.argsort(-used[missing], kind="stable")].tolist():
        server = int(room.argmax())
        if instance.expert_bytes[x] <= room[server]:
            stored[server, x] = True
            room[server] -= instance.expert_bytes[x]
    return Placement(stored)
