import csv
import dataclasses
import math
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.environment import Environment, code_version, current_environment
from bench.facts import describe_instance
from bench.incumbent import Step
from bench.records import AttemptKey, AttemptRecord, Ending, InstanceRecord
from bench.schema import SCHEMA_VERSION
from bench.store import Store
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance

ENVIRONMENT = Environment(
    python="3.11.0", platform="Linux", cpu="abacus", cores=2, memory_bytes=7, versions={"a": "1"}
)
PLACEMENT = {"format": "moeplace/placement", "servers": {"near": []}}


@pytest.fixture
def record(tiny: Instance) -> InstanceRecord:
    return describe_instance(
        tiny, family="tiny", size="small", seed=3, options={"b": 1, "a": 2}, code_version="v1"
    )


@pytest.fixture
def attempt(record: InstanceRecord) -> AttemptRecord:
    return AttemptRecord(
        key=AttemptKey(checksum=record.checksum, algorithm="greedy", time_limit=5),
        exact=False,
        status="feasible",
        stop_reason="completed",
        reason="",
        seconds=0.25,
        started_at="2026-01-01T00:00:00+00:00",
        code_version="v1",
        environment=1,
        saving_ms=1.5,
        latency_ms=2.5,
        guarantee="F >= 1/2 OPT",
        guarantee_ratio=0.5,
        placement=PLACEMENT,
    )


@pytest.fixture
def path(tmp_path: Path, record: InstanceRecord, attempt: AttemptRecord) -> Path:
    """A store with one instance and one attempt."""
    path = tmp_path / "results.sqlite"
    with Store.open_for_writing(path) as store:
        assert store.add_environment(ENVIRONMENT) == 1
        store.add_instance(record)
        assert store.record(attempt) == 1
    return path


def test_facts_of_an_instance(tiny: Instance, record: InstanceRecord) -> None:
    assert record.empty_latency_ms == evaluate(tiny, Placement.empty(tiny)).latency_ms == 23.5625
    assert (record.models, record.servers, record.users) == (1, 2, 2)
    assert (record.layers, record.experts, record.top_k, record.rows) == (2, 6, 2, 6)
    assert record.model_shapes == (
        {"name": "toy", "layers": 2, "experts": 3, "top_k": 2, "expert_bytes": 10},
    )
    assert record.server_shapes[1] == {"name": "far", "capacity_bytes": 30}


def test_results_has_a_row_with_every_fact(
    path: Path, record: InstanceRecord, attempt: AttemptRecord
) -> None:
    with Store.open(path) as store:
        (row,) = store.results().to_dict("records")
    for name, value in (
        ("instance", "tiny-by-hand"),
        ("family", "tiny"),
        ("size", "small"),
        ("instance_seed", 3),
        ("options", '{"a": 2, "b": 1}'),
        ("clauses", record.clauses),
        ("algorithm", "greedy"),
        ("parameters", "{}"),
        ("time_limit", 5.0),
        ("saving_ms", 1.5),
        ("empty_latency_ms", 23.5625),
        ("guarantee", "F >= 1/2 OPT"),
        ("environment", 1),
    ):
        assert row[name] == value, name
    assert row["exact"] is False
    for name in ("bound_saving_ms", "claimed_saving_ms", "start_seconds"):
        assert math.isnan(row[name]), name
    assert pd.isna(row["seed"])


def test_types_of_columns_do_not_depend_on_the_rows(tmp_path: Path, path: Path) -> None:
    with Store.open_for_writing(tmp_path / "empty.sqlite") as empty, Store.open(path) as full:
        none, some = empty.results(), full.results()
    assert len(none) == 0
    assert none.dtypes.to_dict() == some.dtypes.to_dict()
    assert some["exact"].dtype == np.bool_
    assert str(some["seed"].dtype) == str(some["instance_seed"].dtype) == "Int64"


def test_placement_and_instance_come_back(path: Path, record: InstanceRecord) -> None:
    with Store.open(path) as store:
        assert store.placement(1) == PLACEMENT
        assert store.placement(2) is None
        assert store.instance_record(record.checksum) == record
        assert store.environments() == {1: ENVIRONMENT}
        with pytest.raises(InputError, match=r"checksum: no instance 'none'"):
            store.instance_record("none")


def test_repeated_attempt_counts_and_the_earlier_one_is_kept(
    path: Path, attempt: AttemptRecord
) -> None:
    with Store.open_for_writing(path) as store:
        store.record(dataclasses.replace(attempt, uid="2", saving_ms=9.0, placement=None))
        (row,) = store.results().to_dict("records")
        assert (row["attempt_id"], row["saving_ms"]) == (2, 9.0)
        assert pd.isna(row["superseded_by"])
        assert store.placement(2) is None
        store.record(dataclasses.replace(attempt, uid="3", status="error", stop_reason="crashed"))
        assert list(store.results()["kind"]) == ["crashed"]
        assert store.finished() == {attempt.key: Ending("error", "crashed", "v1")}
        history = store.results(history=True)
        assert list(history["saving_ms"]) == [1.5, 9.0, 1.5]
        assert history["superseded_by"].tolist() == [2, 3, pd.NA]
        assert store.placement(1) == PLACEMENT


def test_trajectory_comes_back_with_unknown_values(path: Path, attempt: AttemptRecord) -> None:
    steps = (
        Step(seconds=0.1, saving_ms=math.nan, bound_saving_ms=9.0, bound_certified=False),
        Step(seconds=0.2, saving_ms=1.5, bound_saving_ms=8.0, bound_certified=True),
    )
    key = dataclasses.replace(attempt.key, algorithm="other")
    with Store.open_for_writing(path) as store:
        number = store.record(
            dataclasses.replace(attempt, key=key, uid="2", trajectory=steps, bound_certified=True)
        )
        found = store.trajectory(number)
        assert repr(found) == repr(steps)
        assert store.trajectory(1) == ()
        frame = store.trajectories()
        assert frame["attempt_id"].tolist() == [number, number]
        assert frame["step"].tolist() == [0, 1]
        assert frame["bound_certified"].tolist() == [False, True]
        assert math.isnan(frame["saving_ms"][0])
        assert store.results()["bound_certified"].tolist() == [False, True]


def test_results_say_where_and_with_how_many_threads(path: Path, attempt: AttemptRecord) -> None:
    key = dataclasses.replace(attempt.key, algorithm="other")
    with Store.open_for_writing(path) as store:
        store.record(
            dataclasses.replace(
                attempt, key=key, uid="2", threads=4, cores="0,2", memory_limit_bytes=10**9
            )
        )
        first, second = store.results().to_dict("records")
    assert (first["threads"], first["cores"]) == (1, "")
    assert math.isnan(first["memory_limit_bytes"])
    assert (second["threads"], second["cores"]) == (4, "0,2")
    assert second["memory_limit_bytes"] == 1e9
    assert len(first["uid"]) == 32


def test_instances_have_a_row_each(path: Path, record: InstanceRecord) -> None:
    with Store.open(path) as store:
        (row,) = store.instances().to_dict("records")
    assert (row["checksum"], row["clauses"]) == (record.checksum, record.clauses)


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "random"},
        {"parameters": '{"a": 1}'},
        {"seed": 0},
        {"time_limit": None},
        {"time_limit": 6},
        {"start": "auto"},
    ],
)
def test_every_part_of_the_key_counts(
    path: Path, attempt: AttemptRecord, change: dict[str, object]
) -> None:
    other = dataclasses.replace(attempt.key, **change)  # type: ignore[arg-type]
    with Store.open_for_writing(path) as store:
        for uid in ("2", "3"):
            store.record(dataclasses.replace(attempt, key=other, uid=uid))
        assert store.finished() == {
            attempt.key: Ending("feasible", "completed", "v1"),
            other: Ending("feasible", "completed", "v1"),
        }


def test_unknown_numbers_are_null_in_the_file(path: Path) -> None:
    query = "SELECT bound_saving_ms, claimed_saving_ms, seed FROM attempts"
    assert sqlite3.connect(path).execute(query).fetchone() == (None, None, None)


def test_attempt_without_its_instance_is_refused_and_leaves_nothing(
    path: Path, attempt: AttemptRecord
) -> None:
    stray = dataclasses.replace(attempt, key=dataclasses.replace(attempt.key, checksum="none"))
    with Store.open_for_writing(path) as store:
        with pytest.raises(sqlite3.IntegrityError):
            store.record(stray)
        assert len(store.results()) == 1


def test_generated_checksum_is_known_for_the_same_code_only(
    path: Path, record: InstanceRecord
) -> None:
    with Store.open(path) as store:

        def known(seed: int = 3, code: str = "v1", **options: int) -> str | None:
            return store.generated_checksum("tiny", "small", seed, options, code)

        assert known(a=2, b=1) == record.checksum
        assert known(a=2) is None
        assert known(seed=4, a=2, b=1) is None
        assert known(code="v2", a=2, b=1) is None


def test_environment_is_noted_once(path: Path) -> None:
    with Store.open_for_writing(path) as store:
        assert store.add_environment(ENVIRONMENT) == 1
        assert store.add_environment(dataclasses.replace(ENVIRONMENT, cores=4)) == 2
        assert store.add_environment(ENVIRONMENT) == 1


def test_csv_reads_back_exactly(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    with Store.open(path) as store:
        store.export_csv(target)
        columns = list(store.results().columns)
    with target.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == columns
    assert float(row["saving_ms"]) == 1.5
    assert row["bound_saving_ms"] == row["seed"] == ""


def test_store_can_be_read_while_it_is_written(path: Path, attempt: AttemptRecord) -> None:
    key = dataclasses.replace(attempt.key, seed=1)
    with Store.open_for_writing(path) as writer, Store.open(path) as reader:
        writer.record(dataclasses.replace(attempt, key=key, uid="2"))
        assert len(reader.results()) == 2


def test_store_is_readable_where_nothing_can_be_written(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    path.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with Store.open(path) as store:
            assert len(store.results()) == 1
        with pytest.raises(InputError, match="readonly"):
            Store.open_for_writing(path)
    finally:
        path.parent.chmod(stat.S_IRWXU)


def test_what_is_not_a_store_is_refused_in_one_line(tmp_path: Path, path: Path) -> None:
    text = tmp_path / "text.sqlite"
    text.write_text("not a database at all, but long enough to look for a header" * 3)
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    newer = tmp_path / "newer.sqlite"
    newer.write_bytes(path.read_bytes())
    connection = sqlite3.connect(newer)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    for opening in (Store.open, Store.open_for_writing):
        with pytest.raises(InputError, match=r"text\.sqlite: not a moeplace store"):
            opening(text)
        with pytest.raises(InputError, match=r"foreign\.sqlite: an SQLite file, but not"):
            opening(foreign)
        with pytest.raises(InputError, match=r"newer\.sqlite: written by a newer moeplace"):
            opening(newer)
        with pytest.raises(InputError, match=r"is a directory|no such store"):
            opening(tmp_path)
    with pytest.raises(InputError, match=r"empty\.sqlite: the file is empty"):
        Store.open(empty)
    with pytest.raises(InputError, match=r"missing\.sqlite: no such store"):
        Store.open(tmp_path / "missing.sqlite")
    with pytest.raises(InputError, match=r"the directory .* does not exist"):
        Store.open_for_writing(tmp_path / "nowhere" / "x.sqlite")
    assert not (tmp_path / "missing.sqlite").exists()


def test_half_made_store_is_completed(tmp_path: Path) -> None:
    """A kill between making the file and making the tables."""
    path = tmp_path / "half.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    with Store.open_for_writing(path) as store:
        assert len(store.results()) == 0


def test_kill_within_a_transaction_leaves_neither_attempt_nor_placement(path: Path) -> None:
    script = (
        "import os, signal, sqlite3, sys\n"
        "from bench.store import Store\n"
        "store = Store.open_for_writing(sys.argv[1])\n"
        "connection = store._connection\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        'connection.execute("UPDATE attempts SET saving_ms = 99")\n'
        "connection.execute('DELETE FROM placements')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -9
    with Store.open(path) as store:
        (row,) = store.results().to_dict("records")
        assert row["saving_ms"] == 1.5
        assert store.placement(1) == PLACEMENT


def test_environment_describes_this_machine() -> None:
    environment = current_environment()
    assert environment.cores >= 1
    assert environment.versions["numpy"] == np.__version__
    assert environment.python.startswith("3.")
    assert code_version().partition("+src.")[0]
    assert len(code_version().partition("+src.")[2]) == 12
