"""Exact without a MILP solver: enumerate each layer, combine layers over the capacities.

Layers interact through the capacities alone. Every joint placement of one layer's experts on the
servers is scored, the best is kept for each vector of counts, and layers are added by a max-plus
convolution over the storage used on each server (docs/theory.md, section 5).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.enumeration_kernels import add_layer, score_joint_placements
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, StopReason
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.kernels import subset_values

MAX_STEPS = 2e12
"""Most elementary steps, about an hour on one core."""

MAX_TABLE_BYTES = 4 * 2**30
"""Most memory for the tables of choices."""

_LOOKUPS_BETWEEN_LOOKS = 1 << 26
"""Joint placements scored between two looks at the clock."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerOptions:
    """What one layer can be worth: non-dominated options.

    Parameters
    ----------
    units
        Storage used on each server, in grid units; int64 (options, N).
    value
        Saving, ms per token; float64 (options,).
    joint
        Joint placement: bit masks of experts, the last server lowest; int64 (options,).
    """

    units: NDArray[np.int64]
    value: NDArray[np.float64]
    joint: NDArray[np.int64]


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
    value = np.zeros(int(np.prod(shape)))
    value[1:] = -np.inf
    steps: list[tuple[int, LayerOptions, NDArray[np.int32]]] = []
    for layer in range(instance.num_layers):
        options = _layer_options(instance, clauses, layer, unit, deadline)
        if options is None:
            return Outcome(
                stop_reason=StopReason.TIME_LIMIT,
                placement=start,
                proven_optimal=False,
                reason=f"{layer} of {instance.num_layers} layers enumerated",
            )
        if options.value.size > 1:
            value, choice = add_layer(value, shape, options.units, options.value)
            steps.append((layer, options, choice))
    cell = int(value.argmax())
    saving = float(value[cell])
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    for layer, options, choice in reversed(steps):
        taken = int(choice[cell])
        cell -= int(np.ravel_multi_index(tuple(options.units[taken]), tuple(shape)))
        experts = instance.layer_experts(layer)
        width = experts.stop - experts.start
        masks = int(options.joint[taken])
        for server in reversed(range(instance.num_servers)):
            stored[server, experts] = (masks >> np.arange(width)) & 1
            masks >>= width
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=Placement(stored),
        proven_optimal=True,
        bound_saving_ms=saving,
        claimed_saving_ms=saving,
    )


def _layer_options(
    instance: Instance, clauses: Clauses, layer: int, unit: int, deadline: Deadline
) -> LayerOptions | None:
    """Enumerate one layer; None when time is up."""
    experts = instance.layer_experts(layer)
    width = experts.stop - experts.start
    size = int(instance.expert_bytes[experts.start])
    num_servers = instance.num_servers
    sets, tables = _tables(instance, clauses, layer)
    counts = (width + 1) ** num_servers
    best = np.full(counts, -np.inf)
    arg = np.zeros(counts, dtype=np.int64)
    popcount = np.bitwise_count(np.arange(1 << width)).astype(np.int64)
    most = np.minimum(instance.capacity_bytes // size, width)
    if sets.size == 0:
        most = np.zeros_like(most)  # nobody wants this layer: storing nothing is best
    outer_total = 1 << (width * (num_servers - 1))
    stride = max(1, _LOOKUPS_BETWEEN_LOOKS >> width)
    for outer in range(0, outer_total, stride):
        if deadline.passed:
            return None
        score_joint_placements(
            outer,
            min(outer + stride, outer_total),
            num_servers,
            width,
            most,
            sets,
            tables,
            popcount,
            best,
            arg,
        )
    keep = _undominated(best.reshape((width + 1,) * num_servers))
    vectors = np.stack(np.unravel_index(keep, (width + 1,) * num_servers), axis=1)
    return LayerOptions(vectors * (size // unit), best[keep], arg[keep])


def _tables(
    instance: Instance, clauses: Clauses, layer: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the server sets of a layer as bit masks and v_S for each, the last server's last."""
    begin, end = clauses.layer_clause_offset[layer], clauses.layer_clause_offset[layer + 1]
    experts = instance.layer_experts(layer)
    width = experts.stop - experts.start
    masks = clauses.server_sets @ (1 << np.arange(instance.num_servers))
    clause_set = masks[clauses.server_set[begin:end]]
    sets = np.unique(clause_set)  # ascending: those with the last server come last
    tables = np.zeros((sets.size, 1 << width))
    for row, mask in enumerate(sets):
        members = begin + np.flatnonzero(clause_set == mask)
        itemsets = clauses.itemset[members]
        first = clauses.itemset_offsets[itemsets]
        lengths = clauses.itemset_offsets[itemsets + 1] - first
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        bits = clauses.itemset_experts[np.repeat(first, lengths) + within] - experts.start
        tables[row] = subset_values(clauses.weight[members], offsets, bits, width)
    return sets.astype(np.int64), tables


def _undominated(best: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the flat indices of count vectors that gain more than every smaller vector."""
    smaller = np.full(best.shape, -np.inf)
    for axis in range(best.ndim):
        below = np.roll(np.maximum(best, smaller), 1, axis=axis)
        below[(slice(None),) * axis + (0,)] = -np.inf
        np.maximum(smaller, np.maximum.accumulate(below, axis=axis), out=smaller)
    return np.flatnonzero(best > smaller).astype(np.int64)


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
    steps = 0.0
    for width in widths.tolist():
        steps += 2.0 ** (width * num_servers + num_servers - 1)
        steps += float(cells) * float(width + 1) ** num_servers
    needed = 4.0 * cells * instance.num_layers
    if steps > MAX_STEPS or needed > MAX_TABLE_BYTES:
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
