import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli import main
from bench.environment import Environment
from bench.facts import describe_instance
from bench.incumbent import Step
from bench.merge import merge
from bench.records import AttemptKey, AttemptRecord
from bench.store import Store
from instances.errors import InputError
from instances.problem import Instance
from tests.bench.old_stores import write_version_1

Make = Callable[..., Path]


@pytest.fixture
def make(tiny: Instance, tmp_path: Path) -> Make:
    """Write a store of attempts: (uid, algorithm, hour at which it started, saving)."""
    record = describe_instance(
        tiny, family="tiny", size="tiny", seed=0, options={}, code_version="v1"
    )

    def write(name: str, *rows: tuple[str, str, int, float], cpu: str = "abacus") -> Path:
        path = tmp_path / name
        with Store.open_for_writing(path) as store:
            store.add_environment(_environment("other"))
            environment = store.add_environment(_environment(cpu))
            store.add_instance(record)
            for uid, algorithm, hour, saving in rows:
                store.record(
                    AttemptRecord(
                        key=AttemptKey(checksum=record.checksum, algorithm=algorithm),
                        exact=False,
                        status="feasible",
                        stop_reason="completed",
                        reason="",
                        seconds=1.0,
                        started_at=f"2026-01-01T{hour:02}:00:00.000+00:00",
                        code_version="v1",
                        environment=environment,
                        saving_ms=saving,
                        latency_ms=1.0,
                        uid=uid,
                        placement={"servers": {}, "note": uid},
                        trajectory=(
                            Step(
                                seconds=0.5,
                                saving_ms=saving,
                                bound_saving_ms=9.0,
                                bound_certified=True,
                            ),
                        ),
                    )
                )
        return path

    return write


def _environment(cpu: str) -> Environment:
    return Environment(
        python="3", platform="Linux", cpu=cpu, cores=1, memory_bytes=1, versions={"a": "1"}
    )


def _rows(path: Path) -> list[tuple[object, ...]]:
    """Everything that does not depend on numbers of rows, of every attempt."""
    with Store.open(path) as store:
        history = store.results(history=True)
        uids = dict(zip(history["attempt_id"], history["uid"], strict=True))
        environments = store.environments()
        return sorted(
            (
                row.uid,
                row.algorithm,
                row.saving_ms,
                environments[row.environment].cpu,
                uids.get(row.superseded_by, "") if row.superseded_by == row.superseded_by else "",
                (store.placement(row.attempt_id) or {})["note"],
                store.trajectory(row.attempt_id)[0].saving_ms,
            )
            for row in history.astype({"superseded_by": "float64"}).itertuples()
        )


def test_merge_keeps_every_attempt_once_and_counts_the_latest(make: Make, tmp_path: Path) -> None:
    one = make("one.sqlite", ("a", "greedy", 1, 1.0), ("c", "greedy", 3, 3.0), cpu="left")
    other = make("other.sqlite", ("b", "greedy", 2, 2.0), ("d", "random", 4, 4.0), cpu="right")
    merged = merge([one, other], tmp_path / "both.sqlite")
    assert (merged.attempts, merged.known) == (4, 0)
    expected = [
        ("a", "greedy", 1.0, "left", "b", "a", 1.0),
        ("b", "greedy", 2.0, "right", "c", "b", 2.0),
        ("c", "greedy", 3.0, "left", "", "c", 3.0),
        ("d", "random", 4.0, "right", "", "d", 4.0),
    ]
    assert _rows(tmp_path / "both.sqlite") == expected
    with Store.open(tmp_path / "both.sqlite") as store:
        assert sorted(store.results()["uid"]) == ["c", "d"]
    merged = merge([other, one], tmp_path / "both.sqlite")  # a second time: nothing new
    assert (merged.attempts, merged.known) == (0, 4)
    assert _rows(tmp_path / "both.sqlite") == expected


def test_order_and_grouping_do_not_matter(make: Make, tmp_path: Path) -> None:
    stores = [
        make("1.sqlite", ("a", "greedy", 1, 1.0), ("e", "greedy", 5, 5.0)),
        make("2.sqlite", ("b", "greedy", 5, 2.0), ("c", "random", 1, 2.0), cpu="right"),
        make("3.sqlite", ("a", "greedy", 1, 1.0), ("d", "random", 0, 4.0)),
    ]
    results = []
    for number, order in enumerate(itertools.permutations(stores)):
        target = tmp_path / f"all-{number}.sqlite"
        merge(order, target)
        results.append(_rows(target))
    part, whole = tmp_path / "part.sqlite", tmp_path / "whole.sqlite"
    merge(stores[1:], part)
    merge([part, stores[0]], whole)
    results.append(_rows(whole))
    assert all(result == results[0] for result in results)
    assert len(results[0]) == 5


def test_merge_with_an_old_store(make: Make, tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite"
    write_version_1(old)
    target = make("new.sqlite", ("a", "greedy", 1, 1.0))
    assert merge([old], target).attempts == 3
    assert merge([old], target).known == 3


def test_run_continues_in_a_merged_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--families", "tiny", "--sizes", "tiny", "--seeds"]
    for seed in ("0", "1"):
        store = str(tmp_path / f"{seed}.sqlite")
        assert main([*words, seed, "--with", "greedy", "--store", store]) == 0
    both = str(tmp_path / "both.sqlite")
    code = main(
        ["store", "merge", str(tmp_path / "0.sqlite"), str(tmp_path / "1.sqlite"), "-o", both]
    )
    assert code == 0
    assert "2 attempts copied\n2 attempts count in" in capsys.readouterr().out
    assert main([*words, "0-1", "--with", "greedy", "--store", both]) == 0
    assert "2 had finished before and were skipped" in capsys.readouterr().out


def test_what_cannot_be_merged_is_refused_before_anything_is_written(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make("one.sqlite", ("a", "greedy", 1, 1.0))
    target = tmp_path / "target.sqlite"
    text = tmp_path / "text.sqlite"
    text.write_text("this is no store, and long enough to be one" * 10)
    with pytest.raises(InputError, match=r"text\.sqlite: not a moeplace store"):
        merge([one, text], target)
    with pytest.raises(InputError, match=r"missing\.sqlite: no such store"):
        merge([one, tmp_path / "missing.sqlite"], target)
    assert not target.exists()
    with pytest.raises(InputError, match=r"one\.sqlite: cannot be merged into itself"):
        merge([one], one)
    assert main(["store", "merge", str(text), "-o", str(target)]) == 2
    assert capsys.readouterr().err == f"moeplace: error: {text}: not a moeplace store\n"


def test_interrupted_merge_leaves_whole_stores_only(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make("one.sqlite", ("a", "greedy", 1, 1.0))
    other = make("other.sqlite", ("b", "greedy", 2, 2.0))
    target = tmp_path / "target.sqlite"
    merge([one], target)

    def stumble(connection: object, key: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.merge._settle", stumble)
    with pytest.raises(KeyboardInterrupt):
        merge([other], target)
    assert [row[0] for row in _rows(target)] == ["a"]


def test_json_of_a_merge(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make("one.sqlite", ("a", "greedy", 1, 1.0), ("b", "greedy", 2, 2.0))
    target = str(tmp_path / "target.sqlite")
    assert main(["store", "merge", str(one), "-o", target, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "store": target,
        "new": 2,
        "known": 0,
        "counting": 1,
    }


def test_records_have_identities_of_their_own() -> None:
    key = AttemptKey(checksum="c", algorithm="a")
    facts = dict.fromkeys(("status", "stop_reason", "reason", "started_at", "code_version"), "")
    record = AttemptRecord(key=key, exact=False, seconds=0.0, environment=1, **facts)
    again = AttemptRecord(key=key, exact=False, seconds=0.0, environment=1, **facts)
    assert record.uid != again.uid
    assert dataclasses.replace(record, seconds=1.0).uid == record.uid
