"""The store: every finished attempt of a benchmark, in one SQLite file.

The tables are in :mod:`bench.schema`. An attempt, its trajectory and its placement are written in
one transaction, in write-ahead mode: a kill at any moment leaves either all or nothing of it.
"""

import json
import math
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bench.environment import Environment
from bench.incumbent import Step
from bench.inspection import decode_placement, inspect
from bench.kinds import kind_of
from bench.migration import migrate
from bench.records import AttemptKey, AttemptRecord, Ending, InstanceRecord
from bench.schema import (
    APPLICATION_ID,
    MAYBE_WHOLE,
    RESULTS,
    SCHEMA,
    SCHEMA_VERSION,
    TEXT,
    TRUTH,
    WHOLE,
)
from bench.sqlite_file import connect_read_only, plainly
from instances.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


class Store:
    """An open store. Use :meth:`open` or :meth:`open_for_writing`, and close it (``with``)."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open an existing store for reading, also while a run writes to it.

        A store of an older version is read through a copy in memory that is brought up to date.

        Raises
        ------
        InputError
            When there is no such file, or it is not a store, or it was written by a newer version.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError("", "no such store", source=str(path))
        with plainly(path):
            store = cls(path, connect_read_only(path))
        try:
            version = store._check_version()
            if version == 0:
                raise InputError("", "the file is empty, not a store of results", source=str(path))
            if version < SCHEMA_VERSION:
                store._read_copy(version)
            store._inspect()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open_for_writing(cls, path: str | Path) -> Self:
        """Open a store, or make a new one; one of an older version is brought up to date.

        Raises
        ------
        InputError
            When the file cannot be written, is not a store, or was written by a newer version.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError("", f"the directory {path.parent} does not exist", source=str(path))
        if path.is_dir():
            raise InputError("", "this is a directory, not a store", source=str(path))
        with plainly(path):
            connection = sqlite3.connect(path, isolation_level=None, timeout=60)
        store = cls(path, connection)
        try:
            version = store._check_version()
            with plainly(path):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
            if version < SCHEMA_VERSION:
                with store._transaction():
                    version = store._check_version()  # another process may have been faster
                    if version == 0:
                        for statement in SCHEMA.split(";\n"):
                            connection.execute(statement)
                        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    elif version < SCHEMA_VERSION:
                        migrate(connection, version)
            with store._transaction():  # an unwritable store is refused before hours of work
                connection.execute("DELETE FROM attempts WHERE id IS NULL")
            store._inspect()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------

    def add_environment(self, environment: Environment) -> int:
        """Note the machine that is about to run, and return its number."""
        content = json.dumps(asdict(environment), sort_keys=True)
        with self._transaction():
            self._connection.execute(
                "INSERT INTO environments (content) VALUES (?) ON CONFLICT DO NOTHING", (content,)
            )
            query = "SELECT id FROM environments WHERE content = ?"
            return int(self._connection.execute(query, (content,)).fetchone()[0])

    def add_instance(self, record: InstanceRecord) -> None:
        """Note an instance; one that is known already (same checksum) is brought up to date."""
        row = asdict(record)
        for name in ("options", "model_shapes", "server_shapes"):
            row[name] = json.dumps(row[name], sort_keys=True)
        names = ", ".join(row)
        slots = ", ".join(f":{name}" for name in row)
        updates = ", ".join(f"{name} = excluded.{name}" for name in row)
        with self._transaction():
            self._connection.execute(
                f"INSERT INTO instances ({names}) VALUES ({slots}) "
                f"ON CONFLICT (checksum) DO UPDATE SET {updates}",
                row,
            )

    def record(self, attempt: AttemptRecord) -> int:
        """Write a finished attempt with its trajectory and placement, and return its number.

        From now on it counts in place of an earlier attempt with the same key, which is kept.
        """
        with self._transaction():
            return self._insert(attempt)

    def _insert(self, attempt: AttemptRecord) -> int:
        row = {item.name: getattr(attempt, item.name) for item in fields(attempt)}
        row.update(asdict(row.pop("key")))
        placement, trajectory = row.pop("placement"), row.pop("trajectory")
        row["kind"] = kind_of(attempt.status, attempt.stop_reason).value
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                row[name] = None
        row["exact"] = int(attempt.exact)
        row["bound_certified"] = int(attempt.bound_certified)
        query = "SELECT ifnull(max(id), 0) + 1 FROM attempts"
        (row["id"],) = self._connection.execute(query).fetchone()
        self._connection.execute(
            "UPDATE attempts SET superseded_by = :id WHERE checksum = :checksum "
            "AND algorithm = :algorithm AND parameters = :parameters AND seed IS :seed "
            "AND time_limit IS :time_limit AND start = :start AND superseded_by IS NULL",
            {**asdict(attempt.key), "id": row["id"]},
        )
        names = ", ".join(row)
        slots = ", ".join(f":{name}" for name in row)
        self._connection.execute(f"INSERT INTO attempts ({names}) VALUES ({slots})", row)
        self._connection.executemany(
            "INSERT INTO trajectories VALUES (?, ?, ?, ?, ?, ?)",
            [
                (row["id"], number, *(None if not math.isfinite(v) else v for v in astuple(step)))
                for number, step in enumerate(trajectory)
            ],
        )
        if placement is not None:
            text = json.dumps(placement, separators=(",", ":"))
            self._connection.execute(
                "INSERT INTO placements (attempt_id, content) VALUES (?, ?)",
                (row["id"], zlib.compress(text.encode())),
            )
        return int(row["id"])

    # -- reading ----------------------------------------------------------------------------

    def finished(self) -> dict[AttemptKey, Ending]:
        """How every attempt that counts has ended."""
        key = tuple(item.name for item in fields(AttemptKey))
        ending = tuple(item.name for item in fields(Ending))
        columns = ", ".join((*key, *ending))
        query = f"SELECT {columns} FROM attempts WHERE superseded_by IS NULL"
        with plainly(self.path):
            return {
                AttemptKey(**dict(zip(key, row, strict=False))): Ending(*row[len(key) :])
                for row in self._connection.execute(query)
            }

    def generated_checksum(
        self,
        family: str,
        size: str,
        seed: int,
        options: Mapping[str, Any],
        code_version: str,
        plugin: str = "",
    ) -> str | None:
        """Checksum of an instance that the same code has generated before, or None."""
        query = (
            "SELECT checksum FROM instances WHERE family = ? AND size = ? AND seed = ? "
            "AND options = ? AND code_version = ? AND plugin = ?"
        )
        content = json.dumps(dict(options), sort_keys=True)
        key = (family, size, seed, content, code_version, plugin)
        with plainly(self.path):
            row = self._connection.execute(query, key).fetchone()
        return None if row is None else str(row[0])

    def best_known(self, checksum: str) -> tuple[float, float]:
        """Return the best saving (NaN without one) and lowest bound (infinite) on an instance."""
        query = (
            "SELECT max(saving_ms), min(bound_saving_ms) FROM attempts "
            "WHERE checksum = ? AND superseded_by IS NULL AND status <> 'error'"
        )
        with plainly(self.path):
            saving, bound = self._connection.execute(query, (checksum,)).fetchone()
        return (math.nan if saving is None else saving, math.inf if bound is None else bound)

    def results(self, *, history: bool = False) -> "pd.DataFrame":
        """Return one row for each attempt, in the order in which they finished.

        Attempts that were repeated later are left out unless the history is asked for.

        Columns: attempt_id, instance, checksum, family, size, instance_seed, options (JSON),
        models, servers, users, layers, experts, top_k, rows, clauses, algorithm, exact,
        parameters (JSON), seed, time_limit, start, start_seconds, status, stop_reason, kind,
        reason, saving_ms, latency_ms, empty_latency_ms, bound_saving_ms, bound_certified,
        claimed_saving_ms, seconds, guarantee_ratio, guarantee, threads, cores, memory_limit_bytes,
        started_at, code_version, plugin, environment, uid, superseded_by. Text is never missing
        (empty instead); numbers are NaN, and the two seeds and superseded_by <NA>, where there is
        none.
        """
        import pandas as pd

        with plainly(self.path):
            counting = "" if history else "WHERE superseded_by IS NULL "
            cursor = self._connection.execute(f"{RESULTS} {counting}ORDER BY attempts.id")
            names = [column[0] for column in cursor.description]
            frame = pd.DataFrame(cursor.fetchall(), columns=names)
        kinds: dict[str, str] = dict.fromkeys(names, "float64")
        kinds.update(dict.fromkeys(TEXT, "object"), **dict.fromkeys(TRUTH, "bool"))
        kinds.update(dict.fromkeys(WHOLE, "int64"), **dict.fromkeys(MAYBE_WHOLE, "Int64"))
        return frame.astype(kinds)

    def placement(self, attempt_id: int) -> dict[str, Any] | None:
        """Return the placement of an attempt as the object of a placement file, or None."""
        query = "SELECT content FROM placements WHERE attempt_id = ?"
        with plainly(self.path):
            row = self._connection.execute(query, (int(attempt_id),)).fetchone()
        if row is None:
            return None
        try:
            return decode_placement(row[0])
        except InputError as error:
            raise error.within(f"placements {attempt_id}").in_file(str(self.path)) from None

    def trajectory(self, attempt_id: int) -> tuple[Step, ...]:
        """Return what was known at which moment of an attempt, in the order of time."""
        query = (
            "SELECT seconds, saving_ms, bound_saving_ms, bound_certified FROM trajectories "
            "WHERE attempt_id = ? ORDER BY step"
        )
        with plainly(self.path):
            rows = self._connection.execute(query, (int(attempt_id),)).fetchall()
        return tuple(
            Step(
                seconds=seconds,
                saving_ms=math.nan if saving is None else saving,
                bound_saving_ms=math.inf if bound is None else bound,
                bound_certified=bool(certified),
            )
            for seconds, saving, bound, certified in rows
        )

    def trajectories(self) -> "pd.DataFrame":
        """Return the trajectories of all attempts, also of those that were repeated later.

        Columns: attempt_id, step, seconds, saving_ms, bound_saving_ms (NaN while unknown),
        bound_certified.
        """
        import pandas as pd

        with plainly(self.path):
            cursor = self._connection.execute(
                "SELECT * FROM trajectories ORDER BY attempt_id, step"
            )
            names = [column[0] for column in cursor.description]
            frame = pd.DataFrame(cursor.fetchall(), columns=names)
        kinds = dict.fromkeys(names, "float64")
        return frame.astype({**kinds, "attempt_id": "int64", "step": "int64", names[-1]: "bool"})

    def instances(self) -> "pd.DataFrame":
        """Return one row for each instance, with the columns of the table ``instances``."""
        import pandas as pd

        with plainly(self.path):
            cursor = self._connection.execute("SELECT * FROM instances ORDER BY rowid")
            names = [column[0] for column in cursor.description]
            frame = pd.DataFrame(cursor.fetchall(), columns=names)
        return frame.astype({"seed": "Int64"})

    def instance_record(self, checksum: str) -> InstanceRecord:
        """Return the facts about an instance, its models and servers among them.

        Raises
        ------
        InputError
            When the store does not hold it.
        """
        with plainly(self.path):
            cursor = self._connection.execute(
                "SELECT * FROM instances WHERE checksum = ?", (checksum,)
            )
            row = cursor.fetchone()
        if row is None:
            raise InputError("checksum", f"no instance {checksum!r}", source=str(self.path))
        facts = dict(zip((column[0] for column in cursor.description), row, strict=True))
        for name in ("options", "model_shapes", "server_shapes"):
            facts[name] = json.loads(facts[name])
        facts["model_shapes"] = tuple(facts["model_shapes"])
        facts["server_shapes"] = tuple(facts["server_shapes"])
        return InstanceRecord(**facts)

    def environments(self) -> dict[int, Environment]:
        """Return the machines that took part, by the number in column ``environment``."""
        with plainly(self.path):
            rows = self._connection.execute("SELECT id, content FROM environments ORDER BY id")
            return {number: Environment(**json.loads(content)) for number, content in rows}

    def export_csv(self, path: str | Path) -> None:
        """Write :meth:`results` as CSV, UTF-8, empty where a number is unknown."""
        from instances.files import write_atomically

        text = self.results().to_csv(index=False, lineterminator="\n")
        write_atomically(Path(path), text.encode())

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hand out the connection for queries that see one state of the store."""
        with plainly(self.path):
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hand out the connection for one transaction: all of it is kept, or nothing."""
        with self._transaction():
            yield self._connection

    # -- the file ---------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with plainly(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _read_copy(self, version: int) -> None:
        """Read a copy in memory from now on, and bring that up to date."""
        copy = sqlite3.connect(":memory:", isolation_level=None)
        with plainly(self.path):
            self._connection.backup(copy)
        self._connection.close()
        self._connection = copy
        with self._transaction():
            migrate(copy, version)

    def _inspect(self) -> None:
        try:
            with plainly(self.path):
                inspect(self._connection)
        except InputError as error:
            raise error.in_file(str(self.path)) from None

    def _check_version(self) -> int:
        """Return the version, 0 without tables; raise when it is not ours, or newer than this."""
        with plainly(self.path):
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application == 0 and version == 0 and tables == 0:
            return 0
        if application != APPLICATION_ID:
            raise InputError("", "an SQLite file, but not a moeplace store", source=str(self.path))
        if version > SCHEMA_VERSION:
            raise InputError(
                "",
                f"written by a newer moeplace (store version {version}; this one reads up to "
                f"{SCHEMA_VERSION})",
                source=str(self.path),
            )
        return int(version)
