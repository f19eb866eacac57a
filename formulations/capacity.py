"""Capacity rows that a floating-point solver keeps to the byte."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.program import Rows
from instances.problem import Instance

MAX_SINGLE_ROW = 2**16
"""Largest capacity, in units of storage, that stays one row. A solver that may be off by 1e-7 in a
row or in a whole number then cannot be off by a unit; wrong optima were seen from 2**25 units."""

DIGIT = 2**12
"""Base in which larger capacities are written."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Storage:
    """What columns take of the servers, as triplets.

    Parameters
    ----------
    column, server, used_bytes
        Column, server, and the bytes that the column takes of it when it is 1, > 0; int64 (any,).
    """

    column: NDArray[np.int64]
    server: NDArray[np.int64]
    used_bytes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CapacityRows:
    """Rows, and the extra columns that they need.

    Parameters
    ----------
    rows
        The rows, meant to be the first of a program.
    carry_row
        For each carry the row of its low digits; int64 (carries,).
    carry_upper
        Largest value of each carry; float64 (carries,).
    server
        Server of each row; int64 (rows,).
    """

    rows: Rows
    carry_row: NDArray[np.int64]
    carry_upper: NDArray[np.float64]
    server: NDArray[np.int64]


def capacity_rows(instance: Instance, storage: Storage, first_carry: int) -> CapacityRows:
    """Keep each server within its storage; rows that cannot be violated are left out.

    Sizes and capacity are divided by the greatest common divisor of the sizes on that server, and
    the capacity is rounded down: exact, since storage is then only ever taken in whole units.
    Numbers that are still too large for a solver's tolerances are written in digits of base D: with
    s = D a + b and Q = D A + B, the two rows

        sum of b x <= B + D t,    t + sum of a x <= A,    t = 0, 1, ... whole

    say what sum of s x <= Q says; a and A are split again until they are small.

    Parameters
    ----------
    storage
        What columns take.
    first_carry
        Number of the column that the first carry t will have.
    """
    blocks: list[Rows] = []
    carry_row: list[int] = []
    carry_upper: list[int] = []
    row_server: list[int] = []
    for server in range(instance.num_servers):
        entries = storage.server == server
        column, sizes = storage.column[entries], storage.used_bytes[entries]
        capacity = int(instance.capacity_bytes[server])
        if sum(sizes.tolist()) <= capacity:
            continue
        unit = int(np.gcd.reduce(sizes))
        sizes, capacity = sizes // unit, capacity // unit
        most = np.ones(column.size, dtype=np.int64)  # largest value of each column
        while capacity > MAX_SINGLE_ROW:
            carry = first_carry + len(carry_row)
            low = sizes % DIGIT
            carry_row.append(len(blocks))
            carry_upper.append(math.ceil(int(low @ most) / DIGIT))
            column = np.append(column, carry)
            blocks.append(Rows.one(column, np.append(low, -DIGIT), capacity % DIGIT))
            most = np.append(most, carry_upper[-1])
            sizes, capacity = np.append(sizes // DIGIT, 1), capacity // DIGIT
        blocks.append(Rows.one(column, sizes, capacity))
        row_server.extend([server] * (len(blocks) - len(row_server)))
    return CapacityRows(
        rows=Rows.stack(*blocks),
        carry_row=np.array(carry_row, dtype=np.int64),
        carry_upper=np.array(carry_upper, dtype=np.float64),
        server=np.array(row_server, dtype=np.int64),
    )
