"""An SQLite file: opened for reading wherever it lies, and its errors told in one line."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instances.errors import InputError


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a file for reading, also where nothing can be written beside it."""
    address = path.absolute().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, isolation_level=None, timeout=60)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        # Write-ahead mode needs a file beside the store even for reading. In a read-only directory
        # there is none; nobody can be writing there either, so the store may be read as it is.
        connection = sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
    return connection


@contextmanager
def plainly(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into one line that names the file."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        problem = str(error)
        if "not a database" in problem:
            problem = "not a moeplace store"
        raise InputError("", problem, source=str(path)) from error
