import math
import sqlite3
from pathlib import Path

import pytest

from bench.incumbent import Step
from bench.records import AttemptKey, Ending
from bench.schema import SCHEMA_VERSION
from bench.store import Store
from tests.bench.old_stores import write_version_1


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.sqlite"
    write_version_1(path)
    return path


def _version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def _check(store: Store) -> None:
    results = store.results().set_index("algorithm")
    assert results["kind"].to_dict() == {
        "greedy": "feasible",
        "milp": "time_limit",
        "liar": "wrong",
    }
    assert not results["bound_certified"].any()
    assert results["superseded_by"].isna().all()
    assert results["uid"].nunique() == 3
    assert (results["uid"].str.len() == 32).all()
    assert results.loc["greedy", "saving_ms"] == 1.5
    assert store.placement(1) == {"servers": {}}
    assert store.trajectory(1) == (
        Step(seconds=0.25, saving_ms=1.5, bound_saving_ms=math.inf, bound_certified=False),
    )
    (step,) = store.trajectory(2)
    assert math.isnan(step.saving_ms)
    assert step.bound_saving_ms == 7.5
    assert store.trajectory(3) == ()
    milp = AttemptKey(checksum="c0", algorithm="milp", seed=3, time_limit=5.0, start="auto")
    assert store.finished()[milp] == Ending("no_solution", "time_limit", "v1")
    assert store.environments()[1].cpu == "abacus"


def test_old_store_is_read_without_being_changed(old: Path) -> None:
    before = old.read_bytes()
    with Store.open(old) as store:
        _check(store)
    assert old.read_bytes() == before
    assert _version(old) == 1


def test_old_store_is_brought_up_to_date_when_it_is_written(old: Path) -> None:
    with Store.open_for_writing(old) as store:
        _check(store)
    assert _version(old) == SCHEMA_VERSION
    with Store.open(old) as store:
        _check(store)


def test_identities_are_the_same_in_every_copy(old: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    write_version_1(copy)
    with Store.open(old) as one, Store.open_for_writing(copy) as other:
        assert list(one.results()["uid"]) == list(other.results()["uid"])


def test_migrated_tables_are_those_of_a_new_store(old: Path, tmp_path: Path) -> None:
    """Column by column, and the same indices."""

    def shape(path: Path) -> dict[str, object]:
        Store.open_for_writing(path).close()
        connection = sqlite3.connect(path)
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        columns = {
            name: [row[1:6] for row in connection.execute(f"PRAGMA table_info({name})")]
            for name in names
        }
        indices = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
        )
        texts = {name: " ".join(sql.split()) for name, sql in indices}
        connection.close()
        return {**columns, "indices": texts}

    assert shape(old) == shape(tmp_path / "new.sqlite")


def test_interrupted_migration_leaves_the_old_store(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(status: str, stop_reason: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.migration.kind_of", stumble)
    with pytest.raises(KeyboardInterrupt):
        Store.open_for_writing(old)
    assert _version(old) == 1
    monkeypatch.undo()
    with Store.open(old) as store:
        _check(store)
