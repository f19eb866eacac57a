"""Clauses in blocks: itemsets of one layer, of one length, and with the same server sets.

The clauses of one itemset share its experts, and most itemsets are wanted by one user, whose server
sets are always the same. So a block says once which sets these are, and holds a small table of
weights; a pass over it touches the credits of few experts and few sets.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.block_kernels import (
    add_whole_weights,
    fill_blocks,
    measure_blocks,
    share_out,
)
from instances.parallel import mapped
from instances.structure.clauses import Clauses
from instances.structure.kernels import intern_itemsets

_MOST_PARTS = 8
_LEAST_WORK = 1 << 17
"""Layers are dealt out in a few parts for threads, where a part is so many weights or more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """Clauses of two experts or more, weights in units, by block and then by itemset.

    Parameters
    ----------
    layer
        Global layer of each block, ascending; int64 (B,).
    expert_offset, experts
        The experts of each block, as indices into the wanted ones; int64 (B + 1,), int32 (any,).
    set_offset, sets
        Its server sets; int64 (B + 1,), int32 (any,).
    entry_offset, entries
        The experts of its itemsets, one itemset after the other, as indices into those of the
        block; int64 (B + 1,), int32 (any,).
    weight_offset, weight
        Weights of its clauses, for each itemset one for each server set; int64 (B + 1,),
        float64 (C,).
    part
        Blocks ``part[p] : part[p + 1]`` are part p; no layer is in two; int64 (parts + 1,).
    """

    layer: NDArray[np.int64]
    expert_offset: NDArray[np.int64]
    experts: NDArray[np.int32]
    set_offset: NDArray[np.int64]
    sets: NDArray[np.int32]
    entry_offset: NDArray[np.int64]
    entries: NDArray[np.int32]
    weight_offset: NDArray[np.int64]
    weight: NDArray[np.float64]
    part: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        clauses: Clauses,
        weight_ms: NDArray[np.float64],
        unit_ms: float,
        set_offsets: NDArray[np.int64],
        sets: NDArray[np.int32],
        index_of: NDArray[np.int64],
        num_wanted: int,
    ) -> "Blocks":
        """Sort clauses into blocks; those of no weight, or of one expert, are left out.

        Parameters
        ----------
        weight_ms
            Multiples of ``unit_ms``, a power of two; float64 (clauses,).
        set_offsets, sets
            The server sets of each itemset's clauses of some weight; int64 (itemsets + 1,),
            int32 (any,).
        index_of
            Number of each flat expert that is wanted, below ``num_wanted``; int64 (experts,).
        """
        num_itemsets = clauses.itemset_layer.size
        lengths = np.diff(clauses.itemset_offsets)
        same, _ = intern_itemsets(np.zeros(num_itemsets, dtype=np.int32), set_offsets, sets)
        key = clauses.itemset_layer * (int(lengths.max(initial=0)) + 1) + lengths
        key = key * (int(same.max(initial=0)) + 1) + same
        kept = np.flatnonzero((lengths > 1) & (same >= 0))
        order = kept[np.argsort(key[kept], kind="stable")]
        is_first = np.diff(key[order], prepend=-1) != 0
        first = np.append(np.flatnonzero(is_first), order.size).astype(np.int64)
        layout = (clauses.itemset_offsets, clauses.itemset_experts, index_of, num_wanted)
        offsets = measure_blocks(order, first, set_offsets, *layout)
        clause_begin = np.searchsorted(clauses.itemset, np.arange(num_itemsets + 1))
        experts, block_sets, entries, weight = fill_blocks(
            order,
            first,
            set_offsets,
            sets,
            weight_ms,
            clause_begin,
            unit_ms,
            *layout,
            *offsets,
        )
        layer = clauses.itemset_layer[order[first[:-1]]].astype(np.int64)
        return cls(
            layer=layer,
            expert_offset=offsets[0],
            experts=experts,
            set_offset=offsets[1],
            sets=block_sets,
            entry_offset=offsets[2],
            entries=entries,
            weight_offset=offsets[3],
            weight=weight,
            part=_parts(layer, offsets[3]),
        )

    def split(
        self, attraction: NDArray[np.float64], credit: NDArray[np.float64], threads: int
    ) -> None:
        """Split every clause in proportion to ``attraction``, and add it to ``credit``; (X, S)."""

        def share(p: int) -> None:
            begin, end = int(self.part[p]), int(self.part[p + 1])
            share_out(begin, end, *self._arrays(), attraction, credit)

        mapped(share, range(self.part.size - 1), threads)

    def add_whole(self, total: NDArray[np.float64]) -> None:
        """Add the weight of every clause to ``total`` for each of its experts; (X, S)."""
        add_whole_weights(*self._arrays(), total)

    def clauses_of(
        self, layer: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the clauses of one layer one by one: weights, server sets, offsets, experts."""
        begin, end = np.searchsorted(self.layer, [layer, layer + 1]).tolist()
        weights, sets, lengths, experts = [], [], [], []
        for b in range(begin, end):
            own = self.sets[self.set_offset[b] : self.set_offset[b + 1]]
            weight = self.weight[self.weight_offset[b] : self.weight_offset[b + 1]]
            table = weight.reshape(-1, own.size)
            entries = self.entries[self.entry_offset[b] : self.entry_offset[b + 1]]
            wanted = self.experts[self.expert_offset[b] + entries].reshape(table.shape[0], -1)
            weights.append(weight)
            sets.append(np.tile(own, table.shape[0]))
            lengths.append(np.full(weight.size, wanted.shape[1]))
            experts.append(np.repeat(wanted, own.size, axis=0).reshape(-1))
        nothing = np.zeros(0, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(np.concatenate([nothing, *lengths]))])
        return (
            np.concatenate([np.zeros(0), *weights]),
            np.concatenate([nothing, *sets]),
            offsets.astype(np.int64),
            np.concatenate([nothing, *experts]),
        )

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (
            self.expert_offset,
            self.experts,
            self.set_offset,
            self.sets,
            self.entry_offset,
            self.entries,
            self.weight_offset,
            self.weight,
        )


def _parts(layer: NDArray[np.int64], weight_offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut blocks between layers into parts of about the same number of weights."""
    total = int(weight_offset[-1])
    num_parts = min(_MOST_PARTS, max(1, total // _LEAST_WORK))
    begins = np.flatnonzero(np.diff(layer, prepend=-1))
    goals = np.arange(1, num_parts) * total // num_parts
    cuts = begins[np.searchsorted(weight_offset[begins], goals) - 1] if begins.size else begins
    return np.unique(np.concatenate([[0], cuts, [layer.size]])).astype(np.int64)
