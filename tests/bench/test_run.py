import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import environment as environment_module
from bench import runner
from bench.cli import main
from bench.environment import Environment
from bench.jobs import Batch, make_plan
from bench.pool import Pool, Request, share_cores
from bench.presets import PRESETS
from bench.sandbox import Limits, PackedInstance, SandboxedSolve
from bench.store import Store
from bench.worker import Answer
from heuristics import HEURISTICS
from instances.best_known.catalogue import CLASSES
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import FAMILIES
from instances.families.adversarial import TRAPS
from instances.files import placement_from_dict, write_instance
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import StopReason
from tests.bench import misbehaving

Run = Callable[..., tuple[int, str, str]]
ROW = ["instance", "checksum", "algorithm", "parameters", "seed", "time_limit", "start", "status"]
VALUES = ["stop_reason", "saving_ms", "latency_ms", "bound_saving_ms", "guarantee_ratio"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


@pytest.fixture
def run(store: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["run", *map(str, words), "--store", str(store)])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


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
        return opened.results()


# -- plans ------------------------------------------------------------------------------------


def test_plan_multiplies_and_merges() -> None:
    tiny = Batch(
        families=("tiny",),
        sizes=("tiny",),
        seeds=(0, 1),
        methods=("random", "greedy"),
        time_limit_s=5.0,
    )
    plan = make_plan([tiny])
    # two instances: random once for each of two seeds, greedy once
    assert {source.name: len(tasks) for source, tasks in plan.work.items()} == {
        "tiny-tiny-s0": 3,
        "tiny-tiny-s1": 3,
    }
    assert make_plan([tiny, tiny]).num_tasks == plan.num_tasks == 6


def test_plan_leaves_out_sizes_that_a_family_lacks() -> None:
    batch = Batch(
        families=("tiny", "mixtral"),
        sizes=("tiny", "small"),
        methods=("greedy",),
        time_limit_s=None,
    )
    plan = make_plan([batch])
    assert [source.name for source in plan.work] == [
        "tiny-tiny-s0",
        "mixtral-tiny-s0",
        "mixtral-small-s0",
    ]
    assert plan.left_out == ["tiny has no size small: left out"]


def test_exact_methods_start_and_heuristics_do_not() -> None:
    batch = Batch(
        families=("tiny",), sizes=("tiny",), methods=("heuristics", "exact"), time_limit_s=1.0
    )
    (tasks,) = make_plan([batch]).work.values()
    for task in tasks:
        if not task.algorithm.takes_start:
            assert task.start == ""
        else:
            assert task.start == ("auto" if task.algorithm.exact else "none")


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_presets_name_what_exists(preset: Any) -> None:
    plan = make_plan(preset.batches)
    assert plan.num_tasks > 0
    assert plan.left_out == []


def test_report_preset_covers_what_it_has_to() -> None:
    plan = make_plan(PRESETS["report"].batches)
    proven = {
        source.family
        for source, tasks in plan.work.items()
        if any(task.algorithm.exact for task in tasks)
    }
    assert len(proven) >= 4
    assert {"mixtral", "switch"} <= proven <= {family.name for family in FAMILIES}


def test_the_traps_preset_has_every_trap_and_proves_its_optimum() -> None:
    work = make_plan(PRESETS["traps"].batches).work
    found = {(source.family, source.size): tasks for source, tasks in work.items()}
    assert set(found) > {(family, size) for family in TRAPS for size in ("tiny", "small")}
    for (_, size), tasks in found.items():
        names = {task.algorithm.name for task in tasks}
        assert size == "medium" or names >= {spec.name for spec in HEURISTICS}
        assert any(task.algorithm.exact for task in tasks)


def test_the_ratios_preset_has_all_classes_of_models_and_one_run_of_each_method() -> None:
    work = make_plan(PRESETS["ratios"].batches).work
    assert {source.family for source in work} == {"tiny", *CLASSES}
    for tasks in work.values():
        names = [task.algorithm.name for task in tasks]
        assert len(names) == len(set(names))
        assert any(task.algorithm.exact for task in tasks)


# -- the command ------------------------------------------------------------------------------


def test_run_keeps_every_fact(run: Run, store: Path) -> None:
    code, out, err = run("--families", "tiny", "--sizes", "tiny", "--seeds", "0-1", "--with",
                         "random,greedy", "layer-enumeration", "--time-limit", "20")  # fmt: skip
    assert code == 0
    assert "8 attempts in" in out
    assert "[8/8] tiny-tiny-s1, layer-enumeration: " in err
    results = _results(store)
    assert results.groupby(["instance", "algorithm"]).size().to_dict() == {
        (f"tiny-tiny-s{seed}", name): count
        for seed in (0, 1)
        for name, count in (("random", 2), ("greedy", 1), ("layer-enumeration", 1))
    }
    assert set(results[results["algorithm"] == "random"]["seed"]) == {0, 1}
    assert results[results["algorithm"] != "random"]["seed"].isna().all()
    assert (results["time_limit"] == 20.0).all()
    assert (results["options"] == "{}").all()
    assert (results["code_version"] == environment_module.code_version()).all()
    with Store.open(store) as opened:
        for row in results.itertuples():
            instance = FAMILIES.get("tiny").generate("tiny", int(row.instance_seed))
            assert instance.checksum() == row.checksum
            placement = opened.placement(row.attempt_id)
            if row.status in ("optimal", "feasible"):
                assert placement is not None
                value = evaluate(instance, placement_from_dict(placement, instance))
                assert value.saving_ms == row.saving_ms
                assert value.empty_latency_ms == row.empty_latency_ms
            else:
                assert placement is None


def test_second_run_repeats_nothing(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--families", "tiny", "--sizes", "tiny", "--with", "greedy", "popularity")
    assert run(*words)[0] == 0
    first = _results(store)

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("nothing is generated or solved when all is done")

    monkeypatch.setattr("bench.pool.SandboxedSolve", refuse)
    monkeypatch.setattr("bench.jobs.generate", refuse)
    code, out, err = run(*words)
    assert code == 0
    assert err == ""
    assert "2 had finished before and were skipped" in out
    assert "another version" not in out
    pd.testing.assert_frame_equal(_results(store), first)


def test_more_methods_are_added_to_the_same_store(run: Run, store: Path) -> None:
    run("--families", "tiny", "--sizes", "tiny", "--with", "greedy")
    code, out, _ = run("--families", "tiny", "--sizes", "tiny", "--with", "greedy", "popularity")
    assert code == 0
    assert "1 had finished before" in out
    assert list(_results(store)["algorithm"]) == ["greedy", "popularity"]


def test_other_code_is_told_and_repeated_on_demand(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--families", "tiny", "--sizes", "tiny", "--with", "greedy", "popularity")
    run(*words)
    monkeypatch.setattr(runner, "code_version", lambda: "another")
    code, out, _ = run(*words)
    assert code == 0
    assert "2 of them with another version of the code or of a plug-in (--redo" in out
    code, out, _ = run(*words, "--redo", "outdated")
    assert code == 0
    assert "skipped" not in out
    assert list(_results(store)["code_version"]) == ["another", "another"]


@pytest.mark.usefixtures("registered")
def test_failures_are_kept_with_their_reason_and_not_repeated(
    run: Run, store: Path, tiny: Instance, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.json"
    write_instance(path, tiny)
    words = ("--instances", path, "--with", "complain", "abort", "spin", "refuse", "overfull",
             "lie", "greedy", "--time-limit", "0.3")  # fmt: skip
    code, out, _ = run(*words)
    assert code == 1
    assert "1 feasible, 1 unsupported, 1 time limit, 2 crashed, 2 wrong" in out
    results = _results(store).set_index("algorithm")
    assert results["stop_reason"].to_dict() == {
        "complain": "solver_error",
        "abort": "crashed",
        "spin": "time_limit",
        "refuse": "unsupported",
        "overfull": "wrong_claim",
        "lie": "wrong_claim",
        "greedy": "completed",
    }
    assert results.loc["refuse", "reason"] == "does not like it"
    assert "SIGABRT" in results.loc["abort", "reason"]
    assert (results["family"] == "").all()
    assert (results["options"] == '{"file": "tiny.json"}').all()
    code, out, err = run(*words)
    assert (code, err) == (1, "")
    assert "7 had finished before" in out
    for again in (("--redo", "failed"), ("--retry-failed",)):
        code, out, _ = run(*words, *again)
        assert code == 1
        assert "2 had finished before" in out  # greedy worked, refuse is unsupported
        assert len(_results(store)) == 7
    with Store.open(store) as opened:
        history = opened.results(history=True)
    assert history["algorithm"].value_counts()["spin"] == 3
    assert history["algorithm"].value_counts()["greedy"] == 1


@pytest.mark.usefixtures("registered")
def test_every_misbehaviour_is_the_right_kind_of_row(
    run: Run, store: Path, tiny: Instance, tmp_path: Path
) -> None:
    """A hang, a memory eater, a segfault, two liars: the run goes on, incumbents are kept."""
    path = tmp_path / "tiny.json"
    write_instance(path, tiny)
    kinds = {
        "tell-and-sleep": "feasible",
        "tell-and-ignore-signals": "feasible",
        "sleep": "time_limit",
        "tell-and-eat": "out_of_memory",
        "tell-and-segfault": "crashed",
        "tell-overfull": "wrong",
        "tell-low-bound": "wrong",
        "overfull": "wrong",
        "refuse": "unsupported",
        "behaved": "feasible",
    }
    code, _, _ = run("--instances", path, "--with", *kinds, "--time-limit", "2",
                     "--memory-limit", "0.2")  # fmt: skip
    assert code == 1
    results = _results(store).set_index("algorithm")
    assert results["kind"].to_dict() == kinds
    with Store.open(store) as opened:
        for name in ("tell-and-sleep", "tell-and-ignore-signals", "tell-and-eat",
                     "tell-and-segfault"):  # fmt: skip
            row = results.loc[name]
            assert (row["status"], row["saving_ms"], row["bound_saving_ms"]) == (
                "feasible", 9.0, 20.0)  # fmt: skip
            assert row["bound_certified"]
            steps = opened.trajectory(row["attempt_id"])
            assert (steps[-1].saving_ms, steps[-1].bound_saving_ms) == (9.0, 20.0)
            placement = opened.placement(row["attempt_id"])
            assert placement is not None
            assert evaluate(tiny, placement_from_dict(placement, tiny)).saving_ms == 9.0
        for name in ("tell-overfull", "tell-low-bound"):
            assert opened.trajectory(results.loc[name, "attempt_id"]) == ()
            assert opened.placement(results.loc[name, "attempt_id"]) is None
        (step,) = opened.trajectory(results.loc["behaved", "attempt_id"])
        assert step.saving_ms == 0.0


def test_jobs_have_processors_of_their_own(run: Run, store: Path) -> None:
    everywhere = sorted(os.sched_getaffinity(0))
    words = (
        "--families",
        "tiny",
        "--sizes",
        "tiny",
        "--seeds",
        "0-2",
        "--with",
        "greedy",
        "random",
    )
    assert run(*words, "--jobs", len(everywhere))[0] == 0
    used = set(_results(store)["cores"]) - {""}
    assert used <= {str(core) for core in everywhere}
    store.unlink()
    assert run(*words, "--jobs", 1 + len(everywhere))[0] == 0
    assert set(_results(store)["cores"]) - {""} == {",".join(map(str, everywhere))}


@pytest.mark.usefixtures("registered")
def test_several_jobs_give_the_same_rows(run: Run, store: Path) -> None:
    words = ("--families", "tiny", "--sizes", "tiny", "--seeds", "0-1", "--time-limit", "0.3",
             "--with", "random", "greedy", "keep-start", "sleep", "layer-enumeration")  # fmt: skip
    code, _, _ = run(*words, "--jobs", 3)
    assert code == 0
    parallel = _sorted(_results(store))
    assert set(parallel["stop_reason"]) == {"completed", "time_limit"}
    store.unlink()
    assert run(*words)[0] == 0
    pd.testing.assert_frame_equal(_sorted(_results(store)), parallel)


def _sorted(results: pd.DataFrame) -> pd.DataFrame:
    return results[ROW + VALUES].sort_values(ROW).reset_index(drop=True)


def test_start_is_found_once_for_each_instance(run: Run, store: Path) -> None:
    code, _, _ = run("--families", "tiny", "--sizes", "tiny", "--with", "exact")
    assert code == 0
    results = _results(store)
    assert (results["start"] != "none").all()
    took_start = results[results["start"] == "auto"]
    ran = took_start[took_start["stop_reason"] != "unsupported"]
    assert ran["start_seconds"].nunique() <= 1
    assert (ran["start_seconds"] > 0).all()
    assert results[results["start"] == ""]["start_seconds"].isna().all()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "give --families, --instances or --preset"),
        (["--families", "mixtrl"], "did you mean 'mixtral'?"),
        (["--families", "tiny", "--sizes", "huge"], "size: 'huge' is not one of tiny"),
        (["--families", "tiny", "--sizes", "small"], "size: 'small' is not one of tiny"),
        (["--families", "tiny", "--with", "gredy"], "did you mean 'greedy'?"),
        (["--preset", "report", "--seeds", "3"], "--seeds cannot go with it"),
        (["--preset", "report", "--with", "greedy"], "--with cannot go with it"),
        (["--preset", "report", "--time-limit", "3"], "--time-limit cannot go with it"),
    ],
)
def test_wrong_runs_are_one_line(run: Run, store: Path, words: list[str], text: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1
    assert not store.exists()


def test_store_that_cannot_be_opened_is_found_out_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.sqlite"
    other.write_text("this is no store, and long enough to be one" * 10)
    for target, text in (
        (other, "not a moeplace store"),
        (tmp_path / "nowhere" / "x.sqlite", "does not exist"),
    ):
        assert main(["run", "--families", "tiny", "--store", str(target)]) == 2
        err = capsys.readouterr().err
        assert text in err.splitlines()[-1]
        assert err.splitlines()[-1].startswith("moeplace: error: ")


# -- what is printed -------------------------------------------------------------------------


def test_json_lines_tell_every_attempt_and_the_end(run: Run, store: Path) -> None:
    words = ("--families", "tiny", "--sizes", "tiny", "--json-lines", "--with")
    code, out, err = run(*words, "layer-enumeration", "greedy")
    assert (code, err) == (0, "")
    *attempts, end = map(json.loads, out.splitlines())
    rows = _results(store)
    assert [each["algorithm"] for each in attempts] == list(rows["algorithm"])
    assert [each["saving_ms"] for each in attempts] == list(rows["saving_ms"])
    assert [each["done"] for each in attempts] == [1, 2]
    # proven by the first one
    assert [each["best_gap"] for each in attempts] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert end["event"] == "end"
    assert (end["new"], end["skipped"], end["kinds"]) == (2, 0, {"optimal": 1, "feasible": 1})
    code, out, _ = run(*words, "popularity")
    assert json.loads(out.splitlines()[0])["best_gap"] < 1e-9  # known from the run before


def test_quiet_says_nothing_unless_something_is_wrong(run: Run, store: Path) -> None:
    words = ("--families", "tiny", "--with", "greedy", "--quiet")
    assert run(*words, "--sizes", "tiny") == (0, "", "")
    assert len(_results(store)) == 1
    code, _, err = run(*words, "--sizes", "tiny", "--json-lines")
    assert code == 2
    assert "not allowed with argument --quiet" in err


# -- interruptions ----------------------------------------------------------------------------

_WORDS = [
    *("--families", "tiny", "mixtral", "--sizes", "tiny"),
    *("--with", "random", "popularity", "greedy", "successive-dp", "layer-enumeration"),
]


def _spawn(store: Path, seeds: str = "0-2") -> "subprocess.Popen[str]":
    words = [*_WORDS, "--seeds", seeds, "--store", str(store)]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,
    )


def _hear_ctrl_c() -> None:
    """Undo what shells do to background jobs, whose children would ignore the signal as well."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _count(store: Path) -> int:
    try:
        connection = sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT count(*) FROM attempts").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.OperationalError:  # not made yet
        return 0


def test_sigkill_loses_and_repeats_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    undisturbed, killed = tmp_path / "undisturbed.sqlite", tmp_path / "killed.sqlite"
    with _spawn(undisturbed) as program:
        out, _ = program.communicate()
    assert program.returncode == 0, out
    total = _count(undisturbed)
    assert total == 6 * (3 + 4)

    kills = 0
    for part in (0.2, 0.5, 0.8):
        before = _count(killed)
        aim = min(total - 4, round(part * total) + chance.randint(-3, 3))
        with _spawn(killed) as program:
            while _count(killed) < aim and program.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.uniform(0.0, 0.06))  # anywhere within a solve, a write, a start
            program.send_signal(signal.SIGKILL)
            program.communicate()
        if program.returncode == 0:  # a busy machine let us look too late
            break
        assert program.returncode == -signal.SIGKILL
        assert _count(killed) >= aim > before  # what had finished is still there
        kills += 1
    assert kills >= 1
    with _spawn(killed) as program:
        out, _ = program.communicate()
    assert program.returncode == 0
    assert "had finished before and were skipped" in out
    assert _count(killed) == total
    one, other = _results(undisturbed), _results(killed)
    assert not other.duplicated(ROW).any()
    pd.testing.assert_frame_equal(_sorted(one), _sorted(other))
    with Store.open(killed) as store:
        for row in other.itertuples():
            assert (store.placement(row.attempt_id) is not None) == (
                row.status in ("optimal", "feasible")
            )


def test_ctrl_c_says_how_to_continue(tmp_path: Path) -> None:
    store = tmp_path / "results.sqlite"
    with _spawn(store, seeds="0-49") as program:  # far more than the test waits for
        while _count(store) < 3:
            assert program.poll() is None
            time.sleep(0.005)
        program.send_signal(signal.SIGINT)
        _, err = program.communicate()
    assert program.returncode == 130
    last = err.splitlines()[-1]
    assert last.startswith("moeplace: interrupted; ")
    assert "the same command continues" in last
    assert "Traceback" not in err


# -- the pool ---------------------------------------------------------------------------------


def _request(packed: PackedInstance, algorithm: Algorithm) -> Request:
    return Request(algorithm=algorithm, packed=packed, seed=0, limits=Limits(time_s=30))


def test_pool_runs_no_more_than_it_may(tiny: Instance) -> None:
    packed = PackedInstance.of(tiny)
    flying: list[int] = []
    answers: list[Answer] = []

    def begun() -> None:
        flying.append(1)
        assert len(flying) <= 2

    def done(answer: Answer, environment: Environment) -> None:
        assert environment == environment_module.current_environment()
        flying.pop()
        answers.append(answer)

    with Pool(2) as pool:
        for _ in range(6):
            pool.submit(_request(packed, misbehaving.BEHAVED), done, begun)
        pool.drain()
    assert [answer.outcome.stop_reason for answer in answers] == [StopReason.COMPLETED] * 6


def test_pool_kills_what_flies_when_it_is_left(
    tiny: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = PackedInstance.of(tiny)
    solves: list[SandboxedSolve] = []

    class Watched(SandboxedSolve):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            solves.append(self)

    monkeypatch.setattr("bench.pool.SandboxedSolve", Watched)

    def fail() -> None:
        with Pool(2) as pool:
            pool.submit(_request(packed, misbehaving.SLEEP), lambda answer, environment: None)
            raise InputError("x", "y")

    with pytest.raises(InputError, match="x: y"):
        fail()
    assert not solves[0]._scratch.exists()  # noqa: SLF001  (it goes when the process is dead)


def test_solve_that_cannot_begin_leaves_its_room(tiny: Instance) -> None:
    packed = PackedInstance.of(tiny)
    with Pool(1) as pool:
        for _ in range(3):
            with pytest.raises(InputError, match="closure: its functions must stand"):
                pool.submit(_request(packed, misbehaving.CLOSURE), lambda *_: None)


@pytest.mark.parametrize("jobs", range(1, 9))
def test_no_processor_belongs_to_two_jobs(jobs: int) -> None:
    shares = share_cores((0, 1, 2, 3, 6, 7), jobs)
    assert len(shares) == jobs
    if jobs > 6:
        assert shares == [None] * jobs
    else:
        cores = [core for share in shares for core in share or ()]
        assert len(set(cores)) == len(cores) == 6 // jobs * jobs
        assert len({len(share or ()) for share in shares}) == 1
