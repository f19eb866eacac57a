"""Names of columns and rows for files: they say what they are, in characters of every reader.

| name | what it is |
|---|---|
| x.SERVER.MODEL.Ll.Ee | the server stores expert e of layer l |
| y.Sk.MODEL.Ll.Ee | some server of set k stores it |
| z.Sk.MODEL.Ll.Ea_b_c | all these experts are on servers of set k |
| t.SERVER.d | carry from digit d of the server's capacity row to the next |
| capacity.SERVER, capacity.SERVER.d | its storage, or digit d of it |
| reach, clause, aggregated, lifted | the rows of the formulation, with the name of their column |

Letters, digits, ``_`` and ``.`` only; other characters of names become ``_``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from formulations.columns import Columns
from formulations.program import Program
from instances.problem import Instance

LONGEST_LABEL = 32
"""Longest name of a server or a model inside other names."""

LONGEST_NAME = 200
"""Longest name; LP files allow 255 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names of a program.

    Parameters
    ----------
    columns, rows
        Distinct names, in the order of the program.
    server_sets
        The servers of each set that a name mentions, by its label.
    """

    columns: list[str]
    rows: list[str]
    server_sets: dict[str, tuple[str, ...]]


def make_names(instance: Instance, program: Program) -> Names:
    """Name the columns and rows of a compact, aggregated or lifted program.

    Raises
    ------
    TypeError
        When the program has columns of another kind.
    """
    columns = program.columns
    if not isinstance(columns, Columns):
        raise TypeError(f"columns of kind {type(columns).__name__} have no names")
    servers = labels(instance.server_names)
    sets: dict[tuple[int, ...], str] = {}
    named = _column_names(instance, columns, servers, sets)
    digits = [_digit(program.row_server.tolist(), row) for row in range(program.row_server.size)]
    carries = [
        f"t.{servers[program.row_server[row]]}.{digits[row]}" for row in program.carry_row.tolist()
    ]
    rows = []
    for row, server in enumerate(program.row_server.tolist()):
        alone = np.count_nonzero(program.row_server == server) == 1
        rows.append(f"capacity.{servers[server]}" + ("" if alone else f".{digits[row]}"))
    for kind, count in program.row_kinds:
        rows.extend(_row_names(columns, kind, count, named))
    return Names(
        columns=[*named, *carries],
        rows=rows,
        server_sets={
            label: tuple(instance.server_names[n] for n in members)
            for members, label in sets.items()
        },
    )


def storage_names(instance: Instance) -> list[list[str]]:
    """Return the name x of every server and flat expert, whether or not it has a column."""
    servers, models = labels(instance.server_names), labels([m.name for m in instance.models])
    experts = [_expert(instance, models, expert) for expert in range(instance.num_experts)]
    return [[f"x.{server}.{expert}" for expert in experts] for server in servers]


def labels(names: Sequence[str]) -> list[str]:
    """Turn names into short distinct labels of letters, digits and ``_``.

    >>> labels(["edge-0", "edge 1"]), labels(["edge-0", "edge 0"])
    (['edge_0', 'edge_1'], ['edge_0_0', 'edge_0_1'])
    """
    plain = [re.sub(r"[^A-Za-z0-9_]", "_", name)[:LONGEST_LABEL] for name in names]
    if len(set(plain)) == len(plain):
        return plain
    return [f"{label}_{index}" for index, label in enumerate(plain)]


def _expert(instance: Instance, models: Sequence[str], *experts: int) -> str:
    """Name experts of one layer."""
    places = [instance.locate(expert) for expert in experts]
    model, layer, _ = places[0]
    members = "_".join(str(index) for _, _, index in places)
    return f"{models[model]}.L{layer}.E{members}"


def _column_names(
    instance: Instance,
    columns: Columns,
    servers: Sequence[str],
    sets: dict[tuple[int, ...], str],
) -> list[str]:
    """Name x, y and z; fills in the labels of server sets."""
    models = labels([model.name for model in instance.models])

    def label(members: tuple[int, ...]) -> str:
        return sets.setdefault(members, f"S{len(sets)}")

    holder = [(int(n), int(e)) for n, e in zip(columns.x_server, columns.x_expert, strict=True)]
    reach: list[tuple[tuple[int, ...], int]] = [((n,), e) for n, e in holder]
    names = [f"x.{servers[n]}.{_expert(instance, models, e)}" for n, e in holder]
    for begin, end in pairwise(columns.y_offsets.tolist()):
        sources = columns.y_sources[begin:end].tolist()
        members, expert = tuple(holder[j][0] for j in sources), holder[sources[0]][1]
        reach.append((members, expert))
        names.append(f"y.{label(members)}.{_expert(instance, models, expert)}")
    for number, (begin, end) in enumerate(pairwise(columns.z_offsets.tolist())):
        parts = [reach[j] for j in columns.z_parts[begin:end].tolist()]
        members = tuple(sorted({n for held, _ in parts for n in held}))
        experts = _expert(instance, models, *sorted(expert for _, expert in parts))
        name = f"z.{label(members)}.{experts}"
        names.append(name if len(name) <= LONGEST_NAME else f"z.{label(members)}.c{number}")
    return names


def _digit(row_server: list[int], row: int) -> int:
    return row - row_server.index(row_server[row])


def _row_names(columns: Columns, kind: str, count: int, named: Sequence[str]) -> list[str]:
    """Name the rows of one kind after the columns that they are about."""
    if kind == "reach":
        return [f"reach.{name[2:]}" for name in named[columns.num_x : columns.first_z]]
    if kind == "aggregated":
        return [f"aggregated.{name[2:]}" for name in named[columns.first_z :]]
    if kind == "clause":
        part = np.arange(columns.z_parts.size) - np.repeat(
            columns.z_offsets[:-1], np.diff(columns.z_offsets)
        )
        z = np.repeat(np.arange(columns.first_z, len(columns)), np.diff(columns.z_offsets))
        return [
            f"clause.{named[j][2:]}.{p}" for j, p in zip(z.tolist(), part.tolist(), strict=True)
        ]
    return [f"{kind}.{number}" for number in range(count)]
