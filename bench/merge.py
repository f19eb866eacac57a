"""Two stores, or more, made one: every attempt once, and the latest of each key counts."""

import itertools
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.store import Store
from instances.errors import InputError

_KEY = ("checksum", "algorithm", "parameters", "seed", "time_limit", "start")


@dataclass(slots=True)
class Merged:
    """What a merge took over.

    Parameters
    ----------
    attempts
        Attempts that the target did not have.
    known
        Attempts that it had already.
    """

    attempts: int = 0
    known: int = 0


def merge(sources: Iterable[str | Path], target: str | Path) -> Merged:
    """Copy every attempt of the sources that the target lacks, each store in one transaction.

    The order of the sources does not matter to which attempts count: among those with one key it
    is the one that was started last.

    Raises
    ------
    InputError
        When a file is not a store, or the target is one of the sources.
    """
    paths = [Path(source) for source in sources]
    for path in paths:
        if Path(target).exists() and path.exists() and path.samefile(target):
            raise InputError("", "cannot be merged into itself", source=str(path))
    merged = Merged()
    for path in paths:
        Store.open(path).close()  # a mistake in the last one is found before the first is copied
    with Store.open_for_writing(target) as into:
        for path in paths:
            with Store.open(path) as store:
                _copy(store, into, merged)
    return merged


def _copy(store: Store, into: Store, merged: Merged) -> None:
    with store.reading() as source, into.writing() as connection:
        known = {uid for (uid,) in connection.execute("SELECT uid FROM attempts")}
        (last,) = connection.execute("SELECT ifnull(max(id), 0) FROM attempts").fetchone()
        environments: dict[int, int] = {}
        for number, content in source.execute("SELECT id, content FROM environments"):
            connection.execute(
                "INSERT INTO environments (content) VALUES (?) ON CONFLICT DO NOTHING", (content,)
            )
            query = "SELECT id FROM environments WHERE content = ?"
            (environments[number],) = connection.execute(query, (content,)).fetchone()
        for row in _rows(source, "SELECT * FROM instances"):
            _insert(connection, "instances", row, "ON CONFLICT DO NOTHING")
        numbers: dict[int, int] = {}
        touched = set()
        for row in _rows(source, "SELECT * FROM attempts ORDER BY id"):
            if row["uid"] in known:
                merged.known += 1
                continue
            merged.attempts += 1
            numbers[row["id"]] = last + len(numbers) + 1
            touched.add(tuple(row[name] for name in _KEY))
            row["id"] = numbers[row["id"]]
            row["environment"] = environments[row["environment"]]
            # None of them counts until it is known which is the last.
            row["superseded_by"] = row["id"]
            _insert(connection, "attempts", row)
        for table in ("trajectories", "placements"):
            for row in _rows(source, f"SELECT * FROM {table}"):
                if row["attempt_id"] in numbers:
                    row["attempt_id"] = numbers[row["attempt_id"]]
                    _insert(connection, table, row)
        for key in sorted(touched, key=json.dumps):
            _settle(connection, key)


def _settle(connection: sqlite3.Connection, key: tuple[object, ...]) -> None:
    """Let the latest attempt of a key count, and chain the earlier ones to it."""
    condition = " AND ".join(f"{name} IS ?" for name in _KEY)
    order = [
        number
        for (number,) in connection.execute(
            f"SELECT id FROM attempts WHERE {condition} ORDER BY started_at, uid", key
        )
    ]
    for number, successor in itertools.pairwise(order):
        connection.execute(
            "UPDATE attempts SET superseded_by = ? WHERE id = ?", (successor, number)
        )
    connection.execute("UPDATE attempts SET superseded_by = NULL WHERE id = ?", (order[-1],))


def _rows(connection: sqlite3.Connection, query: str) -> Iterable[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _insert(
    connection: sqlite3.Connection, table: str, row: dict[str, Any], conflict: str = ""
) -> None:
    names = ", ".join(row)
    slots = ", ".join(f":{name}" for name in row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({slots}) {conflict}", row)
