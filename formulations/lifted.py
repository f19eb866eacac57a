r"""The lifted formulation: as compact, with rows that know how much fits together.

Servers S together hold at most C experts of a layer. Let G be the clauses with server set S and k
experts, and i one of their experts. When i is in reach, the other experts in reach are at most C-1,
so no more than

    M = min( comb(C-1, k-1), floor( D / (k-1) ) )

of the clauses of G that hold i are satisfied, D being the sum of the C-1 largest codegrees: the
codegree of j is the number of these clauses that hold j too. When i is not in reach, none is. Hence

    sum over c in G with i in A[c] of z[c]  <=  M y[S,i]
    sum over c in G with i in A[c] of w[c] z[c]  <=  W y[S,i]

where W is D / (k-1) with weights in place of numbers. Rows are written where they cut: where M
(or W) is less than what the clauses hold. Proof in docs/theory.md, section 6.

Rows that nested server sets suggest, y[S,i] <= y[S',i] and z[S,A] <= z[S',A] for S within S', cut
nothing off an optimum of the compact relaxation, which can always raise y and z of the larger set.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.columns import Columns, build_columns
from formulations.compact import clause_rows, program_of, reach_rows
from formulations.program import Program, Rows
from instances.problem import Instance
from instances.structure.clauses import Clauses

SLACK = 1e-9
"""Relative excess of W over its value in floating point, so that rounding cuts nothing off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The z of one layer, one set of servers and one number of experts.

    Parameters
    ----------
    z
        Numbers of the columns z; int64 (any,).
    parts
        The columns y (or x) that each of them needs; int64 (any, k).
    most
        Experts of the layer that the servers can hold together, C.
    """

    z: NDArray[np.int64]
    parts: NDArray[np.int64]
    most: int


def build_lifted(instance: Instance, clauses: Clauses) -> Program:
    """Write the lifted formulation of an instance."""
    columns = build_columns(instance, clauses)
    return program_of(
        instance,
        columns,
        reach=reach_rows(columns),
        clause=clause_rows(columns),
        lifted=lifted_rows(instance, columns),
    )


def lifted_rows(instance: Instance, columns: Columns) -> Rows:
    """Let no more clauses of an expert be satisfied than fit beside it."""
    return Rows.stack(
        *(row for group in groups(instance, columns) for row in _group_rows(columns, group))
    )


def groups(instance: Instance, columns: Columns) -> list[Group]:
    """Sort the z by layer, by the union of the server sets of their parts, and by size.

    All experts of a satisfied z are on the servers of that union, and a union and a set of experts
    belong to one z only.
    """
    holders, expert = _holders(columns)
    layer_of = np.repeat(np.arange(instance.num_layers), np.diff(instance.layer_expert_offset))
    sizes = np.diff(columns.z_offsets)
    union = np.zeros((sizes.size, instance.num_servers), dtype=np.bool_)
    layer = np.zeros(sizes.size, dtype=np.int64)
    if sizes.size:
        first = columns.z_offsets[:-1]
        union = np.logical_or.reduceat(holders[columns.z_parts], first, axis=0)
        layer = layer_of[expert[columns.z_parts[first]]]
    key = np.column_stack([layer, sizes, np.packbits(union, axis=1)])
    distinct, member = np.unique(key, axis=0, return_inverse=True)
    found = []
    for number, (group_layer, size, *_) in enumerate(distinct.tolist()):
        z = np.flatnonzero(member.reshape(-1) == number)
        parts = columns.z_parts[columns.z_offsets[z][:, None] + np.arange(size)]
        most = most_together(instance, group_layer, union[z[0]])
        found.append(Group(z=columns.first_z + z, parts=parts, most=most))
    return found


def most_together(instance: Instance, layer: int, servers: NDArray[np.bool_]) -> int:
    """Return a bound on the experts of a layer that some servers hold together; bool (N,)."""
    sizes = np.sort(instance.expert_bytes[instance.layer_experts(layer)])
    filled = np.cumsum(sizes)
    on_each = np.searchsorted(filled, instance.capacity_bytes[servers], side="right")
    return min(int(on_each.sum()), sizes.size)


def _holders(columns: Columns) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the servers and the expert of each x and y; bool (P + Y, N), int64 (P + Y,)."""
    num_servers, _ = columns.placement_shape
    holders = np.zeros((columns.first_z, num_servers), dtype=np.bool_)
    expert = np.empty(columns.first_z, dtype=np.int64)
    x = np.arange(columns.num_x)
    holders[x, columns.x_server], expert[x] = True, columns.x_expert
    y = np.repeat(np.arange(columns.num_x, columns.first_z), np.diff(columns.y_offsets))
    holders[y, columns.x_server[columns.y_sources]] = True
    expert[y] = columns.x_expert[columns.y_sources]
    return holders, expert


def _group_rows(columns: Columns, group: Group) -> list[Rows]:
    """Write the rows of a group that cut: one by numbers, one by weights, for each expert."""
    size = group.parts.shape[1]
    others = group.most - 1
    rows = []
    for part in np.unique(group.parts):
        member = np.flatnonzero((group.parts == part).any(axis=1))
        z = group.z[member]
        weight = columns.weight_ms[z]
        beside, codegree = np.unique(group.parts[member], return_inverse=True)
        codegree = codegree.reshape(-1)
        is_other = beside != part
        number = np.bincount(codegree, minlength=beside.size)[is_other]
        worth = np.bincount(codegree, weights=np.repeat(weight, size), minlength=beside.size)
        limit = _largest(number, others) // (size - 1)
        limit = min(limit, math.comb(max(others, 0), size - 1))
        if limit < member.size:
            rows.append(_row(z, np.ones(z.size), int(part), float(limit)))
        total = math.fsum(weight)
        value = _largest(worth[is_other], others) / (size - 1) * (1.0 + SLACK)
        # For pairs the numbers say as much: M of them, whichever they are.
        if size > 2 and value < total:
            scale = weight.max()
            rows.append(_row(z, weight / scale, int(part), value / scale))
    return rows


def _largest(values: NDArray[np.float64] | NDArray[np.int64], count: int) -> float:
    """Add up the ``count`` largest values."""
    return float(np.sort(values)[::-1][: max(count, 0)].sum())


def _row(z: NDArray[np.int64], coefficient: NDArray[np.float64], part: int, limit: float) -> Rows:
    """Write ``coefficient @ z <= limit * part``."""
    return Rows(
        row=np.zeros(z.size + 1, dtype=np.int64),
        column=np.append(z, part),
        coefficient=np.append(coefficient, -limit),
        upper=np.zeros(1),
    )
