"""Curves: what storage can buy. Exact max-plus sums of them solve a server's subproblem.

A curve lists (bytes, value) points, both strictly increasing from (0, 0): the most that can be
gained with that many bytes. Adding two curves, (f + g)(b) = max over a of f(a) + g(b - a), is a
max-plus convolution; a curve that is a sum remembers how each of its points came about.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.structure.kernels import add_on_grid, merge_shifted, worth_keeping
from instances.structure.maxplus import convolve

NO_DEADLINE = Deadline.after(None)

_DENSE = 2
"""Cells for each point up to which a curve counts as filling its grid."""

_GRID_CELLS = 1 << 16
"""A grid of this size is always cheap; larger ones must be earned by the number of pairs."""


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """How a curve came about as the sum of two: the index into each of them, for every point."""

    left: "Curve"
    right: "Curve"
    left_idx: NDArray[np.int64]
    right_idx: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Subsets:
    """The points of a leaf are subsets of some experts, given as bit masks."""

    experts: NDArray[np.int64]
    masks: NDArray[np.int64]

    def chosen(self, index: int) -> NDArray[np.int64]:
        """Return the flat experts of one point."""
        members = (self.masks[index] >> np.arange(self.experts.size)) & 1
        return np.compress(members, self.experts)


@dataclass(frozen=True, slots=True, eq=False)
class Prefixes:
    """The points of a leaf are the first few of some ordered experts."""

    experts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def chosen(self, index: int) -> NDArray[np.int64]:
        """Return the flat experts of one point."""
        return self.experts[: self.counts[index]]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Points (bytes, value), both strictly increasing, the first (0, 0).

    Parameters
    ----------
    bytes, value
        int64 and float64, shape (points,).
    origin
        A :class:`Sum`, or what the points of a leaf mean.
    """

    bytes: NDArray[np.int64]
    value: NDArray[np.float64]
    origin: Sum | Subsets | Prefixes

    def __len__(self) -> int:
        return int(self.bytes.shape[0])

    def choices(self, index: int) -> Iterator[NDArray[np.int64]]:
        """Yield what is chosen at a point: the flat experts, leaf by leaf."""
        pending: list[tuple[Curve, int]] = [(self, index)]
        while pending:
            curve, i = pending.pop()
            origin = curve.origin
            if isinstance(origin, Sum):
                pending.append((origin.left, int(origin.left_idx[i])))
                pending.append((origin.right, int(origin.right_idx[i])))
            else:
                yield origin.chosen(i)


def nothing() -> Curve:
    """Return the curve of one point: no bytes, no value."""
    zero = np.zeros(1, np.int64)
    return Curve(zero, np.zeros(1), Prefixes(zero, zero))


def frontier(bytes_: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices of the points that no other point beats, by ascending bytes.

    A point stays when its value is above that of all points with at most its bytes.
    """
    order = np.lexsort((-value, bytes_))
    ascending = value[order]
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(ascending)[:-1]])
    return order[ascending > best_before]


def add(
    left: Curve,
    right: Curve,
    capacity: int,
    *,
    deadline: Deadline = NO_DEADLINE,
    num_bins: int | None = None,
) -> Curve:
    """Add two curves up to a capacity in bytes.

    Where both fill the grid of their common divisor this is a dense convolution; else all pairs of
    points are put on that grid where it is small, or sorted lists are merged: the same points in
    each case.

    Parameters
    ----------
    deadline
        When it passes, points of the shorter curve that were not reached are left out.
    num_bins
        None for an exact sum. Otherwise merged lists are thinned to the breakpoints of the concave
        hull and one point in each of so many bins of bytes: what is left is still attained.
    """
    if len(left) < len(right):
        left, right = right, left
    unit = math.gcd(int(np.gcd.reduce(left.bytes)), int(np.gcd.reduce(right.bytes))) or 1
    reach = min(capacity, int(left.bytes[-1]) + int(right.bytes[-1]))
    cells = reach // unit + 1
    if all(int(c.bytes[-1]) // unit < _DENSE * len(c) for c in (left, right)):
        return _add_dense(left, right, unit, cells)
    if cells <= max(_GRID_CELLS, 4 * len(left) * len(right)):
        bytes_, value, left_idx, right_idx = add_on_grid(
            left.bytes // unit, left.value, right.bytes // unit, right.value, cells
        )
        return Curve(bytes_ * unit, value, Sum(left, right, left_idx, right_idx))
    none = np.empty(0, dtype=np.int64)
    bytes_, value, left_idx, right_idx = none, np.empty(0), none, none
    for j, shift in enumerate(right.bytes.tolist()):
        if shift > capacity or (j > 0 and deadline.passed):
            break
        bytes_, value, left_idx, right_idx = merge_shifted(
            bytes_,
            value,
            left_idx,
            right_idx,
            left.bytes,
            left.value,
            shift,
            float(right.value[j]),
            j,
            capacity,
        )
    if num_bins is not None:
        keep = worth_keeping(bytes_, value, num_bins)
        bytes_, value, left_idx, right_idx = (
            array[keep] for array in (bytes_, value, left_idx, right_idx)
        )
    return Curve(bytes_, value, Sum(left, right, left_idx, right_idx))


def _add_dense(left: Curve, right: Curve, unit: int, cells: int) -> Curve:
    """Add curves that have points on most cells of a grid."""
    at_left, at_right = (
        np.searchsorted(c.bytes, np.arange(int(c.bytes[-1]) // unit + 1) * unit, side="right") - 1
        for c in (left, right)
    )
    value, arg = convolve(left.value[at_left], right.value[at_right], cells)
    kept = np.flatnonzero(value > np.append(-np.inf, np.maximum.accumulate(value)[:-1]))
    left_idx, right_idx = at_left[arg[kept]], at_right[kept - arg[kept]]
    return Curve(kept * unit, value[kept], Sum(left, right, left_idx, right_idx))


def add_all(
    curves: Sequence[Curve], capacity: int, deadline: Deadline, *, num_bins: int | None = None
) -> Curve:
    """Add curves, those with the same byte unit first, where sums stay short.

    When time is up the curves that are left contribute nothing: the result is still feasible.
    ``num_bins`` as in :func:`add`.
    """
    groups: dict[int, Curve] = {}
    for curve in curves:
        unit = int(np.gcd.reduce(curve.bytes))
        if deadline.passed:
            break
        if unit:  # a curve without bytes has nothing to add
            known = groups.get(unit, nothing())
            groups[unit] = add(known, curve, capacity, deadline=deadline, num_bins=num_bins)
    total = nothing()
    for unit in sorted(groups):
        if deadline.passed:
            break
        total = add(total, groups[unit], capacity, deadline=deadline, num_bins=num_bins)
    return total
