r"""The compact formulation: one y for each (server set, expert), one z for each clause.

    maximise    sum over c of w[c] z[c]
    subject to  sum over i of s[i] x[n,i] <= Q[n]               for each server n
                y[S,i] <= sum over n in S of x[n,i]             for each set S, expert i
                z[c]   <= y[S,i]                                for each clause (w, S, A), i in A
                x, y in {0, 1}; 0 <= z <= 1

Whole x make y and z whole at an optimum. The y are declared whole nonetheless: "does any of these
servers hold expert i" is a better question to branch on than "does this one", and proofs take two
to six times less with every solver. See :mod:`formulations.columns` for what is left out.

| symbol | field | unit |
|---|---|---|
| s, Q | ``expert_bytes``, ``capacity_bytes`` | bytes, divided by their greatest common divisor |
| w | ``Clauses.weight`` | ms per token, divided by ``Program.unit_ms`` |
"""

import math

import numpy as np

from formulations.capacity import Storage, capacity_rows
from formulations.columns import Columns, build_columns
from formulations.program import Program, Rows, objective_unit
from instances.problem import Instance
from instances.structure.clauses import Clauses


def build_compact(instance: Instance, clauses: Clauses) -> Program:
    """Write the compact formulation of an instance."""
    columns = build_columns(instance, clauses)
    return program_of(instance, columns, reach=reach_rows(columns), clause=clause_rows(columns))


def program_of(instance: Instance, columns: Columns, **blocks: Rows) -> Program:
    """Put the capacity rows above other rows, by what they say, and the objective beside them."""
    capacity = capacity_rows(instance, storage_of(instance, columns), len(columns))
    unit_ms = objective_unit(math.fsum(columns.weight_ms))
    num_carries = capacity.carry_row.size
    whole = np.arange(len(columns) + num_carries)
    return Program(
        columns=columns,
        objective=np.concatenate([columns.weight_ms / unit_ms, np.zeros(num_carries)]),
        unit_ms=unit_ms,
        upper=np.concatenate([np.ones(len(columns)), capacity.carry_upper]),
        is_whole=(whole < columns.first_z) | (whole >= len(columns)),
        branch_first=np.zeros(whole.size, dtype=np.bool_),
        rows=Rows.stack(capacity.rows, *blocks.values()),
        carry_row=capacity.carry_row,
        row_server=capacity.server,
        row_kinds=tuple((kind, block.num_rows) for kind, block in blocks.items()),
    )


def storage_of(instance: Instance, columns: Columns) -> Storage:
    """Return what each x takes of its server."""
    return Storage(
        column=np.arange(columns.num_x),
        server=columns.x_server,
        used_bytes=instance.expert_bytes[columns.x_expert],
    )


def reach_rows(columns: Columns) -> Rows:
    """Let an expert be in reach of a server set only if some server of the set stores it."""
    num_y = columns.first_z - columns.num_x
    return Rows.at_most(
        columns.num_x + np.arange(num_y),
        np.arange(num_y),
        np.repeat(np.arange(num_y), np.diff(columns.y_offsets)),
        columns.y_sources,
    )


def clause_rows(columns: Columns) -> Rows:
    """Let a clause be satisfied only if each of its experts is in reach, a row for each."""
    z = np.repeat(np.arange(columns.first_z, len(columns)), np.diff(columns.z_offsets))
    rows = np.arange(z.size)
    return Rows.at_most(z, rows, rows, columns.z_parts)
