r"""The aggregated formulation: as compact, but one row for each clause.

    |A| z[c] <= sum over i in A of y[S,i]                       for each clause (w, S, A)

in place of one row for each expert. The same whole points, a third to a tenth of the rows, and a
weak relaxation: half of a pair in reach is worth half of its weight. Kept for comparison. The z are
declared whole, since here whole x and y do not make them so.
"""

import dataclasses

import numpy as np

from formulations.columns import Columns, build_columns
from formulations.compact import program_of, reach_rows
from formulations.program import Program, Rows
from instances.problem import Instance
from instances.structure.clauses import Clauses


def build_aggregated(instance: Instance, clauses: Clauses) -> Program:
    """Write the aggregated formulation of an instance."""
    columns = build_columns(instance, clauses)
    program = program_of(
        instance, columns, reach=reach_rows(columns), aggregated=aggregated_rows(columns)
    )
    return dataclasses.replace(program, is_whole=np.ones(len(program), dtype=np.bool_))


def aggregated_rows(columns: Columns) -> Rows:
    """Let a clause be satisfied only if all of its experts are in reach, in one row."""
    needed = np.diff(columns.z_offsets)
    z = np.arange(columns.first_z, len(columns))
    row = np.repeat(np.arange(z.size), needed + 1)
    first = np.cumsum(needed + 1) - (needed + 1)
    column = np.empty(row.size, dtype=np.int64)
    coefficient = np.full(row.size, -1.0)
    is_z = np.zeros(row.size, dtype=np.bool_)
    is_z[first] = True
    column[is_z], column[~is_z] = z, columns.z_parts
    coefficient[is_z] = needed
    return Rows(row=row, column=column, coefficient=coefficient, upper=np.zeros(z.size))
