"""Labellings: one layer on all servers at once, searched at prices for storage.

A placement of a layer gives every expert a label, the servers that store it. At prices for storage
the best labellings are found by branch and bound, all of those within a window below the best if
wanted, and the best of them for every vector of used storage is kept (docs/theory.md, section 5).
All arithmetic is in whole numbers: weights come in multiples of one unit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.structure import labelling_kernels as kernels

MAX_WEIGHT = 1 << 51
"""Most that the weights of all clauses may add up to: sums with prices stay below 2^62 then."""

_OUT_OF_REACH = 1 << 58
"""Price of a label that does not fit."""

_NODES_BETWEEN_LOOKS = 1 << 17
"""Nodes of a search between two looks at the clock."""

_FIRST_ROUNDS, _LATER_ROUNDS = 60, 20
"""Steps that improve the shares of clauses, in the first search and in later ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """What one layer can be worth: at most one option for each vector of used storage.

    Parameters
    ----------
    used
        Storage used on each server, in units of storage; int64 (options, N).
    value
        Value of the satisfied clauses, in units of weight; int64 (options,).
    labels
        Index of the label of every expert; int16 (options, E).
    """

    used: NDArray[np.int64]
    value: NDArray[np.int64]
    labels: NDArray[np.int16]

    def reduced(self, prices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return value less the price of the storage; int64 (options,)."""
        return np.asarray(self.value - self.used @ prices)

    def undominated(self) -> "Options":
        """Leave out the options that use no less than one of at least their value."""
        order = np.lexsort((self.used.sum(axis=1), -self.value))
        keep = order[kernels.undominated(self.used[order], self.value[order])]
        return Options(self.used[keep], self.value[keep], self.labels[keep])


class Labelling:
    """The clauses of one layer over its wanted experts and N servers, ready to be searched.

    Parameters
    ----------
    experts, units
        Flat experts that some clause wants, and their sizes in units of storage; int64 (E,).
    weight
        Weight of each clause, a whole number > 0; int64 (C,). Those of all layers add up to at
        most ``MAX_WEIGHT``.
    servers
        Its server set as a bit mask, server n being bit n; int64 (C,).
    offsets, bits
        Its experts as indices into ``experts``; int64 (C + 1,), (any,).
    room
        Storage of each server, in units; int64 (N,).

    Attributes
    ----------
    experts
        The same experts, the weightiest first: labels are in this order.
    labels
        The labels worth using, as bit masks; int64 (labels,). A label that meets the same server
        sets as a part of itself is not among them.
    """

    def __init__(
        self,
        experts: NDArray[np.int64],
        units: NDArray[np.int64],
        weight: NDArray[np.int64],
        servers: NDArray[np.int64],
        offsets: NDArray[np.int64],
        bits: NDArray[np.int64],
        room: NDArray[np.int64],
    ) -> None:
        lengths = np.diff(offsets)
        clause = np.repeat(np.arange(weight.size), lengths)
        wanted = np.zeros(experts.size, dtype=np.int64)
        np.add.at(wanted, bits, weight[clause])
        order = np.argsort(-wanted, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        self.experts, self.units, self.room = experts[order], units[order], room
        ascending = np.lexsort((rank[bits], clause))
        self._bits = rank[bits][ascending]
        self._offsets, self._weight = offsets, weight
        self._sets, self._set_of = np.unique(servers, return_inverse=True)
        self._share = 1.0 / np.repeat(lengths, lengths)
        self.labels = useful_labels(self._sets, room.size)
        self._meets = (self.labels[:, None] & self._sets) != 0
        self._met_offsets = np.concatenate([[0], np.cumsum(self._meets.sum(axis=1))])
        self._met = np.nonzero(self._meets)[1].astype(np.int64)
        self._members = (self.labels[:, None] >> np.arange(room.size) & 1).astype(np.int64)
        enough = self.units[:, None, None] <= room
        self._fits = (enough | (self._members == 0)).all(axis=2)
        self._rounds = _FIRST_ROUNDS

    @property
    def total(self) -> int:
        """Weight of all clauses."""
        return int(self._weight.sum())

    def experts_of(self, labels: NDArray[np.int16]) -> list[NDArray[np.int64]]:
        """Return the flat experts of one labelling, server by server."""
        return [self.experts[held > 0] for held in self._members[labels].T]

    def nothing(self) -> Options:
        """Return the option that stores nothing."""
        num_experts, num_servers = self.experts.size, self.room.size
        empty = np.flatnonzero(self.labels == 0)[0]
        return Options(
            np.zeros((1, num_servers), dtype=np.int64),
            np.zeros(1, dtype=np.int64),
            np.full((1, num_experts), empty, dtype=np.int16),
        )

    def search(
        self, prices: NDArray[np.int64], *, at_least: int, window: int, deadline: Deadline
    ) -> Options | None:
        """List the labellings that are worth most at prices; None when time is up.

        Every labelling that fits, is worth ``at_least`` less its price, and at most ``window`` less
        than the best one, is listed, or one of the same used storage and at least its value.

        Parameters
        ----------
        prices
            Price of a unit of storage on each server, >= 0; whole numbers; int64 (N,). What a
            server's whole room costs is at most ``MAX_WEIGHT``.
        """
        num_experts, num_servers = self.experts.size, self.room.size
        num_sets, num_labels = self._sets.size, self.labels.size
        price = self.units[:, None] * (self._members @ prices)
        price[~self._fits] = _OUT_OF_REACH
        clauses = (self._weight, self._set_of, self._offsets, self._bits)
        kernels.even_out(*clauses, self._meets, price, self._rounds, self._share)
        self._rounds = _LATER_ROUNDS
        part, value = kernels.tabulate(*clauses, self._share, num_sets, num_experts)
        control = np.zeros(5, dtype=np.int64)
        control[kernels.FRESH] = 1
        control[kernels.THRESHOLD] = at_least
        stack = (
            control,
            np.zeros((num_experts + 1, num_sets), dtype=np.int64),
            np.zeros(num_experts + 1, dtype=np.int64),
            np.zeros((num_experts, num_labels), dtype=np.int64),
            np.zeros((num_experts, num_labels), dtype=np.int64),
            np.zeros((num_experts, 2), dtype=np.int64),
            np.zeros((num_experts + 1, num_servers), dtype=np.int64),
        )
        table = _Table(4 * num_labels, num_servers, num_experts)
        while not deadline.passed:
            why = kernels.search(
                part,
                value,
                self._sets,
                self.labels,
                self._met_offsets,
                self._met,
                price,
                self.units,
                self.room,
                window,
                _NODES_BETWEEN_LOOKS,
                *stack,
                *table.arrays,
            )
            if why == kernels.FULL:
                table = table.doubled()
            elif why == kernels.DONE:
                taken, used, reduced, labels = table.arrays
                found = np.flatnonzero(taken & (reduced >= control[kernels.THRESHOLD]))
                worth = reduced[found] + used[found] @ prices
                return Options(used[found], worth, labels[found])
        return None


class _Table:
    """A hash table of options by used storage."""

    def __init__(self, at_least: int, num_servers: int, num_experts: int) -> None:
        size = 1 << max(8, (at_least - 1).bit_length())
        self.arrays = (
            np.zeros(size, dtype=np.bool_),
            np.zeros((size, num_servers), dtype=np.int64),
            np.zeros(size, dtype=np.int64),
            np.zeros((size, num_experts), dtype=np.int16),
        )

    def doubled(self) -> "_Table":
        """Return a table twice as large with the same content."""
        taken, used, _, labels = self.arrays
        larger = _Table(2 * taken.size, used.shape[1], labels.shape[1])
        kernels.move(*self.arrays, *larger.arrays)
        return larger


def useful_labels(sets: NDArray[np.int64], num_servers: int) -> NDArray[np.int64]:
    """Return the labels of which no server can be left out, as bit masks.

    A label is useful when each of its servers is the only one of the label in some server set:
    otherwise the rest of it meets the same sets, with less storage.

    Parameters
    ----------
    sets
        Server sets as bit masks; int64 (S,).
    """
    labels = np.arange(1 << num_servers, dtype=np.int64)
    shared = labels[:, None] & sets
    useful = np.ones(labels.size, dtype=np.bool_)
    for server in range(num_servers):
        alone = (shared == 1 << server).any(axis=1)
        useful &= alone | (labels >> server & 1 == 0)
    return labels[useful]
