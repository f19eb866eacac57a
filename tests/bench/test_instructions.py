import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.instructions import __main__ as command
from bench.instructions import callgrind
from bench.instructions.baseline import (
    Baseline,
    Change,
    compare,
    current_versions,
    read_baseline,
    write_baseline,
)
from bench.instructions.callgrind import count_instructions, reason_against
from bench.instructions.replay import NOTHING, Valgrind
from instances.errors import InputError
from instances.structure.maxplus_kernels import is_concave

IS_CONCAVE = "instances.structure.maxplus_kernels.is_concave"
BASELINE = Baseline(tolerance=0.1, versions={"numba": "0.1"}, counts={"a": 1000, "b": 1000, "c": 9})
COUNTS = {"a": 1100, "b": 1101, "d": 5}


def test_what_is_worse():
    changes = {change.kernel: change for change in compare(BASELINE, COUNTS)}
    worse = {name for name, change in changes.items() if change.worse(BASELINE.tolerance)}
    assert worse == {"b", "d"}  # a tenth more is allowed; a kernel that is gone is no harm
    assert changes["b"].ratio == 1.101
    assert changes["c"] == Change(kernel="c", before=9, now=None)
    assert changes["d"].ratio is None
    assert [change.kernel for change in compare(BASELINE, COUNTS)] == ["d", "b", "a", "c"]


def test_baselines_come_back_as_they_were(tmp_path):
    write_baseline(tmp_path / "b.json", BASELINE)
    assert read_baseline(tmp_path / "b.json") == BASELINE


def test_the_committed_baseline_can_be_read():
    baseline = read_baseline(command.BASELINE)
    assert len(baseline.counts) > 20
    assert set(baseline.versions) == set(current_versions())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="x"), "format: 'x' is not 'moeplace/instructions'"),
        (lambda c: c.update(version=3), "version: 3 is not 1"),
        (lambda c: c.pop("counts"), "counts: the field is missing"),
        (lambda c: c.update(tolerance=1.5), "tolerance: 1.5 is not between 0 and 1"),
        (lambda c: c["counts"].update(a=0), r"counts\.a: 0 is not a number of instructions"),
        (lambda c: c["counts"].update(a="1"), r"counts\.a: '1' is not an integer"),
        (lambda c: c["versions"].update(numba=1), r"versions\.numba: 1 is not a name"),
    ],
)
def test_damaged_baselines_are_refused(tmp_path, change, message):
    path = tmp_path / "b.json"
    write_baseline(path, BASELINE)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        read_baseline(path)
    assert str(caught.value).startswith(str(path))


@pytest.fixture
def counted(monkeypatch):
    """Counts without valgrind."""
    counts = dict(COUNTS)
    monkeypatch.setattr(command, "reason_against", lambda: "")
    monkeypatch.setattr(command, "record_main_calls", dict)
    monkeypatch.setattr(command, "count_instructions", lambda calls, cache: counts)
    return counts


def test_the_command_compares(counted, tmp_path, capsys):
    path = tmp_path / "b.json"
    words = ["--baseline", str(path), "--cache", str(tmp_path)]
    write_baseline(path, BASELINE)
    assert command.main(words) == 1
    out, err = capsys.readouterr()
    assert "b !" in out
    assert "a !" not in out
    assert "the baseline is of 0.1" in out
    assert "10 % above the baseline, or without one: d, b" in err
    assert command.main([*words, "--update"]) == 0
    assert read_baseline(path).counts == COUNTS
    assert command.main(words) == 0
    counted["a"] *= 2
    assert command.main(words) == 1


def test_a_missing_baseline_is_one_line(counted, tmp_path, capsys):
    assert command.main(["--baseline", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_valgrind(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(callgrind.shutil, "which", lambda name: None)
    assert command.main([]) == 2
    assert command.main(["--skip"]) == 0
    assert "skipped: valgrind is not installed" in capsys.readouterr().err
    with pytest.raises(InputError, match="valgrind is not installed"):
        count_instructions({}, tmp_path)


def test_on_another_processor(monkeypatch):
    monkeypatch.setattr(callgrind.shutil, "which", lambda name: name)
    monkeypatch.setattr(callgrind.platform, "machine", lambda: "aarch64")
    assert "this one is aarch64" in reason_against()


@pytest.mark.skipif(callgrind.platform.machine() != "x86_64", reason="machine code of x86-64")
def test_requests_do_nothing_without_valgrind():
    assert not Valgrind().runs


@pytest.mark.long
@pytest.mark.skipif(bool(reason_against()), reason=reason_against() or "it can be counted")
def test_counts_are_those_of_the_call(tmp_path):
    """Twice the work, twice the instructions; and again the same."""
    long = np.arange(200_000, dtype=np.float64)
    counts = [
        count_instructions({IS_CONCAVE: (values,)}, tmp_path)[IS_CONCAVE]
        for values in (long[:100_000], long, long)
    ]
    assert is_concave(long)
    assert counts[1] == pytest.approx(2 * counts[0], rel=0.05)
    assert counts[2] == pytest.approx(counts[1], rel=0.01)
    assert counts[0] > 100_000


def test_what_counting_costs_is_taken_off(tmp_path, monkeypatch):
    counts = {NOTHING: 700, IS_CONCAVE: 60_700, "instances.kernels.short": 40_000}
    written = []

    def pretend(command_line, environment):
        assert environment["NUMBA_CPU_NAME"] == "generic"
        target = [word for word in command_line if word.startswith("--callgrind-out-file=")]
        written.append(command_line)
        for number, (name, count) in enumerate(counts.items()):
            text = f"desc: Trigger: Client Request: {name}\ntotals: {count}\n"
            for word in target:
                Path(f"{word.partition('=')[2]}.{number}").write_text(text)

    monkeypatch.setattr(callgrind, "reason_against", lambda: "")
    monkeypatch.setattr(callgrind, "_run", pretend)
    calls = dict.fromkeys((IS_CONCAVE, "instances.kernels.short"), ())
    assert count_instructions(calls, tmp_path) == {IS_CONCAVE: 60_000}
    assert [line[0] for line in written] == [sys.executable, sys.executable, "valgrind"]
    assert {line[-1] for line in written[:2]} == {"0/2", "1/2"}  # compiled before


def test_a_child_that_fails_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(callgrind, "reason_against", lambda: "")
    with pytest.raises(RuntimeError, match=r"ended with code 1: .*no_such"):
        count_instructions({"instances.kernels.no_such": ()}, tmp_path)


def test_dumps_must_be_whole(tmp_path, monkeypatch):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "counts.1").write_text("desc: Trigger: Client Request: nothing\ntotals: 7\n")
    assert callgrind._read(folder / "counts.1") == (NOTHING, 7)  # noqa: SLF001
    (folder / "counts.2").write_text("desc: Trigger: Program termination\ntotals: 7\n")
    with pytest.raises(RuntimeError, match=r"counts\.2 is no dump"):
        callgrind._read(folder / "counts.2")  # noqa: SLF001
    monkeypatch.setattr(callgrind, "reason_against", lambda: "")
    monkeypatch.setattr(callgrind, "VALGRIND", (sys.executable, "-c", "pass"))
    with pytest.raises(RuntimeError, match="has not counted"):
        count_instructions({IS_CONCAVE: (np.zeros(3),)}, tmp_path / "cache")
