"""A linear program in 0/1 variables, without a word about who solves it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.columns import Columns


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
        return cls(
            row=np.concatenate([p.row + f for p, f in zip(parts, first[:-1], strict=True)]),
            column=np.concatenate([part.column for part in parts]),
            coefficient=np.concatenate([part.coefficient for part in parts]),
            upper=np.concatenate([part.upper for part in parts]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """Maximise ``objective @ v`` subject to ``rows`` and 0 <= v <= 1, some columns whole.

    Parameters
    ----------
    columns
        What the columns mean.
    objective
        Coefficient of each column; float64 (columns,).
    unit_ms
        Saving of one unit of the objective, ms per token; a power of two, so that scaling is exact.
    is_whole
        Columns that must be 0 or 1; bool (columns,).
    rows
        The constraints.
    """

    columns: Columns
    objective: NDArray[np.float64]
    unit_ms: float
    is_whole: NDArray[np.bool_]
    rows: Rows
