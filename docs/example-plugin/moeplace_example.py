"""A heuristic in a package of its own."""

import numpy as np

from instances.placement import Placement
from instances.registry import Algorithm
from instances.structure.clauses import build_clauses


def together(instance, *, rng, time_limit=None):
    """Take what is worth most first, and store its experts together on a server with room."""
    clauses = build_clauses(instance)
    fastest = np.argsort(instance.latency_ms.mean(axis=0), kind="stable")
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    for clause in np.argsort(-clauses.weight, kind="stable"):
        begin, end = clauses.itemset_offsets[clauses.itemset[clause] :][:2]
        for server in fastest[clauses.server_sets[clauses.server_set[clause], fastest]]:
            more = stored[server].copy()
            more[clauses.itemset_experts[begin:end]] = True
            if instance.expert_bytes[more].sum() <= instance.capacity_bytes[server]:
                stored[server] = more
                break
    return Placement(stored)


TOGETHER = Algorithm(
    name="together",
    solve=together,
    exact=False,
    summary="Most valuable sets of experts first, each set on one server",
    source="the example in docs/example-plugin",
    complexity="O(C log C + C N X)",
)
