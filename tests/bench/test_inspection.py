"""What is wrong in a store is found when it is opened, and named."""

import contextlib
import sqlite3

import pytest

from bench.store import Store
from instances.errors import InputError
from tests.bench.attempts import benchmark
from tests.bench.test_report import fill


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = fill(tmp_path_factory.mktemp("store") / "store.sqlite", benchmark(("mixtral",)))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (
            "UPDATE attempts SET seconds = 'long' WHERE id = 2",
            "attempts 2, seconds: 'long' is not a",
        ),
        (
            "UPDATE attempts SET seconds = 9e999 WHERE id = 2",
            "attempts 2, seconds: inf is not a numb",
        ),
        ("UPDATE attempts SET exact = 7 WHERE id = 3", "attempts 3, exact: 7 is not 0 or 1"),
        (
            "UPDATE attempts SET seed = 0.5 WHERE id = 1",
            "attempts 1, seed: 0.5 is not a whole number",
        ),
        (
            "UPDATE attempts SET reason = x'00' WHERE id = 1",
            "attempts 1, reason: b'.x00' is not text",
        ),
        ("UPDATE attempts SET status = 'fine' WHERE id = 4", "attempts 4, kind: .* for 'fine' and"),
        (
            "UPDATE attempts SET kind = 'optimal' WHERE kind = 'feasible'",
            "kind: 'optimal' for 'feasi",
        ),
        (
            "UPDATE attempts SET parameters = '{' WHERE id = 1",
            "attempts, parameters: '{' is not JSON",
        ),
        (
            "UPDATE attempts SET environment = 99 WHERE id = 5",
            "attempts 5: names a row of environmen",
        ),
        ("UPDATE instances SET model_shapes = '{}'", "model_shapes: an object of 0 is not a list"),
        (
            "UPDATE instances SET server_shapes = '[{}]'",
            "server_shapes: name is missing, or of ano",
        ),
        (
            "UPDATE environments SET content = '{\"cpu\": 1}'",
            "environments, content: python is missing",
        ),
        ("DELETE FROM instances", "attempts 1: names a row of instances that is not there"),
        ("ALTER TABLE attempts DROP COLUMN reason", "attempts: the column reason is missing"),
        ("DROP TABLE trajectories", "trajectories: the column attempt_id is missing"),
    ],
)
def test_damage_is_named(tmp_path, content, statement, complaint):
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    for opened in (Store.open, Store.open_for_writing):
        with pytest.raises(InputError, match=rf"^{path}: .*{complaint}"):
            opened(path)


def test_a_placement_that_is_none(tmp_path, content):
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO placements VALUES (1, x'0102')")
    with Store.open(path) as store:
        with pytest.raises(InputError, match=rf"^{path}: placements 1: not a compressed placement"):
            store.placement(1)
        assert store.placement(2) is None
