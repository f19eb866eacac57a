"""Combination: one option of each layer, together within the storage, with the least loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.within_gap.combination_kernels import bounds_of, extend
from formulations.within_gap.option_kernels import rehash
from formulations.within_gap.options import Options
from formulations.within_gap.packing import Packing
from formulations.within_gap.projections import Projection
from instances.deadline import Deadline

MAX_STATES = 1 << 24
"""Most states after one layer; each takes 24 bytes beside the table that finds it."""

MAX_STATES_IN_ALL = 1 << 27
"""Most states after all layers: 8 bytes of each are kept."""

_STEPS_BETWEEN_LOOKS = 5_000_000
"""Sums between two looks at the clock, about 0.3 s."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """One option of each layer.

    Parameters
    ----------
    options
        Index of the option of each layer; int64 (L,).
    loss_ms
        Loss of all, what stays unused included, ms per token.
    """

    options: NDArray[np.int64]
    loss_ms: float


class GaveUpError(Exception):
    """Time is up, or states would not fit into memory."""


class Combination:
    """Adds up layers over sparse states: the storage used on each server.

    Parameters
    ----------
    options
        Options of each layer.
    price
        Price of a unit on each server, ms per token; float64 (M,).
    packing
        How storage is packed.
    projections
        What bounds the layers to come; of those over some of another's servers only the larger.
    """

    def __init__(
        self,
        options: Sequence[Options],
        price: NDArray[np.float64],
        packing: Packing,
        projections: Sequence[Projection],
    ) -> None:
        self._options = options
        self._price = price
        self._packing = packing
        sets = [set(projection.servers) for projection in projections]
        largest = [p for p, own in zip(projections, sets, strict=True) if not _below(own, sets)]
        self._projections = sorted(largest, key=lambda p: -len(p.servers))
        self._first = np.cumsum([0, *(p.after[0].size for p in self._projections)])[:-1]
        self._stride = np.zeros((len(self._projections), price.size), dtype=np.int64)
        for row, projection in enumerate(self._projections):
            steps = np.append(np.cumprod(projection.shape[:0:-1])[::-1], 1)
            self._stride[row, list(projection.servers)] = steps

    def best(self, budget_ms: float, width: int, deadline: Deadline) -> Choice | None:
        """Return the choice with the least loss, at most ``budget_ms``; None when there is none.

        With a ``width`` above 0 only so many promising states are kept after each layer: then the
        choice is a good one, and None means nothing.

        Raises
        ------
        GaveUpError
            When time is up or there are too many states.
        """
        key, loss = np.zeros(1, dtype=np.int64), np.zeros(1)
        trail: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
        kept = 0
        for number, layer in enumerate(self._options):
            key, loss, parent, option = self._add(number, layer, key, loss, budget_ms, deadline)
            if 0 < width < key.size:
                limit, _, *tables = self._tables(number + 1)
                bound = bounds_of(key, loss, limit, *tables)
                chosen = np.argsort(bound, kind="stable")[:width]
                key, loss = key[chosen], loss[chosen]
                parent, option = parent[chosen], option[chosen]
            trail.append((parent, option))
            kept += key.size
            if kept > MAX_STATES_IN_ALL:
                raise GaveUpError
            if key.size == 0:
                return None
        unused = self._packing.capacity - self._packing.unpack(key)
        total = loss + unused @ self._price
        at = int(total.argmin())
        if total[at] > budget_ms:
            return None
        least = float(total[at])
        picked = []
        for parent, option in reversed(trail):
            picked.append(int(option[at]))
            at = int(parent[at])
        return Choice(options=np.array(picked[::-1], dtype=np.int64), loss_ms=least)

    def _add(
        self,
        number: int,
        layer: Options,
        key: NDArray[np.int64],
        loss: NDArray[np.float64],
        budget_ms: float,
        deadline: Deadline,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
        size = 1 << max(12, (2 * layer.key.size).bit_length())
        new = (
            np.empty(size, dtype=np.int64),
            np.empty(size),
            np.empty(size, dtype=np.int32),
            np.empty(size, dtype=np.int32),
        )
        slots = np.full(2 * size, -1, dtype=np.int64)
        cursor = np.zeros(2, dtype=np.int64)
        tables = self._tables(number + 1)
        while cursor[0] < key.size:
            if deadline.passed:
                raise GaveUpError
            if cursor[1] + layer.key.size > size:
                if 2 * size > MAX_STATES:
                    raise GaveUpError
                size *= 2
                new = tuple(np.concatenate([a, np.empty_like(a)]) for a in new)  # type: ignore[assignment]
                slots = np.full(2 * size, -1, dtype=np.int64)
                rehash(slots, new[0], int(cursor[1]))
            extend(
                key,
                loss,
                layer.key,
                layer.loss,
                *tables,
                budget_ms,
                slots,
                *new,
                cursor,
                _STEPS_BETWEEN_LOOKS,
            )
        count = int(cursor[1])
        return new[0][:count], new[1][:count], new[2][:count], new[3][:count]

    def _tables(
        self, number: int
    ) -> tuple[
        int,
        int,
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.float64],
    ]:
        """Return packing and the projections' tables of the layers from ``number`` on."""
        packing = self._packing
        widths = np.array([int(units).bit_length() for units in packing.capacity], dtype=np.int64)
        after = np.concatenate([np.empty(0), *(p.after[number] for p in self._projections)])
        mask = (np.int64(1) << widths) - 1
        return packing.limit, packing.guard, packing.shift, mask, self._first, self._stride, after


def _below(own: set[int], sets: Sequence[set[int]]) -> bool:
    return any(own < other for other in sets)
