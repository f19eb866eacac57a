import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.progress import Lines, describe, make_progress
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


def test_results_in_a_few_words() -> None:
    assert describe(SOLVED) == "feasible, saving 1.5 ms per token, 250 ms"
    assert describe(FAILED) == "error (crashed): the process died of SIGABRT"


def test_lines_count_what_was_skipped_too() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.begin(12)
    lines.working_on("a")
    lines.skipped()
    lines.finished("b", SOLVED)
    lines.close()
    assert stream.getvalue() == "[ 2/12] b: feasible, saving 1.5 ms per token, 250 ms\n"


def test_no_bar_and_no_spinner_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(make_progress(), Lines)
    with spinning("thinking"):
        pass
    assert capsys.readouterr().err == ""


SCRIPT = """
from bench.progress import Bar, make_progress
from bench.spinner import spinning
from tests.bench.test_progress import FAILED, SOLVED
bar = make_progress()
assert isinstance(bar, Bar)
bar.begin(3)
bar.working_on("[b]one[/b]")
bar.skipped()
bar.finished("two", SOLVED)
bar.finished("three", FAILED)
bar.close()
with spinning("thinking"):
    pass
"""


def test_bar_on_a_terminal(tmp_path: Path) -> None:
    main_end, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
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
    assert "three: error (crashed): the process died of SIGABRT" in text
    assert "[b]one[/b]" in text  # a name is never read as markup
    assert "3/3" in text
    assert "two:" not in text
