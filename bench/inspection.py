"""Is the content of a store what its schema says? Damage is told in one line, never worked around.

SQLite keeps a text in a column of numbers, and does not notice a flipped bit. Whoever has opened a
store can rely on the tables and columns of :mod:`bench.schema`, on values of their kinds, on
finite numbers, on JSON where there must be JSON, and on references that lead somewhere.
"""

import json
import sqlite3
import zlib
from itertools import chain
from typing import Any

from bench.kinds import kind_of
from bench.schema import SCHEMA, TRUTH
from instances.errors import InputError
from instances.fields import show

_TYPES = {
    "INTEGER": "'integer'",
    "REAL": "'real', 'integer'",
    "TEXT": "'text'",
    "BLOB": "'blob'",
}
_NOUNS = {"INTEGER": "a whole number", "REAL": "a number", "TEXT": "text", "BLOB": "bytes"}
_INFINITE = "9e999"

_Kinds = dict[str, type | tuple[type, ...]]
_MODEL: _Kinds = {
    "name": str,
    "layers": int,
    "experts": int,
    "top_k": int,
    "expert_bytes": (int, list),
}
_SERVER: _Kinds = {"name": str, "capacity_bytes": int}
_ENVIRONMENT: _Kinds = {
    **dict.fromkeys(("python", "platform", "cpu"), str),
    **dict.fromkeys(("cores", "memory_bytes"), int),
    "versions": dict,
}
_STORED: _Kinds = {"model": str, "layer": int, "experts": list}
_JSON: tuple[tuple[str, str, type, _Kinds], ...] = (
    ("instances", "options", dict, {}),
    ("instances", "model_shapes", list, _MODEL),
    ("instances", "server_shapes", list, _SERVER),
    ("environments", "content", dict, _ENVIRONMENT),
    ("attempts", "parameters", dict, {}),
)
"""Columns of JSON: an object or a list of objects, and the fields that each must have."""


def inspect(connection: sqlite3.Connection) -> None:
    """Look at every value of a store of the current version.

    Raises
    ------
    InputError
        Names the table, the row and the column of what is wrong.
    """
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise InputError("", f"damaged: {' '.join(verdict.split())}")
    for table, columns in _expected_columns().items():
        _require_columns(connection, table, columns)
        _require_kinds(connection, table, columns)
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        raise InputError(f"{table} {row}", f"names a row of {parent} that is not there")
    for table, column, noun, kinds in _JSON:
        for (text,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}"):
            _require_json(f"{table}, {column}", text, noun, kinds)
    query = "SELECT min(id), status, stop_reason, kind FROM attempts GROUP BY 2, 3, 4"
    for attempt, status, stop_reason, kind in connection.execute(query):
        try:
            right = kind_of(status, stop_reason).value == kind
        except ValueError:  # no such status, or no such stop reason
            right = False
        if not right:
            problem = f"{show(kind)} for {show(status)} and {show(stop_reason)}"
            raise InputError(f"attempts {attempt}, kind", problem)


_Columns = list[tuple[str, str, int]]


def _expected_columns() -> dict[str, _Columns]:
    """Name, kind and whether there must be a value, of each column of each table."""
    model = sqlite3.connect(":memory:")
    model.executescript(SCHEMA)
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    columns = {name: _columns(model, name) for (name,) in model.execute(names)}
    model.close()
    return columns


def _columns(connection: sqlite3.Connection, table: str) -> _Columns:
    query = f"SELECT name, type, \"notnull\" OR pk FROM pragma_table_info('{table}')"
    return connection.execute(query).fetchall()


def _require_columns(connection: sqlite3.Connection, table: str, expected: _Columns) -> None:
    found = _columns(connection, table)
    for column in expected:
        if column not in found:
            raise InputError(table, f"the column {column[0]} is missing, or of another kind")


def _require_kinds(connection: sqlite3.Connection, table: str, columns: _Columns) -> None:
    """Find the first value that is not of the kind of its column."""
    key = "attempt_id" if table in ("trajectories", "placements") else "rowid"
    cases = []
    for name, kind, required in columns:
        allowed = _TYPES[kind] + ("" if required else ", 'null'")
        wrong = f"typeof({name}) NOT IN ({allowed})"
        if kind == "REAL":
            wrong += f" OR {name} IN ({_INFINITE}, -{_INFINITE})"
        if name in TRUTH:
            wrong += f" OR {name} NOT IN (0, 1)"
        cases.append(f"WHEN {wrong} THEN '{name}'")
    query = (
        f"SELECT * FROM (SELECT {key} AS key, CASE {' '.join(cases)} END AS wrong FROM {table}) "
        "WHERE wrong IS NOT NULL LIMIT 1"
    )
    found = connection.execute(query).fetchone()
    if found is None:
        return
    row, column = found
    (value,) = connection.execute(
        f"SELECT {column} FROM {table} WHERE {key} = ?", (row,)
    ).fetchone()
    noun = next(_NOUNS[kind] for name, kind, _ in columns if name == column)
    if column in TRUTH:
        noun = "0 or 1"
    raise InputError(f"{table} {show(row)}, {column}", f"{show(value)} is not {noun}")


def decode_placement(data: bytes) -> dict[str, Any]:
    """Return the placement file that a store keeps compressed.

    Raises
    ------
    InputError
        When it is not one.
    """
    try:
        content = json.loads(zlib.decompress(data))
    except (zlib.error, ValueError, RecursionError):
        raise InputError("", "not a compressed placement file") from None
    servers = content.get("servers") if isinstance(content, dict) else None
    if not isinstance(servers, dict) or not all(isinstance(e, list) for e in servers.values()):
        raise InputError("", "not a placement file: it lists no servers")
    for entry in chain.from_iterable(servers.values()):
        _require_fields("", entry, _STORED)
        if not all(type(expert) is int for expert in entry["experts"]):
            raise InputError("", "an expert is not a whole number")
    return dict(content)


def _require_json(place: str, text: str, noun: type, kinds: _Kinds) -> None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(place, f"{show(text)} is not JSON") from None
    if not isinstance(content, noun):
        raise InputError(
            place, f"{show(content)} is not {'a list' if noun is list else 'an object'}"
        )
    for entry in content if isinstance(content, list) else [content]:
        _require_fields(place, entry, kinds)


def _require_fields(place: str, entry: object, kinds: _Kinds) -> None:
    """Check that it is an object of these fields alone; of any, when there are none."""
    if not isinstance(entry, dict):
        raise InputError(place, f"{show(entry)} is not an object")
    for name, kind in kinds.items():
        if not isinstance(entry.get(name), kind) or isinstance(entry[name], bool):
            raise InputError(place, f"{name} is missing, or of another kind")
    if kinds and len(entry) > len(kinds):
        raise InputError(place, f"unknown fields beside {', '.join(kinds)}")
