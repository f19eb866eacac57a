"""Packing: the storage used on all servers in one whole number."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAX_BITS = 62
"""Most bits of a key."""


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """One field of bits for each server, with a guard bit on top of it.

    Keys add up like the storage that they stand for. ``limit - key`` keeps all guard bits iff every
    field of the key is within the capacity, as long as fields do not exceed twice the capacity.

    Parameters
    ----------
    capacity
        Units on each server; int64 (M,).

    Attributes
    ----------
    shift
        Lowest bit of each field; int64 (M,).
    limit, guard
        All capacities, with all guard bits; the guard bits alone.
    """

    capacity: NDArray[np.int64]
    shift: NDArray[np.int64] = field(init=False)
    limit: int = field(init=False)
    guard: int = field(init=False)

    def __post_init__(self) -> None:
        widths = [int(units).bit_length() + 1 for units in self.capacity]
        shift = np.concatenate([[0], np.cumsum(widths)])[:-1].astype(np.int64)
        guard = sum(1 << (int(s) + w - 1) for s, w in zip(shift, widths, strict=True))
        limit = sum(int(units) << int(s) for units, s in zip(self.capacity, shift, strict=True))
        object.__setattr__(self, "shift", shift)
        object.__setattr__(self, "guard", guard)
        object.__setattr__(self, "limit", limit | guard)

    def unpack(self, key: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the units on each server; int64 (keys, M)."""
        widths = np.array([int(units).bit_length() for units in self.capacity], dtype=np.int64)
        return np.asarray((key[:, None] >> self.shift) & ((1 << widths) - 1))


def bits_needed(capacity: NDArray[np.int64]) -> int:
    """Return the bits of a key."""
    return sum(int(units).bit_length() + 1 for units in capacity)
