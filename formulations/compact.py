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
from numpy.typing import NDArray

from formulations.columns import Columns, build_columns
from formulations.program import Program, Rows, objective_unit
from instances.problem import Instance
from instances.structure.clauses import Clauses

MAX_SINGLE_ROW = 2**16
"""Largest capacity, in units of storage, that stays one row. A solver that may be off by 1e-7 in a
row or in a whole number then cannot be off by a unit; wrong optima were seen from 2**25 units."""

DIGIT = 2**12
"""Base in which larger capacities are written."""


def build_compact(instance: Instance, clauses: Clauses) -> Program:
    """Write the compact formulation of an instance."""
    columns = build_columns(instance, clauses)
    capacity, carry_row, carry_upper = capacity_rows(instance, columns)
    unit_ms = objective_unit(math.fsum(columns.weight_ms))
    no_weight = np.zeros(carry_row.size)
    whole = np.arange(len(columns) + carry_row.size)
    return Program(
        columns=columns,
        objective=np.concatenate([columns.weight_ms / unit_ms, no_weight]),
        unit_ms=unit_ms,
        upper=np.concatenate([np.ones(len(columns)), carry_upper]),
        is_whole=(whole < columns.first_z) | (whole >= len(columns)),
        rows=Rows.stack(capacity, reach_rows(columns), clause_rows(columns)),
        carry_row=carry_row,
    )


def capacity_rows(
    instance: Instance, columns: Columns
) -> tuple[Rows, NDArray[np.int64], NDArray[np.float64]]:
    """Keep each server within its storage; rows that cannot be violated are left out.

    Sizes and capacity are divided by the greatest common divisor of the sizes on that server, and
    the capacity is rounded down: exact, since storage is then only ever taken in whole units.
    Numbers that are still too large for a solver's tolerances are written in digits of base D: with
    s = D a + b and Q = D A + B, the two rows

        sum of b x <= B + D t,    t + sum of a x <= A,    t = 0, 1, ... whole

    say what sum of s x <= Q says; a and A are split again until they are small.

    Returns
    -------
    rows
        The rows, first of all rows of the program.
    carry_row
        For each carry the row of its low digits; int64 (carries,). Carries are the columns after
        ``columns``.
    carry_upper
        Largest value of each carry; float64 (carries,).
    """
    blocks: list[Rows] = []
    carry_row: list[int] = []
    carry_upper: list[int] = []
    for server in range(instance.num_servers):
        column = np.flatnonzero(columns.x_server == server)
        sizes = instance.expert_bytes[columns.x_expert[column]]
        capacity = int(instance.capacity_bytes[server])
        if int(sizes.sum()) <= capacity:
            continue
        unit = int(np.gcd.reduce(sizes))
        sizes, capacity = sizes // unit, capacity // unit
        most = np.ones(column.size, dtype=np.int64)  # largest value of each column
        while capacity > MAX_SINGLE_ROW:
            carry = len(columns) + len(carry_row)
            low = sizes % DIGIT
            carry_row.append(len(blocks))
            carry_upper.append(math.ceil(int(low @ most) / DIGIT))
            column = np.append(column, carry)
            blocks.append(Rows.one(column, np.append(low, -DIGIT), capacity % DIGIT))
            most = np.append(most, carry_upper[-1])
            sizes, capacity = np.append(sizes // DIGIT, 1), capacity // DIGIT
        blocks.append(Rows.one(column, sizes, capacity))
    return (
        Rows.stack(*blocks),
        np.array(carry_row, dtype=np.int64),
        np.array(carry_upper, dtype=np.float64),
    )


def reach_rows(columns: Columns) -> Rows:
    """Let an expert be in reach of a server set only if some server of the set stores it."""
    num_y = columns.first_z - columns.num_x
    return _at_most(
        columns.num_x + np.arange(num_y),
        np.arange(num_y),
        np.repeat(np.arange(num_y), np.diff(columns.y_offsets)),
        columns.y_sources,
    )


def clause_rows(columns: Columns) -> Rows:
    """Let a clause be satisfied only if each of its experts is in reach, a row for each."""
    z = np.repeat(np.arange(columns.first_z, len(columns)), np.diff(columns.z_offsets))
    rows = np.arange(z.size)
    return _at_most(z, rows, rows, columns.z_parts)


def _at_most(
    left: NDArray[np.int64],
    left_row: NDArray[np.int64],
    right_row: NDArray[np.int64],
    right: NDArray[np.int64],
) -> Rows:
    """Write ``left <= sum of right``, one left column in each row."""
    row = np.concatenate([left_row, right_row])
    order = np.argsort(row, kind="stable")
    sign = np.concatenate([np.ones(left.size), -np.ones(right.size)])
    return Rows(
        row=row[order],
        column=np.concatenate([left, right])[order],
        coefficient=sign[order],
        upper=np.zeros(left.size),
    )
