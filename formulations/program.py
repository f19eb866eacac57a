"""A linear program in 0/1 variables, without a word about who solves it."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from instances.placement import Placement

OBJECTIVE_SCALE = 1024.0
"""Half to all of this is what the greatest thinkable saving is worth in an objective: solvers
compare objectives with absolute tolerances that suit such numbers."""


class Meaning(Protocol):
    """What the columns of a program say about a placement."""

    def __len__(self) -> int:
        """Return the number of columns that have a meaning."""

    @property
    def num_choices(self) -> int:
        """Number of leading 0/1 columns that settle the placement."""

    def values(self, placement: Placement) -> NDArray[np.float64]:
        """Return the value of every column under a placement; float64 (len(self),)."""

    def placement(self, chosen: NDArray[np.bool_]) -> Placement:
        """Return the placement of the choices that are 1; bool (num_choices,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Constraints ``sum of coefficient * column <= upper`` as sparse triplets.

    Parameters
    ----------
    row, column, coefficient
        One entry each; rows ascend; int64, int64, float64 (entries,).
    upper
        Right-hand side of each row; float64 (rows,).
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    coefficient: NDArray[np.float64]
    upper: NDArray[np.float64]

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.upper.size)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Entries of row r: ``offsets[r] : offsets[r + 1]``; int64 (rows + 1,)."""
        return np.searchsorted(self.row, np.arange(self.num_rows + 1)).astype(np.int64)

    @classmethod
    def stack(cls, *parts: "Rows") -> "Rows":
        """Put blocks of rows one below the other."""
        first = np.cumsum([0, *(part.num_rows for part in parts)])
        whole, real = np.empty(0, dtype=np.int64), np.empty(0)
        return cls(
            row=np.concatenate([whole, *(p.row + f for p, f in zip(parts, first, strict=False))]),
            column=np.concatenate([whole, *(part.column for part in parts)]),
            coefficient=np.concatenate([real, *(part.coefficient for part in parts)]),
            upper=np.concatenate([real, *(part.upper for part in parts)]),
        )

    @classmethod
    def at_most(
        cls,
        left: NDArray[np.int64],
        left_row: NDArray[np.int64],
        right_row: NDArray[np.int64],
        right: NDArray[np.int64],
    ) -> "Rows":
        """Write ``left <= sum of right``, one left column in each row; all int64."""
        row = np.concatenate([left_row, right_row])
        order = np.argsort(row, kind="stable")
        sign = np.concatenate([np.ones(left.size), -np.ones(right.size)])
        return cls(
            row=row[order],
            column=np.concatenate([left, right])[order],
            coefficient=sign[order],
            upper=np.zeros(left.size),
        )

    @classmethod
    def one(cls, column: NDArray[np.int64], coefficient: NDArray[np.int64], upper: int) -> "Rows":
        """Make a single row of whole numbers."""
        entries = np.flatnonzero(coefficient)
        return cls(
            row=np.zeros(entries.size, dtype=np.int64),
            column=column[entries],
            coefficient=coefficient[entries].astype(np.float64),
            upper=np.array([upper], dtype=np.float64),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """Maximise ``objective @ v`` subject to ``rows`` and 0 <= v <= upper, some columns whole.

    Parameters
    ----------
    columns
        What the first columns mean; the carries of capacity rows follow them.
    objective
        Coefficient of each column; float64 (len(self),).
    unit_ms
        Saving of one unit of the objective, ms per token; a power of two, so that scaling is exact.
    upper
        Largest value of each column; float64 (len(self),).
    is_whole
        Columns that must be whole numbers; bool (len(self),).
    branch_first
        Columns that a solver should branch on before all others, if it takes advice; bool
        (len(self),).
    rows
        The constraints.
    carry_row
        For each carry the row that it relieves; int64 (carries,).
    row_server
        Server of each capacity row; these are the first rows; int64 (capacity rows,).
    row_kinds
        What the rows after them say, and how many say so, in their order.
    """

    columns: Meaning
    objective: NDArray[np.float64]
    unit_ms: float
    upper: NDArray[np.float64]
    is_whole: NDArray[np.bool_]
    branch_first: NDArray[np.bool_]
    rows: Rows
    carry_row: NDArray[np.int64]
    row_server: NDArray[np.int64]
    row_kinds: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return int(self.objective.size)

    def values(self, placement: Placement) -> NDArray[np.float64]:
        """Value of every column under a placement; float64 (len(self),), whole numbers."""
        values = np.zeros(len(self))
        values[: len(self.columns)] = self.columns.values(placement)
        offsets = self.rows.offsets
        for carry, row in enumerate(self.carry_row, start=len(self.columns)):
            entries = slice(offsets[row], offsets[row + 1])
            columns, coefficients = self.rows.column[entries], self.rows.coefficient[entries]
            excess = float(coefficients @ values[columns]) - self.rows.upper[row]
            relief = -float(coefficients[columns == carry][0])
            values[carry] = max(0.0, np.ceil(excess / relief))
        return values

    def capped(self, limit: float) -> "Program":
        """Add the row that the objective is at most ``limit``, if that says anything."""
        weighted = np.flatnonzero(self.objective)
        if not limit < math.fsum(self.objective[weighted] * self.upper[weighted]):
            return self
        row = Rows(
            row=np.zeros(weighted.size, dtype=np.int64),
            column=weighted,
            coefficient=self.objective[weighted],
            upper=np.array([limit]),
        )
        return replace(
            self,
            rows=Rows.stack(self.rows, row),
            row_kinds=(*self.row_kinds, ("known", 1)),
        )

    def below(self, limit: float) -> "Program":
        """Scale up a program whose optimum is known to be at most ``limit``.

        Columns that weigh more cannot be 1, so their weight is taken out of the objective.
        """
        objective = np.where(self.objective <= limit, self.objective, 0.0)
        unit_ms = objective_unit(limit * self.unit_ms)
        return replace(self, objective=objective * (self.unit_ms / unit_ms), unit_ms=unit_ms)


def objective_unit(saving_ms: float) -> float:
    """Return the power of two that brings a saving to half of :data:`OBJECTIVE_SCALE` or more."""
    if saving_ms == 0.0:
        return 1.0
    exponent = math.frexp(saving_ms / OBJECTIVE_SCALE)[1]
    return math.ldexp(1.0, max(exponent, -1000))  # a divisor must not vanish
