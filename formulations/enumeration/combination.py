"""Combination of layers: the choice of one option for each layer that fits and is worth most.

Dynamic programming over the layers; a state is the storage that is left on each server. Prices
turn values into slack: what a solution stays below the Lagrangian bound is the sum over layers of
what its options stay below the best of their layer, plus the price of the storage that is left.
States that cannot end within a given slack are dropped (docs/theory.md, section 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from formulations.enumeration.combination_kernels import expand, fill_lower, move
from instances.deadline import Deadline
from instances.structure.labelling import Options

MAX_STATES = 60_000_000
"""Most states over all layers; each is remembered by 8 bytes."""

_CELLS = 1 << 12
"""Most cells of a table of lower bounds for one layer and two servers."""

_STATES_BETWEEN_LOOKS = 1 << 12
"""States expanded between two looks at the clock."""


class OutOfMemory(Exception):
    """More states than are allowed."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """The options of one layer by ascending loss.

    Parameters
    ----------
    index
        Which layer this is.
    option
        Index of each option among those of the layer; int64 (options,).
    used, loss
        Its storage, in units, int64 (options, N); what it stays below the best one at the prices,
        int64 (options,).
    """

    index: int
    option: NDArray[np.int64]
    used: NDArray[np.int64]
    loss: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Solution:
    """One option for each layer, as an index among those of the layer, and the slack in total."""

    slack: int
    chosen: list[int]


class Combination:
    """Layers, each with some options, at prices for the storage of N servers.

    Parameters
    ----------
    options
        The options of every layer.
    best
        The largest reduced value of each layer.
    room
        Storage of each server, in units; int64 (N,).
    prices
        Price of a unit on each server; int64 (N,).

    Attributes
    ----------
    num_states
        States after all layers together in the last call of :meth:`solve`.
    """

    def __init__(
        self,
        options: Sequence[Options],
        best: Sequence[int],
        room: NDArray[np.int64],
        prices: NDArray[np.int64],
    ) -> None:
        self.room, self.prices = room, prices
        self._num_layers = len(options)
        self.num_states = 0
        layers = []
        for index, (layer, highest) in enumerate(zip(options, best, strict=True)):
            loss = highest - layer.reduced(prices)
            order = np.argsort(loss, kind="stable")
            layers.append(Layer(index, order, layer.used[order], loss[order]))
        self._layers = sorted(layers, key=lambda layer: layer.loss.size)
        num_servers = room.size
        pairs = list(combinations(range(num_servers), 2)) or [(0, 0)]
        self._pairs = np.array(pairs, dtype=np.int64)
        side = _CELLS if num_servers == 1 else int(_CELLS**0.5)
        self._cell = -(-(room + 1) // side)
        self._lower = self._tables()

    def solve(self, most: int, deadline: Deadline, *, width: int | None = None) -> Solution | None:
        """Return a solution of least slack, if there is one of at most ``most``.

        Parameters
        ----------
        most
            Solutions of more slack do not count.
        deadline
            None is returned when it passes.
        width
            Keep only so many states after each layer, those that look best. What is found then is
            a solution, but not always the best one.

        Raises
        ------
        OutOfMemory
            When there are more than ``MAX_STATES`` states.
        """
        room, slack = self.room[None, :], np.zeros(1, dtype=np.int64)
        trail: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
        self.num_states = 0
        for number, layer in enumerate(self._layers):
            lower = self._lower[:, number + 1]
            found = self._expanded(layer, room, slack, lower, most, deadline)
            if found is None:
                return None
            room, slack, least, came_from, option = found
            if width is not None and slack.size > width:
                kept = np.sort(np.argsort(least, kind="stable")[:width])
                room, slack = room[kept], slack[kept]
                came_from, option = came_from[kept], option[kept]
            if slack.size == 0:
                return None
            trail.append((came_from, option))
            self.num_states += slack.size
            if self.num_states > MAX_STATES:
                raise OutOfMemory(f"more than {MAX_STATES} states")
        final = slack + room @ self.prices
        state = int(final.argmin())
        if final[state] > most:
            return None
        result = Solution(int(final[state]), [0] * self._num_layers)
        for layer, (came_from, option) in zip(reversed(self._layers), reversed(trail), strict=True):
            result.chosen[layer.index] = int(layer.option[option[state]])
            state = int(came_from[state])
        return result

    def _expanded(
        self,
        layer: Layer,
        room: NDArray[np.int64],
        slack: NDArray[np.int64],
        lower: NDArray[np.int64],
        most: int,
        deadline: Deadline,
    ) -> (
        tuple[
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int32],
            NDArray[np.int32],
        ]
        | None
    ):
        """Return the states after one more layer; None when time is up."""
        counts = np.zeros(1, dtype=np.int64)
        table = _empty_table(4 * layer.loss.size, self.room.size)
        position = 0
        while position < slack.size:
            if deadline.passed:
                return None
            end = min(position + _STATES_BETWEEN_LOOKS, slack.size)
            position = expand(
                position,
                end,
                room,
                slack,
                layer.used,
                layer.loss,
                self.prices,
                self._pairs,
                self._cell,
                lower,
                most,
                counts,
                *table,
            )
            if position < end:
                if counts[0] > MAX_STATES:
                    raise OutOfMemory(f"more than {MAX_STATES} states after one layer")
                larger = _empty_table(2 * table[0].size, self.room.size)
                move(*table, *larger)
                table = larger
        taken, new_room, new_slack, least, came_from, option = table
        found = np.flatnonzero(taken)
        return new_room[found], new_slack[found], least[found], came_from[found], option[found]

    def _tables(self) -> NDArray[np.int64]:
        """Bound from below, for pairs of servers, the slack less price of the last layers.

        Storage is counted in cells, what is used rounded down: more seems to fit than does.
        """
        rows = int((self.room // self._cell).max()) + 1
        columns = 1 if self.room.size == 1 else rows
        lower = np.zeros((len(self._pairs), self._num_layers + 1, rows, columns), dtype=np.int64)
        for p, (a, b) in enumerate(self._pairs):
            for number in range(self._num_layers - 1, -1, -1):
                layer = self._layers[number]
                pair = layer.used[:, [a, b]]
                if a == b:
                    pair[:, 1] = 0
                loss = layer.loss - pair @ self.prices[[a, b]]
                cells = pair // self._cell[[a, b]]
                order = np.lexsort((loss, cells[:, 1], cells[:, 0]))
                cells, loss = cells[order], loss[order]
                first = np.append(True, np.any(np.diff(cells, axis=0) != 0, axis=1))
                fill_lower(lower[p, number : number + 2], cells[first], loss[first])
        return lower


def _empty_table(
    at_least: int, num_servers: int
) -> tuple[
    NDArray[np.bool_],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.int32],
]:
    """Make an empty hash table of states: taken, room, slack, least slack at the end, origin."""
    size = 1 << max(12, (at_least - 1).bit_length())
    return (
        np.zeros(size, dtype=np.bool_),
        np.zeros((size, num_servers), dtype=np.int64),
        np.zeros(size, dtype=np.int64),
        np.zeros(size, dtype=np.int64),
        np.zeros(size, dtype=np.int32),
        np.zeros(size, dtype=np.int32),
    )
