"""A real scheduler and two workers on loopback, one of them killed in mid-run."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import cluster as cluster_module
from bench.cli import main
from bench.cluster import Cluster
from bench.pool import Request
from bench.sandbox import Limits, PackedInstance
from bench.store import Store
from bench.worker import Answer
from heuristics import HEURISTICS
from instances.errors import InputError
from instances.problem import Instance
from instances.result import StopReason
from tests.bench import misbehaving

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of killed workers

ROW = ["instance", "checksum", "algorithm", "parameters", "seed", "time_limit", "start", "status"]
VALUES = ["stop_reason", "kind", "saving_ms", "latency_ms", "bound_saving_ms", "bound_certified"]


def _spawn(*words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end(program: "subprocess.Popen[bytes]") -> None:
    if program.poll() is None:
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()


class Machines:
    """A scheduler, and workers that come and go."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.programs = [
            _spawn(
                *("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"),
                *("--no-dashboard", "--scheduler-file", str(self.file)),
            )
        ]
        self.address = ""

    def add_worker(self, *options: str) -> "subprocess.Popen[bytes]":
        program = _spawn(
            *("distributed.cli.dask_worker", "--scheduler-file", str(self.file), "--nthreads", "1"),
            *("--host", "127.0.0.1", "--no-dashboard", *options),
        )
        self.programs.append(program)
        return program


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    machines = Machines(tmp_path_factory.mktemp("dask"))
    try:
        while not machines.file.exists() or not machines.file.read_text().strip():
            assert machines.programs[0].poll() is None
            time.sleep(0.05)
        import json

        machines.address = json.loads(machines.file.read_text())["address"]
        yield machines
    finally:
        for program in machines.programs:
            _end(program)


@pytest.fixture
def registered() -> Any:
    """Misbehaving methods as if they were ours."""
    before = dict(HEURISTICS._specs)  # noqa: SLF001  (a registry has no way to forget)
    for value in vars(misbehaving).values():
        if type(value).__name__ == "Algorithm":
            HEURISTICS.register(value)
    yield
    HEURISTICS._specs.clear()  # noqa: SLF001
    HEURISTICS._specs.update(before)  # noqa: SLF001


def _results(store: Path) -> pd.DataFrame:
    with Store.open(store) as opened:
        return opened.results(history=True)


def _count(store: Path) -> int:
    try:
        return len(_results(store))
    except InputError:  # it is being made
        return 0


def _sorted(results: pd.DataFrame) -> pd.DataFrame:
    return results[ROW + VALUES].sort_values(ROW).reset_index(drop=True)


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), ()):
            found.add(child)
            waiting.append(child)
    return found


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.usefixtures("registered")
def test_killed_worker_changes_no_row(machines: Machines, tmp_path: Path) -> None:
    """One worker is a daemon of its nanny, the other one dies: every job ends exactly once."""
    here, there = tmp_path / "here.sqlite", tmp_path / "there.sqlite"
    words = ["run", "--families", "tiny", "--sizes", "tiny", "--seeds", "0-3",
             "--time-limit", "0.5", "--memory-limit", "0.2", "--with", "random", "greedy",
             "sleep", "abort", "refuse", "keep-start"]  # fmt: skip
    survivor = machines.add_worker("--nanny")
    victim = machines.add_worker("--no-nanny")
    belongings: set[int] = set()
    finished = threading.Event()

    def kill() -> None:
        """Kill once its outpost has solved something and holds a solve in flight."""
        while not finished.is_set():
            belongings.update(_descendants(victim.pid))
            # outpost, resource tracker, fork server, and a solve that sleeps for a second or so
            if _count(there) >= 6 and len(_descendants(victim.pid)) >= 4:
                belongings.update(_descendants(victim.pid))
                os.kill(victim.pid, signal.SIGKILL)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        code = main([*words, "--scheduler", machines.address, "--store", str(there)])
    finally:
        finished.set()
        killer.join()
    assert code == 1  # it aborts
    assert victim.poll() == -signal.SIGKILL, "the run was over before the worker was killed"
    assert survivor.poll() is None
    results = _results(there)
    assert not results.duplicated(ROW).any()
    assert main([*words, "--store", str(here)]) == 1
    pd.testing.assert_frame_equal(_sorted(results), _sorted(_results(here)))
    assert len(results) == 4 * (4 + 5)
    for _ in range(500):
        if all(_gone(pid) for pid in belongings):
            break
        time.sleep(0.02)
    assert len(belongings) >= 4
    assert [pid for pid in belongings if not _gone(pid)] == []


def test_run_on_a_cluster_continues(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "results.sqlite")
    words = ["run", "--families", "tiny", "--sizes", "tiny", "--with", "greedy", "--store", store]
    assert main([*words, "--scheduler", machines.address]) == 0
    capsys.readouterr()
    assert main([*words, "--scheduler", machines.address, "--seeds", "0-1"]) == 0
    assert "1 had finished before and were skipped" in capsys.readouterr().out


def test_other_code_and_broken_methods_are_refused(
    machines: Machines, tiny: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = PackedInstance.of(tiny)
    limits = Limits(time_s=60.0)

    def solve(algorithm: Any) -> list[Answer]:
        answers: list[Answer] = []
        request = Request(algorithm=algorithm, packed=packed, seed=0, limits=limits)
        with Cluster(machines.address) as workers:
            workers.submit(request, lambda answer, environment: answers.append(answer))
            workers.drain()
        return answers

    (answer,) = solve(misbehaving.ABORT)
    assert answer.outcome.stop_reason is StopReason.CRASHED
    monkeypatch.setattr(cluster_module, "code_version", lambda: "0.0.0+src.other")
    with pytest.raises(InputError, match=r"a Dask worker runs .* where 0\.0\.0\+src\.other is"):
        solve(misbehaving.BEHAVED)


def test_no_scheduler_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.5)
    words = ["run", "--families", "tiny", "--store", str(tmp_path / "s.sqlite"), "--scheduler"]
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        assert main([*words, address]) == 2
        err = capsys.readouterr().err
        assert f"--scheduler: no Dask scheduler answers at '{address}'" in err.splitlines()[-1]
    assert main([*words, "tcp://127.0.0.1:9", "--jobs", "2"]) == 2
    assert "--jobs: is for this machine" in capsys.readouterr().err
