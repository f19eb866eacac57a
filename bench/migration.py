"""Brings stores of older versions up to date, one version after the other."""

import hashlib
import json
import sqlite3
from collections.abc import Callable

from bench.kinds import kind_of
from bench.schema import SCHEMA_VERSION

_TO_2 = """
ALTER TABLE attempts ADD COLUMN uid TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN bound_certified INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN threads INTEGER NOT NULL DEFAULT 1;
ALTER TABLE attempts ADD COLUMN cores TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN superseded_by INTEGER REFERENCES attempts (id)
    DEFERRABLE INITIALLY DEFERRED;
DROP INDEX attempts_key;
CREATE UNIQUE INDEX attempts_key ON attempts (
    checksum, algorithm, parameters, ifnull(seed, -1), ifnull(time_limit, -1), start
) WHERE superseded_by IS NULL;
CREATE TABLE trajectories (
    attempt_id INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    seconds REAL NOT NULL,
    saving_ms REAL,
    bound_saving_ms REAL,
    bound_certified INTEGER NOT NULL,
    PRIMARY KEY (attempt_id, step)
) WITHOUT ROWID;
INSERT INTO trajectories
    SELECT id, 0, seconds, saving_ms, bound_saving_ms, 0 FROM attempts
    WHERE saving_ms IS NOT NULL OR bound_saving_ms IS NOT NULL;
"""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables from a version up to the current one, within the open transaction."""
    for step in range(version, SCHEMA_VERSION):
        _STEPS[step](connection)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _from_1(connection: sqlite3.Connection) -> None:
    """Certified bounds, kinds, trajectories, and attempts that stay when they are repeated.

    An identity made of what a row says is the same in every copy of a store.
    """
    cursor = connection.execute("SELECT * FROM attempts")
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for statement in _TO_2.split(";\n"):
        connection.execute(statement)
    for row in rows:
        content = {name: row[name] for name in sorted(row) if name not in ("id", "environment")}
        uid = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
        kind = kind_of(row["status"], row["stop_reason"]).value
        connection.execute(
            "UPDATE attempts SET uid = ?, kind = ? WHERE id = ?", (uid, kind, row["id"])
        )
    connection.execute("CREATE UNIQUE INDEX attempts_uid ON attempts (uid)")


def _from_2(connection: sqlite3.Connection) -> None:
    """Versions of plug-ins; of earlier rows they are not known."""
    for table in ("instances", "attempts"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN plugin TEXT NOT NULL DEFAULT ''")


_STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _from_1, 2: _from_2}
