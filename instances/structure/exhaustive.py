"""The best placement of a very small instance, by looking at all of them: an oracle.

Kept apart from the exact methods, so that third parties can check guarantees without a solver.
"""

import math

import numpy as np
from numpy.typing import NDArray

from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses
from instances.structure.kernels import subset_bytes, subset_values

MAX_EXPERTS = 14
"""Most experts over all layers: a table of all their subsets is made for every server set."""

MAX_PLACEMENTS = 2_000_000
"""Most combinations of what the servers store."""


def why_not_exhaustive(instance: Instance, *, max_placements: int = MAX_PLACEMENTS) -> str | None:
    """Return why :func:`best_placement` would not take an instance, or None."""
    if instance.num_experts > MAX_EXPERTS:
        return f"{instance.num_experts} experts; the limit is {MAX_EXPERTS}"
    placements = math.prod(map(len, _fillings(instance)))
    if placements > max_placements:
        return f"{placements} combinations of full servers; the limit is {max_placements}"
    return None


def best_placement(instance: Instance) -> Placement:
    """Return a placement that no other one beats.

    The saving never falls when more is stored, so only full servers are looked at. It is a sum over
    server sets S of v_S[union of what the servers of S store], v_S being the subset-sum transform
    of the clauses of S: one table look-up for each S and each combination.

    Raises
    ------
    ValueError
        When the instance is too large.
    """
    reason = why_not_exhaustive(instance)
    if reason is not None:
        raise ValueError(f"{instance.name} is too large: {reason}")
    clauses = build_clauses(instance)
    fillings = _fillings(instance)
    num_servers = instance.num_servers
    saving = np.zeros([len(masks) for masks in fillings])
    for index, members in enumerate(clauses.server_sets):
        chosen = np.flatnonzero(clauses.server_set == index)
        itemsets = [
            clauses.itemset_experts[clauses.itemset_offsets[i] : clauses.itemset_offsets[i + 1]]
            for i in clauses.itemset[chosen]
        ]
        if not itemsets:
            continue
        offsets = np.cumsum([0, *map(len, itemsets)])
        bits = np.concatenate(itemsets)
        value = subset_values(clauses.weight[chosen], offsets, bits, instance.num_experts)
        union = np.zeros((1,) * num_servers, dtype=np.int64)
        for server in np.flatnonzero(members):
            axes = tuple(-1 if n == server else 1 for n in range(num_servers))
            union = union | fillings[server].reshape(axes)
        saving += value[union]
    best = np.unravel_index(int(saving.argmax()), saving.shape)
    masks = np.array([masks[i] for masks, i in zip(fillings, best, strict=True)])
    experts = np.arange(instance.num_experts)
    return Placement((masks[:, None] >> experts & 1).astype(np.bool_))


def _fillings(instance: Instance) -> list[NDArray[np.int64]]:
    """For each server, the sets of experts (bit masks) that fit and leave no room for another."""
    sizes = instance.expert_bytes
    used = subset_bytes(sizes)
    masks = np.arange(used.size, dtype=np.int64)
    absent = (masks[:, None] >> np.arange(sizes.size) & 1) == 0
    smallest_absent = np.where(absent, sizes, np.iinfo(np.int64).max // 2).min(axis=1)
    return [
        masks[(used <= capacity) & (used + smallest_absent > capacity)]
        for capacity in instance.capacity_bytes.tolist()
    ]
