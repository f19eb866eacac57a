import contextlib
import json
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.archivist import Archivist, candidates_of_store
from bench.cli import main
from bench.sandbox import Limits
from bench.store import Store
from formulations import EXACT
from heuristics import HEURISTICS
from instances.best_known import CATALOGUE, Archive, Provenance, read_archive
from instances.best_known.entry import unpack_placement
from instances.best_known.improvement import Candidate
from instances.checker import check
from instances.errors import InputError
from instances.files import read_placement
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, StopReason

Call = Callable[..., tuple[int, str, str]]
NAME = "tiny-tiny-s0"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run ``moeplace archive``; returns exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["archive", *(str(word) for word in words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "best.csv"


def solve_with_false_bound(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Outcome:
    """Certify what a placement contradicts."""
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=None,
        proven_optimal=False,
        bound_saving_ms=1e-3,
        bound_certified=True,
    )


def solve_with_true_bound(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Outcome:
    """Certify more than all latency, and another bound that is not certified."""
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=None,
        proven_optimal=False,
        bound_saving_ms=1e6,
        bound_certified=True,
    )


def _bounding(name: str, solve: Callable[..., Outcome]) -> Algorithm:
    return Algorithm(
        name=name, solve=solve, exact=False, summary="", source="tests", complexity="O(1)"
    )


FALSE_BOUND = _bounding("false-bound", solve_with_false_bound)
TRUE_BOUND = _bounding("true-bound", solve_with_true_bound)


@pytest.fixture
def _bounds() -> Iterator[None]:
    """Bound methods as if they were ours."""
    before = dict(HEURISTICS._specs)  # noqa: SLF001  (a registry has no way to forget)
    HEURISTICS.register(FALSE_BOUND)
    HEURISTICS.register(TRUE_BOUND)
    yield
    HEURISTICS._specs.clear()  # noqa: SLF001
    HEURISTICS._specs.update(before)  # noqa: SLF001


def test_an_update_finds_proves_and_then_rests(call: Call, archive: Path) -> None:
    words = ("update", NAME, "--with", "popularity", "brute-force", "--archive", archive)
    code, out, err = call(*words)
    assert code == 0
    assert out == f"1 entry of 1 improved in {archive}\n"
    assert err.startswith(f"{NAME}: value by ")
    assert "proof by brute-force" in err
    entry = read_archive(archive)[NAME]
    instance = CATALOGUE[NAME].load()
    assert entry.proven is not None
    best = EXACT.get("brute-force").solve(instance, rng=np.random.default_rng(0), time_limit=None)
    assert entry.saving_ms == float(check(instance, best.placement).saving_ms)
    before = archive.read_bytes()
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    assert out == f"0 entries of 1 improved in {archive}\n"
    assert archive.read_bytes() == before


def test_a_store_gives_its_best(call: Call, archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "results.sqlite"
    words = ["run", "--families", "tiny", "--sizes", "tiny", "--store", str(store), "--with"]
    assert main([*words, "random", "layer-fill", "brute-force"]) == 0
    code, _, err = call("update", "tiny", "--store", store, "--archive", archive)
    assert code == 0
    by = "brute-force+start"
    assert err == f"{NAME}: value by {by}, bound by {by}, proof by {by}\n"
    entry = read_archive(archive)[NAME]
    instance = CATALOGUE[NAME].load()
    assert list(read_archive(archive)) == [NAME]
    with Store.open(store) as opened:
        (row,) = opened.results().query("algorithm == 'brute-force'").to_dict("records")
        (candidate,) = candidates_of_store(opened, instance)
    assert candidate.proven
    assert entry.saving_ms == pytest.approx(row["saving_ms"], rel=1e-12)
    assert entry.found.version == row["code_version"]
    assert entry.found.date == row["started_at"][:10]
    assert call("check", "--archive", archive)[0] == 0


def test_a_store_gives_its_certified_bound(call: Call, archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "results.sqlite"
    words = ["run", "--families", "tiny", "--sizes", "tiny", "--store", str(store), "--with"]
    assert main([*words, "popularity", "lp"]) == 0
    assert call("update", NAME, "--store", store, "--archive", archive)[0] == 0
    entry = read_archive(archive)[NAME]
    with Store.open(store) as opened:
        (row,) = opened.results().query("algorithm == 'lp'").to_dict("records")
    assert row["bound_certified"]
    assert entry.bound_saving_ms == row["bound_saving_ms"] >= entry.saving_ms
    assert entry.bounded is not None
    assert entry.bounded.method.startswith("lp")


@pytest.mark.usefixtures("_bounds")
def test_certified_bounds_are_kept_and_contradictions_refused(call: Call, archive: Path) -> None:
    words = ("update", NAME, "--archive", archive, "--with")
    assert call(*words, "popularity", "true-bound")[0] == 0
    before = archive.read_bytes()
    entry = read_archive(archive)[NAME]
    assert entry.bound_saving_ms == 1e6
    assert entry.bounded is not None
    assert entry.bounded.method == "true-bound"
    code, out, err = call(*words, "false-bound")
    assert code == 1
    assert out.startswith("0 entries of 1 improved")
    assert err.count("\n") == 1
    assert f"{NAME}: false-bound: the bound 0.001 ms is below" in err
    assert archive.read_bytes() == before
    code, out, _ = call(*words, "false-bound", "--json")
    assert code == 1
    assert json.loads(out)["changes"] == {}
    assert "the bound 0.001 ms is below" in json.loads(out)["alarms"][0]


def test_an_unsupported_method_offers_nothing(archive: Path) -> None:
    archivist = Archivist(archive)
    published = CATALOGUE["mixtral-tiny-s0"]  # K = 2, which lp-rounding does not take
    algorithm = HEURISTICS.get("lp-rounding")
    archivist.run(published, published.load(), [algorithm], Limits(time_s=10.0))
    assert archivist.entry(published) is None
    assert (archivist.account.changes, archivist.account.alarms) == ({}, [])


def test_two_updates_at_once_do_not_undo_each_other(archive: Path) -> None:
    one, other = Archivist(archive), Archivist(archive)
    source = Provenance(method="somebody", seconds=0.0, version="1", date="2026-01-31")
    for archivist, name in ((one, "tiny-tiny-s0"), (other, "tiny-tiny-s1"), (one, "tiny-tiny-s2")):
        published = CATALOGUE[name]
        instance = published.load()
        candidate = Candidate(placement=Placement.empty(instance), source=source)
        archivist.offer(published, instance, candidate)
    assert list(read_archive(archive)) == ["tiny-tiny-s0", "tiny-tiny-s1", "tiny-tiny-s2"]


def test_an_update_waits_for_another_one(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # both would read the empty archive before either writes
    meeting = threading.Barrier(2)

    def slow_read(path: Path) -> Archive:
        known = read_archive(path)
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(timeout=0.5)
        return known

    monkeypatch.setattr("bench.archivist.read_archive", slow_read)
    source = Provenance(method="somebody", seconds=0.0, version="1", date="2026-01-31")

    def offer(name: str) -> None:
        published = CATALOGUE[name]
        instance = published.load()
        candidate = Candidate(placement=Placement.empty(instance), source=source)
        Archivist(archive).offer(published, instance, candidate)

    names = ["tiny-tiny-s0", "tiny-tiny-s1"]
    threads = [threading.Thread(target=offer, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(read_archive(archive)) == names


def test_one_entry_is_shown_and_its_placement_written(
    call: Call, archive: Path, tmp_path: Path
) -> None:
    call("update", NAME, "--with", "greedy", "milp-compact", "--archive", archive)
    entry = read_archive(archive)[NAME]
    target = tmp_path / "placement.json"
    code, out, _ = call("show", NAME, "--archive", archive, "-o", target)
    assert code == 0
    assert out.startswith(f"{NAME}: proven\n")
    assert f"{entry.saving_ms!r} ms per token" in out
    assert entry.checksum in out
    assert "no certified bound" in out
    instance = CATALOGUE[NAME].load()
    placement = read_placement(target, instance)
    stored = unpack_placement(entry.placement, instance).stored
    assert np.array_equal(placement.stored, stored)
    facts: dict[str, Any] = json.loads(call("show", NAME, "--archive", archive, "--json")[1])
    assert facts["saving_ms"] == entry.saving_ms
    assert facts["found"]["method"] == entry.found.method
    assert facts["bound_saving_ms"] is None


def test_the_list_says_what_is_known_and_what_is_not(call: Call, archive: Path) -> None:
    call("update", NAME, "--with", "brute-force", "--archive", archive)
    code, out, _ = call("list", "tiny-tiny-s0", "tiny-tiny-s1", "--archive", archive)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[1][0] == NAME
    assert lines[1][-2:] == ["proven", "brute-force"]
    assert lines[2][0] == "tiny-tiny-s1"
    assert lines[2][4] == "unknown"
    assert lines[-1][:6] == ["2", "instances:", "1", "with", "a", "value,"]
    content = json.loads(call("list", "tiny-tiny-s1", "--archive", archive, "--json")[1])
    assert content["instances"] == [
        {"instance": "tiny-tiny-s1", "family": "tiny", "size": "tiny", "seed": 1}
    ]


def test_a_tampered_archive_does_not_pass(call: Call, archive: Path) -> None:
    call("update", NAME, "--with", "brute-force", "--archive", archive)
    saving = repr(read_archive(archive)[NAME].saving_ms)
    more = repr(math.nextafter(float(saving), math.inf))
    archive.write_text(archive.read_text().replace(f",{saving},", f",{more},"))
    code, out, err = call("check", "--archive", archive)
    assert code == 1
    assert "0 right, 1 wrong" in out
    assert err == f"moeplace: {NAME}: saving {more} ms is not {saving} ms\n"
    content = json.loads(call("check", "--archive", archive, "--json")[1])
    assert content["problems"] == {NAME: [f"saving {more} ms is not {saving} ms"]}


def test_wrong_words_are_one_line(call: Call, archive: Path, tmp_path: Path) -> None:
    for words, text in (
        (("list", "zebra"), "'zebra' is neither an instance of the archive"),
        (("show", "mixtral"), "'mixtral' is not the name of one instance"),
        (("list", "--archive", archive), "no such archive"),
        (("check", "--archive", tmp_path), "no such archive"),
        (("update", "--archive", tmp_path / "best.txt"), "the name must end in .csv"),
        (("update", "--with", "zebra", "--archive", archive), "'zebra' is not one of"),
        (("update", "--store", tmp_path / "none", "--archive", archive), "no such store"),
        (("show", NAME, "-o", tmp_path / "x.txt"), "the name must end in .json"),
    ):
        code, out, err = call(*words)
        assert (code, out) == (2, "")
        assert text in err
        assert err.count("\n") == 1


def test_nothing_known_is_no_success(call: Call, archive: Path) -> None:
    call("update", NAME, "--with", "brute-force", "--archive", archive)
    code, out, err = call("show", "tiny-tiny-s1", "--archive", archive)
    assert (code, out) == (1, "")
    assert "nothing is known yet" in err
    assert call("check", "tiny-tiny-s1", "--archive", archive)[0] == 1


def test_an_archive_of_another_instance_is_refused(archive: Path) -> None:
    source = Provenance(method="somebody", seconds=0.0, version="1", date="2026-01-31")
    published = CATALOGUE[NAME]
    instance = published.load()
    candidate = Candidate(placement=Placement.empty(instance), source=source)
    archivist = Archivist(archive)
    archivist.offer(published, instance, candidate)
    text = archive.read_text().replace(instance.checksum(), "0" * 64)
    archive.write_text(text)
    with pytest.raises(InputError, match=f"{NAME}: the archive is about"):
        archivist.offer(published, instance, candidate)
