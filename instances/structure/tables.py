"""The server subproblem (P3): what one server gains, layer by layer, given the others.

With all servers but one fixed, a clause is gained iff the experts that it still lacks are all
stored on that server. The gain is a sum over layers; for each layer this module lists what every
number of bytes can buy, exactly (docs/theory.md, section 3).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.structure.clauses import Clauses
from instances.structure.closure_kernels import hull_order
from instances.structure.curves import Curve, Prefixes, Subsets, frontier
from instances.structure.kernels import best_by_count, residual, subset_bytes, subset_values
from instances.structure.peeling_kernels import peel

MAX_TABLE_EXPERTS = 20
"""Most experts in one layer for which all 2^E subsets are tabulated: 8 MiB at 20."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    """The clauses that some free servers decide, and the experts that each of them lacks.

    Clauses that the free servers cannot tell apart are merged.

    Parameters
    ----------
    clause
        Which clauses these are, the first of those that were merged; int64 (C,).
    weight
        Gain of each clause, ms per token; float64 (C,).
    offsets, experts
        The flat experts that it lacks; int64 (C + 1,), (any,).
    layer_offset
        Clauses of layer g: ``layer_offset[g] : layer_offset[g + 1]``; int64 (G + 1,).
    """

    clause: NDArray[np.int64]
    weight: NDArray[np.float64]
    offsets: NDArray[np.int64]
    experts: NDArray[np.int64]
    layer_offset: NDArray[np.int64]


def residual_of(clauses: Clauses, stored: NDArray[np.bool_], *servers: int) -> Residual:
    """List what some servers can still gain when the others store ``stored``; bool (N, X)."""
    free = np.zeros(stored.shape[0], dtype=np.bool_)
    free[list(servers)] = True
    clause, weight, offsets, experts = residual(
        free,
        clauses.weight,
        clauses.server_set,
        clauses.itemset,
        clauses.server_sets,
        clauses.itemset_offsets,
        clauses.itemset_experts,
        stored,
    )
    return Residual(
        clause=clause,
        weight=weight,
        offsets=offsets,
        experts=experts,
        layer_offset=np.searchsorted(clause, clauses.layer_clause_offset).astype(np.int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerPart:
    """The residual clauses of one layer, over the experts that some clause lacks.

    Parameters
    ----------
    wanted, sizes
        Those experts (flat) and their sizes, bytes; int64 (W,).
    weight
        Gain of each clause, ms per token; float64 (C,).
    offsets, bits
        What it lacks, as indices into ``wanted``; int64 (C + 1,), int32 (any,).
    """

    wanted: NDArray[np.int64]
    sizes: NDArray[np.int64]
    weight: NDArray[np.float64]
    offsets: NDArray[np.int64]
    bits: NDArray[np.int32]

    @property
    def is_additive(self) -> bool:
        """Whether every clause lacks a single expert, so that gains add up."""
        return self.bits.size == self.weight.size

    @property
    def total_gain(self) -> NDArray[np.float64]:
        """v(i | all others): weight of the clauses that lack each expert; float64 (W,)."""
        lengths = np.diff(self.offsets)
        weight = np.repeat(self.weight, lengths)
        return np.bincount(self.bits, weights=weight, minlength=self.wanted.size).astype(float)

    @property
    def curvature(self) -> float:
        """Supermodular curvature of the layer's gain: 1 - min of v(i | nothing) / v(i | others)."""
        if self.is_additive:
            return 0.0
        alone = np.diff(self.offsets) == 1
        gain = np.bincount(
            self.bits[self.offsets[:-1][alone]],
            weights=self.weight[alone],
            minlength=self.wanted.size,
        )
        return float(1.0 - (gain / self.total_gain).min())


def layer_part(part: Residual, layer: int, expert_bytes: NDArray[np.int64]) -> LayerPart:
    """Cut one layer out of what a server can still gain."""
    begin, end = part.layer_offset[layer], part.layer_offset[layer + 1]
    offsets = part.offsets[begin : end + 1]
    experts = part.experts[offsets[0] : offsets[-1]]
    first = int(experts.min()) if experts.size else 0
    within = experts - first
    is_wanted = np.zeros(int(within.max(initial=-1)) + 1, dtype=np.bool_)
    is_wanted[within] = True
    wanted = first + np.flatnonzero(is_wanted)
    return LayerPart(
        wanted=wanted,
        sizes=expert_bytes[wanted],
        weight=part.weight[begin:end],
        offsets=offsets - offsets[0],
        bits=(np.cumsum(is_wanted) - 1).astype(np.int32)[within],
    )


def exact_curves(part: LayerPart, capacity: int) -> list[Curve]:
    """Return curves whose max-plus sum is what storage buys in one layer, exactly.

    One curve from the table of all subsets of the wanted experts; where gains are additive,
    sorting takes the table's place: one curve for the experts of each size.

    Raises
    ------
    ValueError
        When a table would need more than ``MAX_TABLE_EXPERTS`` experts.
    """
    if part.is_additive:
        return modular_curves(part, capacity)
    num_wanted = part.wanted.size
    if num_wanted > MAX_TABLE_EXPERTS:
        raise ValueError(f"a table of 2^{num_wanted} subsets is too large")
    table = subset_values(part.weight, part.offsets, part.bits, num_wanted)
    if part.sizes.min() == part.sizes.max():
        value, masks = best_by_count(table, num_wanted)
        used = np.arange(num_wanted + 1, dtype=np.int64) * part.sizes[0]
    else:
        value, masks = table, np.arange(table.size)
        used = subset_bytes(part.sizes)
    points = frontier(used, value)
    points = points[used[points] <= capacity]
    return [Curve(used[points], value[points], Subsets(part.wanted, masks[points]))]


def hull_curves(part: LayerPart, capacity: int) -> list[Curve]:
    """Return curves that hold the concave hull of what storage buys in one layer, and more.

    The sets of the hull are nested, and so are those that peeling puts between them: one order of
    the experts, of which every prefix is a point. Polynomial in any number of experts. Where gains
    are additive the curves are exact.
    """
    if part.is_additive:
        return modular_curves(part, capacity)
    order, ends = hull_order(part.weight, part.offsets, part.bits, part.sizes)
    value = peel(part.weight, part.offsets, part.bits, part.sizes, order, ends)
    used = np.concatenate([[0], np.cumsum(part.sizes[order])])
    points = frontier(used, value)
    points = points[used[points] <= capacity]
    return [Curve(used[points], value[points], Prefixes(part.wanted[order], points))]


def modular_curves(part: LayerPart, capacity: int) -> list[Curve]:
    """Return one curve for the experts of each size, as if their gains v(i | others) added up.

    Exactly what storage buys where gains are additive; an upper bound otherwise.
    """
    gain = part.total_gain
    curves = []
    for size in np.unique(part.sizes):
        alike = np.flatnonzero(part.sizes == size)
        order = alike[np.argsort(-gain[alike], kind="stable")][: capacity // size]
        value = np.concatenate([[0.0], np.cumsum(gain[order])])
        used = np.arange(order.size + 1, dtype=np.int64) * size
        points = frontier(used, value)
        curves.append(Curve(used[points], value[points], Prefixes(part.wanted[order], points)))
    return curves
