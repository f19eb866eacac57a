"""Exact without a MILP solver: enumerate each layer, combine layers over the capacities.

Layers interact through the capacities alone. Every joint placement of one layer's experts on the
servers is scored, the best is kept for each vector of counts, and layers are added by a max-plus
convolution over the storage used on each server (docs/theory.md, section 5).
"""

import math

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, StopReason
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.joint import Combination, JointLayer, layer_options, stored_by

MAX_STEPS = 2e12
"""Most elementary steps, about an hour on one core."""

MAX_TABLE_BYTES = 4 * 2**30
"""Most memory for the tables of choices."""


def layer_enumeration(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
) -> Outcome:
    """Return a proven optimum, for few servers and small layers; any K, layers and users.

    Time O(L 2^(E N) 2^N + L G (E + 1)^N) for a capacity grid of G cells, the product over servers
    of storage in units of the common divisor of the expert sizes.

    Source: docs/theory.md, section 5.

    Parameters
    ----------
    start
        Returned when time runs out before the proof; the proof itself does not need it.
    """
    del rng
    deadline = Deadline.after(time_limit)
    clauses = build_clauses(instance)
    shape, unit = _grid(instance)
    combination = Combination(shape)
    for number in range(instance.num_layers):
        layer = _joint_layer(instance, clauses, number)
        size = int(instance.expert_bytes[layer.experts[0]])
        most = np.minimum(instance.capacity_bytes // size, layer.experts.size)
        options = layer_options(layer, most, deadline)
        if options is None:
            return Outcome(
                stop_reason=StopReason.TIME_LIMIT,
                placement=start,
                proven_optimal=False,
                reason=f"{number} of {instance.num_layers} layers enumerated",
            )
        combination.add(options, size // unit)
    saving, chosen = combination.best()
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=Placement(stored_by(chosen, instance.num_servers, instance.num_experts)),
        proven_optimal=True,
        bound_saving_ms=saving,
        claimed_saving_ms=saving,
    )


def _joint_layer(instance: Instance, clauses: Clauses, number: int) -> JointLayer:
    """Cut one layer out of the clauses, with all its experts and all servers."""
    part = slice(*clauses.layer_clause_offset[number : number + 2])
    experts = instance.layer_experts(number)
    itemsets = clauses.itemset[part]
    first = clauses.itemset_offsets[itemsets]
    lengths = clauses.itemset_offsets[itemsets + 1] - first
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    masks = clauses.server_sets @ (1 << np.arange(instance.num_servers))
    return JointLayer(
        experts=np.arange(experts.start, experts.stop),
        weight=clauses.weight[part],
        servers=masks[clauses.server_set[part]].astype(np.int64),
        offsets=offsets,
        bits=clauses.itemset_experts[np.repeat(first, lengths) + within] - experts.start,
    )


def _grid(instance: Instance) -> tuple[NDArray[np.int64], int]:
    """Return the cells of the capacity grid along each server, and its unit in bytes."""
    unit = int(np.gcd.reduce(instance.expert_bytes))
    total = int(instance.expert_bytes.sum())
    return np.minimum(instance.capacity_bytes, total) // unit + 1, unit


def _supports(instance: Instance) -> str | None:
    num_servers = instance.num_servers
    first = instance.expert_bytes[instance.layer_expert_offset[:-1]]
    widths = np.diff(instance.layer_expert_offset)
    if not np.array_equal(np.repeat(first, widths), instance.expert_bytes):
        return "expert sizes differ inside a layer; counts of experts do not tell the bytes then"
    shape, _ = _grid(instance)
    cells = math.prod(shape.tolist())
    steps = 0
    for width in widths.tolist():
        steps += 2 ** (width * num_servers + num_servers - 1)
        steps += cells * (width + 1) ** num_servers
    needed = 4 * cells * instance.num_layers
    if steps > MAX_STEPS or needed > MAX_TABLE_BYTES:
        steps, needed = min(steps, 10**300), min(needed, 10**300)  # what can still be printed
        return (
            f"would take about {steps:.1e} steps and {needed / 2**30:.1e} GiB for {num_servers} "
            f"servers and layers of up to {widths.max()} experts; the limits are {MAX_STEPS:.0e} "
            f"steps and {MAX_TABLE_BYTES / 2**30:.0f} GiB"
        )
    return None


LAYER_ENUMERATION = Algorithm(
    name="layer-enumeration",
    solve=layer_enumeration,
    exact=True,
    summary="every joint placement of each layer, layers combined over the capacities",
    source="docs/theory.md, section 5",
    complexity="O(L 2^(E N) 2^N + L G (E + 1)^N), G the cells of the capacity grid",
    supports=_supports,
)
