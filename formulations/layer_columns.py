r"""Layers as columns: one 0/1 variable for each useful way to place a whole layer.

    maximise    sum over l, k of value[l,k] v[l,k]
    subject to  sum over k of v[l,k] <= 1                                   for each layer l
                sum over l, k of s[l] count[l,k,n] v[l,k] <= Q[n]           for each server n
                v in {0, 1}

Column k of layer l is a vector of counts, one for each server, with the best joint placement of the
layer that has these counts; vectors that gain no more than a smaller one are left out (layers whose
placement is empty need no column). This is the Dantzig-Wolfe form of the problem by layers with all
its columns written out: its relaxation is the tightest that treats layers one by one, and only the
knapsacks are left to branch on.

A layer whose joint placements are too many, or whose experts differ in size, keeps the rows of
:mod:`formulations.lifted`; so does one whose clauses have one expert each, where the relaxation has
next to no gap without. Both kinds share the capacity rows. Solvers that take advice branch on the v
first, which settles how much storage is left to the other layers: without, SCIP was seen to need
three times as long. See docs/theory.md, section 6.
"""

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.capacity import Storage, capacity_rows
from formulations.columns import Columns, build_columns
from formulations.compact import clause_rows, reach_rows, storage_of
from formulations.lifted import lifted_rows
from formulations.program import Program, Rows, objective_unit
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import Clauses
from instances.structure.joint import JointLayer, LayerOptions, layer_options
from instances.structure.tables import layer_part, residual_of

MAX_JOINT_BITS = 26
"""Most bits (experts in demand times servers) of a layer that is enumerated: 2^26 placements take
a quarter of a second."""

MAX_JOINT_BITS_IN_ALL = 29
"""Logarithm of the most joint placements over all layers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerColumns:
    """The columns v of enumerated layers, followed by those of the other layers.

    Parameters
    ----------
    options
        Each enumerated layer; its first option, the empty one, has no column.
    rest
        Columns x, y and z of the other layers.
    """

    options: tuple[LayerOptions, ...]
    rest: Columns

    def __len__(self) -> int:
        return self.num_v + len(self.rest)

    @property
    def num_v(self) -> int:
        """Number of columns v."""
        return sum(option.value.size - 1 for option in self.options)

    @property
    def num_choices(self) -> int:
        """Number of leading columns that settle the placement: those of v and x."""
        return self.num_v + self.rest.num_x

    @property
    def first(self) -> list[int]:
        """Number of the first column of each enumerated layer."""
        sizes = (option.value.size - 1 for option in self.options)
        return list(itertools.accumulate(sizes, initial=0))[:-1]

    def values(self, placement: Placement) -> NDArray[np.float64]:
        """Value of every column under a placement, or one that is no worse and takes no more."""
        values = np.zeros(len(self))
        for first, option in zip(self.first, self.options, strict=True):
            counts = placement.stored[:, option.layer.experts].sum(axis=1)
            small = np.flatnonzero((option.counts <= counts).all(axis=1))
            best = int(small[option.value[small].argmax()])
            if best > 0:
                values[first + best - 1] = 1.0
        values[self.num_v :] = self.rest.values(placement)
        return values

    def placement(self, chosen: NDArray[np.bool_]) -> Placement:
        """Make a placement of the v and x that are set; bool (num_choices,)."""
        stored = self.rest.placement(chosen[self.num_v :]).stored.copy()
        for first, option in zip(self.first, self.options, strict=True):
            for k in np.flatnonzero(chosen[first : first + option.value.size - 1]) + 1:
                for server, experts in enumerate(option.experts_of(int(k))):
                    stored[server, experts] = True
        return Placement(stored)


def build_layer_columns(instance: Instance, clauses: Clauses, deadline: Deadline) -> Program | None:
    """Write the formulation of an instance; None when time is up before all layers are done."""
    options: list[LayerOptions] = []
    compact: list[int] = []
    for layer, joint in enumerate(joint_layers(instance, clauses)):
        if joint is None:
            compact.append(layer)
        else:
            size = int(instance.expert_bytes[joint.experts[0]])
            most = np.minimum(instance.capacity_bytes // size, joint.experts.size)
            found = layer_options(joint, most, deadline)
            if found is None:
                return None
            options.append(found)
    rest = build_columns(instance, _only(clauses, compact))
    return _program(instance, LayerColumns(options=tuple(options), rest=rest))


def joint_layers(instance: Instance, clauses: Clauses) -> list[JointLayer | None]:
    """Cut the clauses into layers; None for a layer that is not enumerated."""
    nothing = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    whole = residual_of(clauses, nothing, *range(instance.num_servers))
    layers: list[JointLayer | None] = []
    steps = 0
    for number in range(instance.num_layers):
        part = layer_part(whole, number, instance.expert_bytes)
        bits = part.wanted.size * instance.num_servers
        fit = bits <= MAX_JOINT_BITS and steps + 2**bits <= 2**MAX_JOINT_BITS_IN_ALL
        if not fit or np.unique(part.sizes).size > 1 or part.is_additive:
            layers.append(None)
            continue
        steps += 2**bits
        members = slice(*whole.layer_offset[number : number + 2])
        sets = clauses.server_sets[clauses.server_set[whole.clause[members]]]
        layers.append(
            JointLayer(
                experts=part.wanted,
                weight=part.weight,
                servers=sets @ (1 << np.arange(instance.num_servers)),
                offsets=part.offsets,
                bits=part.bits,
            )
        )
    return layers


def _only(clauses: Clauses, layers: list[int]) -> Clauses:
    """Keep the clauses of some layers."""
    lengths = np.diff(clauses.layer_clause_offset)
    kept = np.isin(np.arange(lengths.size), layers)
    clause = np.repeat(kept, lengths)
    return dataclasses.replace(
        clauses,
        weight=clauses.weight[clause],
        server_set=clauses.server_set[clause],
        itemset=clauses.itemset[clause],
        layer_clause_offset=np.concatenate([[0], np.cumsum(lengths * kept)]),
    )


def _program(instance: Instance, columns: LayerColumns) -> Program:
    rest, num_v = columns.rest, columns.num_v
    capacity = capacity_rows(instance, _storage(instance, columns), len(columns))
    value = [option.value[1:] for option in columns.options]
    weight_ms = np.concatenate([*value, rest.weight_ms])
    most = [float(layer.max(initial=0.0)) for layer in value]
    unit_ms = objective_unit(math.fsum([*most, *rest.weight_ms]))
    num_carries = capacity.carry_row.size
    whole = np.arange(len(columns) + num_carries)
    one_of = Rows.stack(*map(_one_of, columns.options, columns.first))
    blocks = {
        "reach": reach_rows(rest),
        "clause": clause_rows(rest),
        "lifted": lifted_rows(instance, rest),
    }
    return Program(
        columns=columns,
        objective=np.concatenate([weight_ms / unit_ms, np.zeros(num_carries)]),
        unit_ms=unit_ms,
        upper=np.concatenate([np.ones(len(columns)), capacity.carry_upper]),
        is_whole=(whole < num_v + rest.first_z) | (whole >= len(columns)),
        branch_first=whole < num_v,
        rows=Rows.stack(
            capacity.rows,
            one_of,
            *(dataclasses.replace(block, column=block.column + num_v) for block in blocks.values()),
        ),
        carry_row=capacity.carry_row,
        row_server=capacity.server,
        row_kinds=(
            ("layer", one_of.num_rows),
            *((kind, block.num_rows) for kind, block in blocks.items()),
        ),
    )


def _storage(instance: Instance, columns: LayerColumns) -> Storage:
    """Return what each v and each x takes of the servers."""
    rest = storage_of(instance, columns.rest)
    parts = [dataclasses.replace(rest, column=rest.column + columns.num_v)]
    for first, option in zip(columns.first, columns.options, strict=True):
        k, server = np.nonzero(option.counts[1:])
        size = instance.expert_bytes[option.layer.experts[0]]
        parts.append(
            Storage(column=first + k, server=server, used_bytes=option.counts[1:][k, server] * size)
        )
    return Storage(
        column=np.concatenate([part.column for part in parts]),
        server=np.concatenate([part.server for part in parts]),
        used_bytes=np.concatenate([part.used_bytes for part in parts]),
    )


def _one_of(option: LayerOptions, first: int) -> Rows:
    """Let at most one column of a layer be 1."""
    members = first + np.arange(option.value.size - 1)
    return Rows.one(members, np.ones(members.size, dtype=np.int64), 1)
