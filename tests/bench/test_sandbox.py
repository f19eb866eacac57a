import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bench import sandbox
from bench.sandbox import Limits, PackedInstance, SandboxedSolve, solve_in_sandbox
from bench.warmup import warm, warmup_instances
from bench.worker import Answer
from heuristics import HEURISTICS
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Status, StopReason, judge
from tests.bench import misbehaving
from tests.strategies import random_instance


@pytest.fixture(scope="module")
def packed(tiny: Instance) -> PackedInstance:
    return PackedInstance.of(tiny)


def _run(
    algorithm: Algorithm,
    packed: PackedInstance,
    *,
    time_s: float | None = 60.0,
    memory_bytes: int | None = None,
    **options: object,
) -> Answer:
    limits = Limits(time_s=time_s, memory_bytes=memory_bytes)
    return solve_in_sandbox(algorithm, packed, seed=0, limits=limits, **options)  # type: ignore[arg-type]


def test_answer_comes_back_with_time_guarantee_and_log(packed: PackedInstance) -> None:
    answer = _run(misbehaving.BEHAVED, packed, parameters={"size": 3})
    assert answer.outcome.stop_reason is StopReason.COMPLETED
    assert answer.outcome.placement is not None
    assert answer.outcome.placement.num_copies == 0
    assert answer.seconds > 0
    assert answer.guarantee_ratio == 0.25
    assert "hello from inside" in answer.log


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_are_those_that_the_method_was_given(packed: PackedInstance, threads: int) -> None:
    parameters = {} if threads == 1 else {"threads": threads}
    answer = _run(misbehaving.THREADED, packed, parameters=parameters)
    assert answer.threads == threads
    if threads == 3:
        assert answer.outcome.stop_reason is StopReason.CRASHED
    else:
        assert answer.outcome.reason == f"{threads} 1 1"  # BLAS and numba keep to one


def test_a_method_that_did_not_begin_has_one_thread(packed: PackedInstance) -> None:
    assert _run(misbehaving.PICKY, packed).threads == 1


def test_seed_decides(packed: PackedInstance) -> None:
    def chosen(seed: int) -> list[int]:
        answer = solve_in_sandbox(misbehaving.SEEDED, packed, seed=seed, limits=Limits())
        assert answer.outcome.placement is not None
        return np.flatnonzero(answer.outcome.placement.stored).tolist()

    drawn = [chosen(seed) for seed in (1, 1, 2, 3, 4, 5)]
    assert drawn[0] == drawn[1]
    assert len({tuple(choice) for choice in drawn}) > 1


def test_start_reaches_the_method(packed: PackedInstance, tiny_placement: Placement) -> None:
    answer = _run(misbehaving.KEEP_START, packed, start=tiny_placement)
    assert answer.outcome.reason == f"started from {tiny_placement.num_copies} copies"
    answer = _run(misbehaving.KEEP_START, packed)
    assert answer.outcome.reason == "started from -1 copies"


@pytest.mark.parametrize("algorithm", [misbehaving.SLEEP, misbehaving.SPIN], ids=lambda a: a.name)
def test_hang_is_killed_on_time(
    algorithm: Algorithm, packed: PackedInstance, tiny: Instance
) -> None:
    answer = _run(algorithm, packed, time_s=0.2)
    assert answer.outcome.stop_reason is StopReason.TIME_LIMIT
    assert "killed 0.75 s after its time limit of 0.2 s" in answer.outcome.reason
    assert answer.seconds >= 0.95
    result = judge(tiny, answer.outcome, seconds=answer.seconds)
    assert result.status is Status.NO_SOLUTION


def test_start_survives_a_kill(
    packed: PackedInstance, tiny: Instance, tiny_placement: Placement
) -> None:
    answer = _run(misbehaving.SLEEP_ON, packed, time_s=0.1, start=tiny_placement)
    assert answer.outcome.placement is tiny_placement
    assert "the placement is the one that it started from" in answer.outcome.reason
    result = judge(tiny, answer.outcome, seconds=answer.seconds)
    assert (result.status, result.stop_reason) == (Status.FEASIBLE, StopReason.TIME_LIMIT)
    assert np.isinf(result.bound_saving_ms)


def test_solver_program_dies_with_its_solve(
    packed: PackedInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "pids"
    script = (
        "import os, sys\n"
        "from bench.sandbox import Limits, PackedInstance, solve_in_sandbox\n"
        "from bench.warmup import warmup_instances\n"
        "from dataclasses import replace\n"
        "from tests.bench.misbehaving import DEAF\n"
        "packed = PackedInstance.of(replace(warmup_instances()[0], name='x'))\n"
        "limit = float(sys.argv[1])\n"
        "print(solve_in_sandbox(DEAF, packed, seed=0, limits=Limits(time_s=limit))"
        ".outcome.stop_reason)\n"
    )
    environment = {**os.environ, "MOEPLACE_TEST_NOTE": str(note)}
    finished = subprocess.run(
        [sys.executable, "-c", script, "0.5"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.strip() == "time_limit"
    _wait_until_dead(note)

    note.unlink()
    main = subprocess.Popen([sys.executable, "-c", script, "600"], env=environment)
    while not note.exists():
        assert main.poll() is None
        time.sleep(0.02)
    scratch = Path(_environment_of(int(note.read_text().split()[1]))["TMPDIR"])
    assert scratch.is_dir()
    main.send_signal(signal.SIGKILL)
    main.wait()
    _wait_until_dead(note)
    for _ in range(500):
        if not scratch.parent.exists():
            break
        time.sleep(0.02)
    assert not scratch.parent.exists()


def _environment_of(pid: int) -> dict[str, str]:
    content = Path(f"/proc/{pid}/environ").read_text()
    return dict(line.split("=", 1) for line in content.split("\0") if "=" in line)


def _wait_until_dead(note: Path) -> None:
    for pid in map(int, note.read_text().split()):
        for _ in range(500):
            status = Path(f"/proc/{pid}/stat")
            try:
                if status.read_text().rpartition(")")[2].split()[0] == "Z":
                    break
            except OSError:
                break
            time.sleep(0.02)
        else:
            pytest.fail(f"process {pid} is still alive")


def test_memory_is_capped(packed: PackedInstance, tiny: Instance) -> None:
    answer = _run(misbehaving.EAT, packed, memory_bytes=500_000_000)
    assert answer.outcome.stop_reason is StopReason.MEMORY_LIMIT
    assert answer.outcome.reason == "the method ran out of memory"
    result = judge(tiny, answer.outcome, seconds=answer.seconds)
    assert result.status is Status.ERROR


def test_native_crash_for_want_of_memory_is_told_apart(packed: PackedInstance) -> None:
    answer = _run(misbehaving.EAT_NATIVELY, packed)
    assert answer.outcome.stop_reason is StopReason.MEMORY_LIMIT
    assert "SIGABRT when it ran out of memory" in answer.outcome.reason


@pytest.mark.parametrize(
    ("algorithm", "stop_reason", "reason"),
    [
        (misbehaving.ABORT, StopReason.CRASHED, "the process died of SIGABRT"),
        (
            misbehaving.ABORT_AT_ONCE,
            StopReason.CRASHED,
            "the process died of SIGABRT before the method began",
        ),
        (
            misbehaving.VANISH,
            StopReason.CRASHED,
            "the process ended with code 7 and without an answer",
        ),
        (misbehaving.REFUSE, StopReason.UNSUPPORTED, "does not like it"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_goes_wrong_is_named(
    algorithm: Algorithm, stop_reason: StopReason, reason: str, packed: PackedInstance
) -> None:
    answer = _run(algorithm, packed)
    assert answer.outcome.stop_reason is stop_reason
    assert answer.outcome.reason == reason
    assert answer.outcome.placement is None


def test_exception_becomes_one_line_and_the_log_keeps_the_rest(packed: PackedInstance) -> None:
    answer = _run(misbehaving.COMPLAIN, packed)
    assert answer.outcome.stop_reason is StopReason.SOLVER_ERROR
    assert answer.outcome.reason.startswith("RuntimeError: two lines; from KeyError: 'the cause'")
    assert "(misbehaving.py, line " in answer.outcome.reason
    assert "Traceback (most recent call last)" in answer.log


def test_wrong_type_of_answer_is_named(packed: PackedInstance) -> None:
    answer = _run(misbehaving.NUMBER, packed)
    assert answer.outcome.stop_reason is StopReason.SOLVER_ERROR
    assert "number returned int" in answer.outcome.reason


def test_refused_parameter_is_handed_on(packed: PackedInstance) -> None:
    answer = _run(misbehaving.PICKY, packed, parameters={"size": 0})
    assert answer.input_error is not None
    assert str(answer.input_error) == "size: 0 is not positive"


def test_unknown_parameter_and_closure_are_refused(packed: PackedInstance) -> None:
    with pytest.raises(InputError, match=r"behaved: no parameter 'sise'; known parameters: size"):
        _run(misbehaving.BEHAVED, packed, parameters={"sise": 1})
    with pytest.raises(InputError, match="closure: its functions must stand at the top level"):
        _run(misbehaving.CLOSURE, packed)


@pytest.mark.parametrize(
    ("algorithm", "reason"),
    [(misbehaving.OVERFULL, "holds 60 bytes where"), (misbehaving.LIE, "claims the bound -1.0")],
    ids=lambda value: getattr(value, "name", ""),
)
def test_false_claims_do_not_survive_judgement(
    algorithm: Algorithm, reason: str, packed: PackedInstance, tiny: Instance
) -> None:
    answer = _run(algorithm, packed)
    result = judge(tiny, answer.outcome, seconds=answer.seconds)
    assert (result.status, result.stop_reason) == (Status.ERROR, StopReason.WRONG_CLAIM)
    assert reason in result.reason


def test_only_ask_does_not_run(packed: PackedInstance) -> None:
    assert _run(misbehaving.SLEEP, packed, only_ask=True).outcome.placement is None
    refused = _run(misbehaving.REFUSE, packed, only_ask=True)
    assert refused.outcome.stop_reason is StopReason.UNSUPPORTED


def test_inside_of_a_sandbox(packed: PackedInstance) -> None:
    """One thread in the fork server, no solver loaded, arrays read-only, a group of its own."""
    answer = _run(misbehaving.POOL, packed)
    assert answer.outcome.reason == "1 True False False False True"


def test_method_that_never_begins_is_given_up(
    packed: PackedInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "SETUP_LIMIT_S", 0.0)
    answer = _run(misbehaving.SLEEP, packed)
    assert answer.outcome.stop_reason is StopReason.SOLVER_ERROR
    assert answer.outcome.reason == "the method had not begun after 0 s"


def test_kill_leaves_nothing_behind(packed: PackedInstance) -> None:
    solve = SandboxedSolve(misbehaving.SLEEP, packed, seed=0, limits=Limits())
    scratch = solve._scratch  # noqa: SLF001  (what must be gone is private)
    assert scratch.is_dir()
    solve.kill()
    assert not scratch.exists()


@pytest.mark.parametrize("limits", [{"time_s": 0.0}, {"time_s": np.inf}, {"memory_bytes": 0}])
def test_limits_must_be_positive(limits: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"limit: .* is not"):
        Limits(**limits)  # type: ignore[arg-type]


def test_instance_is_the_same_to_numba_after_the_journey(tiny: Instance) -> None:
    """A writable array would make numba compile every kernel once more, inside the timed call."""
    import pickle

    packed = PackedInstance.of(tiny)
    copy = pickle.loads(packed.content)
    assert copy.checksum() == tiny.checksum()
    for item in dataclasses.fields(copy):
        value = getattr(copy, item.name)
        if isinstance(value, np.ndarray):
            assert value.flags.c_contiguous == getattr(tiny, item.name).flags.c_contiguous
            assert value.flags.aligned
            assert not value.flags.writeable, item.name
    assert not copy.models[0].expert_bytes.flags.writeable


def test_warm_up_compiles_what_random_instances_need() -> None:
    """After the warm-up no heuristic meets argument types that are new to a kernel."""
    compiled = [
        kernel
        for name, module in sorted(sys.modules.items())
        if name.startswith(("instances.", "heuristics.")) and name.endswith("kernels")
        for kernel in vars(module).values()
        if hasattr(kernel, "overloads")
    ]
    warm(HEURISTICS)
    before = {str(kernel): len(kernel.overloads) for kernel in compiled}
    assert sum(before.values()) > 10
    for seed in range(40):
        instance = random_instance(np.random.default_rng(seed))
        for algorithm in HEURISTICS:
            if algorithm.supports(instance) is None:
                algorithm.solve(instance, rng=np.random.default_rng(0), time_limit=5.0)
    assert {str(kernel): len(kernel.overloads) for kernel in compiled} == before


def test_warm_up_instances_differ_in_what_matters() -> None:
    kinds = {
        (
            instance.top_k == 1,
            all(model.uniform_bytes is not None for model in instance.models),
            max(model.experts for model in instance.models) > 20,
        )
        for instance in warmup_instances()
    }
    assert len(kinds) >= 5


def test_ctrl_c_waits_until_a_process_has_started() -> None:
    """Also where another thread gets the signal."""
    stop = threading.Event()
    helper = threading.Thread(target=stop.wait)
    helper.start()
    before = signal.getsignal(signal.SIGINT)
    passed = []

    def start() -> None:
        with sandbox.uninterrupted():
            signal.pthread_kill(helper.ident or 0, signal.SIGINT)
            time.sleep(0.1)  # its handler would have run here
            passed.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        stop.set()
        helper.join()
    assert passed
    assert signal.getsignal(signal.SIGINT) is before
