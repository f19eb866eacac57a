import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.progress import Bar, Finished, JsonLines, Lines, Silence, describe, make_progress
from bench.spinner import spinning
from instances.placement import Placement
from instances.result import Result, Status, StopReason

SOLVED = Result(
    status=Status.FEASIBLE,
    stop_reason=StopReason.COMPLETED,
    reason="",
    placement=Placement(np.zeros((1, 1), dtype=np.bool_)),
    saving_ms=1.5,
    latency_ms=2.0,
    bound_saving_ms=np.inf,
    seconds=0.25,
)
FAILED = Result(
    status=Status.ERROR,
    stop_reason=StopReason.CRASHED,
    reason="the process died of SIGABRT",
    placement=None,
    saving_ms=np.nan,
    latency_ms=np.nan,
    bound_saving_ms=np.inf,
    seconds=0.0,
)


def finished(result: Result, algorithm: str = "b", **changes: Any) -> Finished:
    """An attempt that has finished; derive others from it."""
    facts: dict[str, Any] = {"instance": "a", "algorithm": algorithm, "seed": None}
    return Finished(**{**facts, "result": result, **changes})


def test_results_in_a_few_words() -> None:
    assert describe(SOLVED) == "feasible, saving 1.5 ms per token, 250 ms"
    assert describe(FAILED) == "error (crashed): the process died of SIGABRT"


def test_lines_count_what_was_skipped_too() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.begin(12)
    lines.working_on("a")
    lines.skipped()
    lines.finished(finished(SOLVED))
    lines.finished(finished(SOLVED, best_gap=0.0123))
    lines.close()
    assert stream.getvalue() == (
        "[ 2/12] a, b: feasible, saving 1.5 ms per token, 250 ms\n"
        "[ 3/12] a, b: feasible, saving 1.5 ms per token, 250 ms, best gap 1.23 %\n"
    )


def test_json_lines_hold_what_is_known() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    lines.begin(3)
    lines.working_on("a")
    lines.skipped()
    lines.finished(finished(SOLVED, seed=4, best_gap=0.5))
    lines.finished(finished(FAILED))
    lines.close()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first == {
        **{"event": "attempt", "done": 2, "total": 3, "instance": "a", "algorithm": "b"},
        **{"seed": 4, "kind": "feasible", "reason": "", "saving_ms": 1.5, "latency_ms": 2.0},
        **{"bound_saving_ms": None, "seconds": 0.25, "best_gap": 0.5},
    }
    assert (second["kind"], second["saving_ms"], second["seed"]) == ("crashed", None, None)


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    silence = make_progress(quiet=True)
    assert isinstance(silence, Silence)
    silence.begin(2)
    silence.working_on("a")
    silence.skipped()
    silence.finished(finished(FAILED))
    silence.close()
    assert capsys.readouterr() == ("", "")


def test_the_time_left_is_that_of_what_was_run_until_now(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    now = iter([0.0, 0.0, 10.0, 20.0, 30.0])
    bar = Bar(clock=lambda: next(now))
    bar.close()
    monkeypatch.setattr(bar, "_progress", SimpleNamespace(
        update=lambda task, **fields: told.append(fields), advance=lambda task: None
    ))  # fmt: skip
    bar.begin(6)
    bar.skipped()
    for best_gap in (np.inf, 0.25):
        bar.finished(finished(SOLVED, best_gap=best_gap))
    assert told[1:] == [
        {"advance": 1, "left": "about 40.0 s left", "gap": ""},
        {"advance": 1, "left": "about 30.0 s left", "gap": "best gap 25.00 %"},
    ]


def test_no_bar_and_no_spinner_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(make_progress(), Lines)
    with spinning("thinking"):
        pass
    assert capsys.readouterr().err == ""


SCRIPT = """
from bench.progress import Bar, make_progress
from bench.spinner import spinning
from tests.bench.test_progress import FAILED, SOLVED, finished
bar = make_progress()
assert isinstance(bar, Bar)
bar.begin(4)
bar.working_on("[b]one[/b]")
bar.skipped()
bar.finished(finished(FAILED, "three"))
bar.finished(finished(SOLVED, "two", best_gap=0.5))
bar.close()
with spinning("thinking"):
    pass
"""


def test_bar_on_a_terminal(tmp_path: Path) -> None:
    main_end, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=terminal, env=environment) as run:
        os.close(terminal)
        shown = b""
        while True:
            try:
                part = os.read(main_end, 4096)
            except OSError:  # Linux: the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(main_end)
    assert run.returncode == 0
    text = shown.decode()
    assert "left" in text
    assert "best gap 50.00 %" in text
    assert "a, three: error (crashed): the process died of SIGABRT" in text
    assert "[b]one[/b]" in text  # a name is never read as markup
    assert "3/4" in text
    assert "two:" not in text
