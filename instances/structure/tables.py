"""The server subproblem (P3): what one server gains, layer by layer, given the others.

With all servers but one fixed, a clause is gained iff the experts that it still lacks are all
stored on that server. The gain is a sum over layers; for each layer this module lists what every
number of bytes can buy, exactly (docs/theory.md, section 3).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.structure.clauses import Clauses
from instances.structure.curves import Curve, Prefixes, Subsets, frontier
from instances.structure.kernels import best_by_count, residual, subset_bytes, subset_values

MAX_TABLE_EXPERTS = 20
"""Most experts in one layer for which all 2^E subsets are tabulated: 8 MiB at 20."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    """The clauses that one server decides, and the experts that each of them lacks.

    Parameters
    ----------
    weight
        Gain of each clause, ms per token; float64 (C,).
    offsets, experts
        The flat experts that it lacks; int64 (C + 1,), (any,).
    layer_offset
        Clauses of layer g: ``layer_offset[g] : layer_offset[g + 1]``; int64 (G + 1,).
    """

    weight: NDArray[np.float64]
    offsets: NDArray[np.int64]
    experts: NDArray[np.int64]
    layer_offset: NDArray[np.int64]


def residual_of(clauses: Clauses, stored: NDArray[np.bool_], server: int) -> Residual:
    """List what a server can still gain when the others store ``stored``; bool (N, X)."""
    clause, offsets, experts = residual(
        server,
        clauses.weight,
        clauses.server_set,
        clauses.itemset,
        clauses.server_sets,
        clauses.itemset_offsets,
        clauses.itemset_experts,
        stored,
    )
    return Residual(
        weight=clauses.weight[clause],
        offsets=offsets,
        experts=experts,
        layer_offset=np.searchsorted(clause, clauses.layer_clause_offset).astype(np.int64),
    )


def layer_curves(
    part: Residual, layer: int, expert_bytes: NDArray[np.int64], capacity: int
) -> list[Curve]:
    """Return curves whose max-plus sum is what storage buys in one layer, exactly.

    One curve from the table of all subsets of the experts that some clause lacks; where each
    clause lacks a single expert the gain is additive and sorting takes the table's place: one
    curve for the experts of each size.

    Raises
    ------
    ValueError
        When a table would need more than ``MAX_TABLE_EXPERTS`` experts.
    """
    begin, end = part.layer_offset[layer], part.layer_offset[layer + 1]
    if begin == end:
        return []
    offsets = part.offsets[begin : end + 1]
    experts = part.experts[offsets[0] : offsets[-1]]
    weight = part.weight[begin:end]
    wanted, bits = np.unique(experts, return_inverse=True)
    sizes = expert_bytes[wanted]
    if experts.size == weight.size:
        gain = np.bincount(bits, weights=weight, minlength=wanted.size)
        return [
            _sorted_curve(wanted[sizes == size], gain[sizes == size], int(size), capacity)
            for size in np.unique(sizes)
        ]
    if wanted.size > MAX_TABLE_EXPERTS:
        raise ValueError(f"a table of 2^{wanted.size} subsets is too large")
    table = subset_values(weight, offsets - offsets[0], bits.astype(np.int64), wanted.size)
    if sizes.min() == sizes.max():
        value, mask = best_by_count(table, wanted.size)
        used = np.arange(wanted.size + 1, dtype=np.int64) * sizes[0]
        points = frontier(used, value)
        return [_curve(used[points], value[points], mask[points], wanted, capacity)]
    used = subset_bytes(sizes)
    points = frontier(used, table)
    return [_curve(used[points], table[points], points, wanted, capacity)]


def _sorted_curve(
    wanted: NDArray[np.int64], gain: NDArray[np.float64], size: int, capacity: int
) -> Curve:
    order = np.argsort(-gain, kind="stable")[: capacity // size]
    counts = np.arange(order.size + 1, dtype=np.int64)
    value = np.concatenate([[0.0], np.cumsum(gain[order])])
    chosen = wanted[order]
    points = frontier(counts, value)
    return Curve(points * size, value[points], Prefixes(chosen, points))


def _curve(
    used: NDArray[np.int64],
    value: NDArray[np.float64],
    masks: NDArray[np.int64],
    wanted: NDArray[np.int64],
    capacity: int,
) -> Curve:
    fits = used <= capacity
    return Curve(used[fits], value[fits], Subsets(wanted, masks[fits]))
