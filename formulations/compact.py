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
from formulations.program import Program, Rows
from instances.problem import Instance
from instances.structure.clauses import Clauses

OBJECTIVE_SCALE = 1024.0
"""All clauses together are worth about this much in the objective: solvers compare objectives with
absolute tolerances that suit such numbers."""

LARGEST_CAPACITY = 1024.0
"""Capacity rows with a greater right-hand side are scaled down to it by a power of two."""


def build_compact(instance: Instance, clauses: Clauses) -> Program:
    """Write the compact formulation of an instance."""
    columns = build_columns(instance, clauses)
    unit_ms = objective_unit(columns.weight_ms)
    return Program(
        columns=columns,
        objective=columns.weight_ms / unit_ms,
        unit_ms=unit_ms,
        is_whole=np.arange(len(columns)) < columns.first_z,
        rows=Rows.stack(
            capacity_rows(instance, columns),
            cover_rows(columns),
            clause_rows(columns),
        ),
    )


def objective_unit(weight_ms: NDArray[np.float64]) -> float:
    """Return the power of two by which weights become coefficients of a solver's liking."""
    total_ms = math.fsum(weight_ms)
    if total_ms == 0.0:
        return 1.0
    return math.ldexp(1.0, math.frexp(total_ms / OBJECTIVE_SCALE)[1])


def capacity_rows(instance: Instance, columns: Columns) -> Rows:
    """Keep each server within its storage; rows that cannot be violated are left out.

    Sizes and capacity are divided by the greatest common divisor of the sizes on that server, and
    the capacity is rounded down: exact, since storage is then only ever taken in whole units.
    """
    row, column, coefficient = [], [], []
    upper: list[float] = []
    for server in range(instance.num_servers):
        stored = np.flatnonzero(columns.x_server == server)
        sizes = instance.expert_bytes[columns.x_expert[stored]]
        capacity = int(instance.capacity_bytes[server])
        if int(sizes.sum()) <= capacity:
            continue
        divisor = int(np.gcd.reduce(sizes))
        capacity //= divisor
        scale = 2.0 ** min(0, -math.ceil(math.log2(capacity / LARGEST_CAPACITY)))
        row.append(np.full(stored.size, len(upper)))
        column.append(stored)
        coefficient.append(sizes // divisor * scale)
        upper.append(capacity * scale)
    if not upper:
        return Rows(row=_none(), column=_none(), coefficient=np.empty(0), upper=np.empty(0))
    return Rows(
        row=np.concatenate(row),
        column=np.concatenate(column),
        coefficient=np.concatenate(coefficient),
        upper=np.array(upper),
    )


def cover_rows(columns: Columns) -> Rows:
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


def _none() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)
