"""Small layers, exactly: what a server set can gain more than credits pay, within its storage."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.credits import Credits
from formulations.bounds.server_set_kernels import best_sets
from instances.structure.kernels import subset_values

MAX_TABLE_EXPERTS = 12
"""Most wanted experts of a layer that gets tables."""

MAX_TABLE_ENTRIES = 1 << 24
"""Most entries of all tables together: 128 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SetTables:
    """Tables f(C) over the subsets C of a layer's experts, for every server set that wants some.

    A piece is a server set and the experts of one size: at most ``slots`` of them fit into the
    servers of the set, over all of its blocks, one for each layer.

    Parameters
    ----------
    piece_offset, piece_set, piece_slots
        Blocks of each piece, its server set and slots; int64 (P + 1,), (P,), (P,).
    block_offset, block_expert
        Experts of each block, indices into those of the credits; int64 (B + 1,), (any,).
    table_offset, tables
        Table of each block, units; int64 (B + 1,), float64 (any,).
    popcount
        Of subsets; int8 (2^widest,).
    free
        ``free[x, s]``: expert x is in a block of s; bool (X, S).
    """

    piece_offset: NDArray[np.int64]
    piece_set: NDArray[np.int64]
    piece_slots: NDArray[np.int64]
    block_offset: NDArray[np.int64]
    block_expert: NDArray[np.int64]
    table_offset: NDArray[np.int64]
    tables: NDArray[np.float64]
    popcount: NDArray[np.int8]
    free: NDArray[np.bool_]

    @classmethod
    def of(cls, credits: Credits) -> "SetTables | None":
        """Tabulate the layers of few experts of one size; None when there are none, or too many.

        Layers where no clause wants two experts need no table: their credits are exact as they are.
        """
        blocks = _blocks(credits)
        entries = sum(1 << experts.size for _, _, experts in blocks)
        if not blocks or entries > MAX_TABLE_ENTRIES:
            return None
        blocks.sort(key=lambda block: block[:2])
        keys = [block[:2] for block in blocks]
        pieces = sorted(set(keys))
        widths = np.array([experts.size for _, _, experts in blocks])
        block_expert = np.concatenate([experts for _, _, experts in blocks])
        free = np.zeros_like(credits.alone, dtype=np.bool_)
        for s, _, experts in blocks:
            free[experts, s] = True
        piece_offset = np.searchsorted([pieces.index(key) for key in keys], range(len(pieces) + 1))
        return cls(
            piece_offset=piece_offset.astype(np.int64),
            piece_set=np.array([s for s, _ in pieces], dtype=np.int64),
            piece_slots=_slots(credits, pieces, free),
            block_offset=np.concatenate([[0], np.cumsum(widths)]).astype(np.int64),
            block_expert=block_expert.astype(np.int64),
            table_offset=np.concatenate([[0], np.cumsum(1 << widths)]).astype(np.int64),
            tables=_tables(credits, blocks),
            popcount=np.bitwise_count(np.arange(1 << int(widths.max()))).astype(np.int8),
            free=free,
        )

    def with_storage(self, credits: Credits) -> "SetTables":
        """Return the same tables with the storage that these credits have."""
        first = self.block_expert[self.block_offset[self.piece_offset[:-1]]]
        pieces = zip(self.piece_set.tolist(), credits.sizes[first].tolist(), strict=True)
        return dataclasses.replace(self, piece_slots=_slots(credits, list(pieces), self.free))

    def value(self, credit: NDArray[np.float64], chosen: NDArray[np.float64]) -> float:
        """Return the sum of the pieces' largest gains at whole credits, exactly, units.

        ``chosen[x, s]`` becomes 1 for experts that are chosen, 0 for the others of the blocks.

        Notes
        -----
        Choosing nothing gains 0. A subset whose credits sum to 2^53 or more is worth less than
        that, rounded or not, since no table exceeds 2^52; all other sums are exact.
        """
        return float(
            best_sets(
                self.tables,
                self.table_offset,
                self.block_expert,
                self.block_offset,
                self.popcount,
                self.piece_offset,
                self.piece_set,
                self.piece_slots,
                credit,
                chosen,
            )
        )


def _blocks(credits: Credits) -> list[tuple[int, int, NDArray[np.int64]]]:
    """List (server set, expert size, experts), one for each set and layer that gets a table."""
    begin = np.searchsorted(credits.layer, np.arange(int(credits.layer.max(initial=-1)) + 2))
    several = credits.most() > credits.alone
    wants = several | (credits.alone > 0.0)
    blocks = []
    for first, end in zip(begin[:-1].tolist(), begin[1:].tolist(), strict=True):
        sizes = credits.sizes[first:end]
        if not 0 < sizes.size <= MAX_TABLE_EXPERTS or sizes.min() < sizes.max():
            continue
        for s in np.flatnonzero(several[first:end].any(axis=0)).tolist():
            blocks.append((s, int(sizes[0]), first + np.flatnonzero(wants[first:end, s])))
    return blocks


def _slots(
    credits: Credits, pieces: list[tuple[int, int]], free: NDArray[np.bool_]
) -> NDArray[np.int64]:
    groups = credits.groups
    slots = []
    for s, size in pieces:
        inside = (groups.masks[s] >> np.arange(groups.capacity_bytes.size)) & 1 > 0
        storage = sum((groups.capacity_bytes[inside] // size).tolist())
        slots.append(min(storage, int((free[:, s] & (credits.sizes == size)).sum())))
    return np.array(slots, dtype=np.int64)


def _tables(
    credits: Credits, blocks: list[tuple[int, int, NDArray[np.int64]]]
) -> NDArray[np.float64]:
    """Fill the tables by zeta transforms, block by block."""
    clauses_of = {
        layer: _by_set(*credits.blocks.clauses_of(layer))
        for layer in np.unique([credits.layer[experts[0]] for _, _, experts in blocks]).tolist()
    }
    tables = []
    for s, _, experts in blocks:
        weight, offsets, entries = clauses_of[int(credits.layer[experts[0]])][s]
        singles = np.arange(experts.size)
        tables.append(
            subset_values(
                np.concatenate([weight, credits.alone[experts, s]]),
                np.concatenate([offsets, offsets[-1] + 1 + singles]),
                np.concatenate([np.searchsorted(experts, entries), singles]),
                experts.size,
            )
        )
    return np.concatenate(tables)


def _by_set(
    weight: NDArray[np.float64],
    clause_set: NDArray[np.int64],
    offsets: NDArray[np.int64],
    entries: NDArray[np.int64],
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]]:
    """Sort clauses by server set: weights, offsets and entries of each."""
    lengths = np.diff(offsets)
    of_entry = np.repeat(clause_set, lengths)
    sorted_by_set = {}
    for s in np.unique(clause_set).tolist():
        mine = clause_set == s
        ends = np.concatenate([[0], np.cumsum(lengths[mine])])
        sorted_by_set[s] = (weight[mine], ends, entries[of_entry == s])
    return sorted_by_set
