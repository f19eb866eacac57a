"""The concave hull of what a layer gains against OR-Tools' max-flow, from scratch at each price.

At the price p the best experts to store are a maximum closure: its value is all weight minus a
minimum cut between clauses and experts. OR-Tools is told the breakpoints of the hull; finding them
is part of ours alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.graph.python import max_flow

from bench.peers.race import Row, race, require_equal, titled
from bench.peers.shapes import wide_instance
from instances.structure.clauses import build_clauses
from instances.structure.closure_kernels import hull_order

NAME = "closures"
SUMMARY = "hull of a layer by parametric cuts: OR-Tools' max-flow from scratch at each price"

TOKENS = {"toy": 2, "full": 1430}
"""Tokens of each of 32 users: the full size has the rows of one layer of a million over 48."""

ROUNDS = {"toy": 1, "full": 2}

TOTAL_WEIGHT = 1 << 30
"""Weights are scaled to whole numbers that add up to about this, so that capacities, weights times
numbers of experts, fit into 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Clauses of one layer that a server alone can satisfy.

    Parameters
    ----------
    weight
        Whole numbers; int64 (C,).
    offsets, bits
        Experts of each clause, numbered within the layer; int64 (C + 1,), (any,).
    experts
        Number of experts, each of size 1.
    """

    weight: NDArray[np.int64]
    offsets: NDArray[np.int64]
    bits: NDArray[np.int64]
    experts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hull:
    """Corners of a concave hull: gain of the best so many experts; int64 (corners,) each."""

    experts: NDArray[np.int64]
    gain: NDArray[np.int64]


def compare(size: str) -> Iterator[Row]:
    """Measure."""
    layer = one_layer(TOKENS[size])
    corners = hull(layer)

    def peer() -> list[int]:
        return [
            closure_value(layer, rise, run)
            for rise, run in zip(np.diff(corners.gain), np.diff(corners.experts), strict=True)
        ]

    result = race(lambda: hull(layer), peer, rounds=ROUNDS[size], calls=3)
    # at the price of each edge of the hull, in units of 1 / run, both of its ends are best
    run, rise = np.diff(result.ours.experts), np.diff(result.ours.gain)
    ours = result.ours.gain[:-1] * run - result.ours.experts[:-1] * rise
    yield Row(
        comparison=NAME,
        case=f"a layer of {layer.weight.size:,} clauses and {layer.experts} experts",
        ours="hull_order",
        peer=f"{titled('ortools', 'OR-Tools')}: SimpleMaxFlow at {run.size} prices",
        checked=require_equal("closure value", ours, result.peer),
        ours_s=result.ours_s,
        peer_s=result.peer_s,
        detail={"clauses": layer.weight.size, "prices": run.size},
    )


def one_layer(tokens: int) -> Layer:
    """Bring the only layer of an instance with one server into clauses of whole weight."""
    instance = wide_instance(layers=1, users=32, servers=1, tokens=tokens)
    clauses = build_clauses(instance)
    offsets, bits = clauses.flat_experts(clauses.itemset)
    scaled = np.rint(clauses.weight * (TOTAL_WEIGHT / clauses.weight.sum()))
    return Layer(
        weight=np.maximum(scaled, 1).astype(np.int64),
        offsets=offsets,
        bits=bits,
        experts=instance.num_experts,
    )


def hull(layer: Layer) -> Hull:
    """Find the hull by moeplace, and add up what each of its corners gains."""
    order, ends = hull_order(
        layer.weight.astype(np.float64),
        layer.offsets,
        layer.bits,
        np.ones(layer.experts, dtype=np.int64),
    )
    rank = np.empty(layer.experts, dtype=np.int64)
    rank[order] = np.arange(order.size)
    last = np.maximum.reduceat(rank[layer.bits], layer.offsets[:-1])  # a clause's last expert
    gain = np.concatenate([[0], np.cumsum(np.bincount(last, layer.weight, layer.experts))])
    corners = np.concatenate([[0], np.flatnonzero(ends) + 1])
    return Hull(experts=corners, gain=gain.astype(np.int64)[corners])


def closure_value(layer: Layer, rise: int, run: int) -> int:
    """Return ``run`` times the largest gain at a price of ``rise / run`` for an expert; exact."""
    clauses, experts = layer.weight.size, layer.experts
    source, sink = clauses + experts, clauses + experts + 1
    capacity = layer.weight * run
    total = int(capacity.sum())
    clause = np.arange(clauses)
    tail = [np.full(clauses, source), np.repeat(clause, np.diff(layer.offsets))]
    head = [clause, clauses + layer.bits]
    tail.append(clauses + np.arange(experts))
    head.append(np.full(experts, sink))
    flow = max_flow.SimpleMaxFlow()
    flow.add_arcs_with_capacity(
        np.concatenate(tail).astype(np.int32),
        np.concatenate(head).astype(np.int32),
        np.concatenate([capacity, np.full(layer.bits.size, total), np.full(experts, rise)]),
    )
    if flow.solve(source, sink) != flow.OPTIMAL:
        raise RuntimeError("OR-Tools has found no maximum flow")
    return total - int(flow.optimal_flow())
