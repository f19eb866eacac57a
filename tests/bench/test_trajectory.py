import dataclasses
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import trajectory
from bench.incumbent import Step, complete, examine
from bench.incumbent import trajectory as with_end
from bench.sandbox import GRACE_S, Limits, PackedInstance, SandboxedSolve, solve_in_sandbox
from bench.trajectory import Recorder, Told, read_told
from bench.worker import Answer
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, Status, StopReason, judge
from tests.bench import misbehaving
from tests.bench.misbehaving import report


@pytest.fixture(scope="module")
def packed(tiny: Instance) -> PackedInstance:
    return PackedInstance.of(tiny)


def _run(
    algorithm: Algorithm,
    packed: PackedInstance,
    *,
    time_s: float = 60.0,
    memory_bytes: int | None = None,
    start: Placement | None = None,
) -> Answer:
    limits = Limits(time_s=time_s, memory_bytes=memory_bytes)
    return solve_in_sandbox(algorithm, packed, seed=0, limits=limits, start=start)


# -- real processes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "stop_reason", "reason"),
    [
        (misbehaving.TELL_AND_SLEEP, StopReason.TIME_LIMIT, "killed 0.75 s after its time limit"),
        (misbehaving.TELL_AND_IGNORE_SIGNALS, StopReason.TIME_LIMIT, "killed 0.75 s after"),
        (misbehaving.TELL_AND_SEGFAULT, StopReason.CRASHED, "the process died of SIGSEGV"),
        (misbehaving.TELL_AND_EAT, StopReason.MEMORY_LIMIT, "the method ran out of memory"),
        (misbehaving.TELL_AND_RAISE, StopReason.SOLVER_ERROR, "RuntimeError: two lines"),
        (misbehaving.TELL_AND_FIND_NOTHING, StopReason.TIME_LIMIT, "the placement is the one"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_was_told_survives_every_end(
    algorithm: Algorithm,
    stop_reason: StopReason,
    reason: str,
    packed: PackedInstance,
    tiny: Instance,
    tiny_placement: Placement,
) -> None:
    hangs = algorithm in (misbehaving.TELL_AND_SLEEP, misbehaving.TELL_AND_IGNORE_SIGNALS)
    answer = _run(algorithm, packed, time_s=0.2 if hangs else 60.0, memory_bytes=300_000_000)
    result = judge(tiny, answer.outcome, seconds=answer.seconds)
    assert (result.status, result.stop_reason) == (Status.FEASIBLE, stop_reason)
    assert result.placement is not None
    assert np.array_equal(result.placement.stored, tiny_placement.stored)
    assert (result.saving_ms, result.bound_saving_ms, result.bound_certified) == (9.0, 20.0, True)
    assert reason in result.reason
    assert "the placement is the one that it told after" in result.reason
    last = answer.steps[-1]
    assert (last.saving_ms, last.bound_saving_ms, last.bound_certified) == (9.0, 20.0, True)
    assert 0 < last.seconds <= answer.seconds


def test_better_of_told_and_start_is_kept(
    packed: PackedInstance, tiny: Instance, tiny_placement: Placement
) -> None:
    """The method tells of 9 ms; a start that saves more is kept, one that saves less is not."""
    better = Placement.of(tiny, [(0, 4), (0, 5), (1, 0), (1, 1), (1, 2)])
    assert judge(tiny, _outcome(better), seconds=0).saving_ms > 9.0
    answer = _run(misbehaving.TELL_AND_SLEEP, packed, time_s=0.1, start=better)
    assert answer.outcome.placement is better
    assert "the placement is the one that it started from" in answer.outcome.reason
    assert answer.outcome.bound_saving_ms == 20.0
    worse = Placement.empty(tiny)
    answer = _run(misbehaving.TELL_AND_SLEEP, packed, time_s=0.1, start=worse)
    assert judge(tiny, answer.outcome, seconds=0).saving_ms == 9.0
    assert "the placement is the one that it told after" in answer.outcome.reason
    assert "started from" not in answer.outcome.reason


@pytest.mark.parametrize(
    ("algorithm", "reason"),
    [
        (misbehaving.TELL_OVERFULL, "holds 60 bytes where its capacity is 20"),
        (misbehaving.TELL_LOW_BOUND, "claims the bound 8.0 ms; its placement saves 9.0"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_lies_on_the_way_make_the_answer_wrong(
    algorithm: Algorithm, reason: str, packed: PackedInstance, tiny: Instance
) -> None:
    answer = _run(algorithm, packed)
    result = judge(tiny, answer.outcome, seconds=answer.seconds)
    assert (result.status, result.stop_reason) == (Status.ERROR, StopReason.WRONG_CLAIM)
    assert reason in result.reason
    assert with_end(answer.steps, result) == ()


def test_nonsense_is_the_error_of_the_method(packed: PackedInstance) -> None:
    answer = _run(misbehaving.TELL_NONSENSE, packed)
    assert answer.outcome.stop_reason is StopReason.SOLVER_ERROR
    assert "on_progress got Placement, not an Outcome" in answer.outcome.reason


def test_limit_is_kept_while_nobody_watches(packed: PackedInstance) -> None:
    """The kernel ends a hanging solve on time although its parent looks only much later."""
    limits = Limits(time_s=0.2)
    with SandboxedSolve(misbehaving.TELL_AND_SLEEP, packed, seed=0, limits=limits) as solve:
        pid = solve._process.pid  # noqa: SLF001  (who has to be gone is private)
        assert pid is not None
        for _ in range(3000):
            if not Path(f"/proc/{pid}").exists() or _is_zombie(pid):
                break
            time.sleep(0.01)
        else:
            pytest.fail("still alive")
        answer = solve.poll()
    assert answer is not None
    assert answer.outcome.stop_reason is StopReason.TIME_LIMIT
    assert answer.outcome.reason.startswith(f"killed {GRACE_S:g} s after its time limit")
    assert answer.steps[-1].saving_ms == 9.0


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_solve_stays_on_its_processors(packed: PackedInstance) -> None:
    everywhere = tuple(sorted(os.sched_getaffinity(0)))
    assert _run(misbehaving.BEHAVED, packed).cores == everywhere
    limits = Limits(time_s=60.0)
    answer = solve_in_sandbox(
        misbehaving.BEHAVED, packed, seed=0, limits=limits, cores=everywhere[-1:]
    )
    assert answer.cores == everywhere[-1:]
    beyond = max(everywhere) + 10_000  # not allowed: it runs all the same, and says where
    answer = solve_in_sandbox(misbehaving.BEHAVED, packed, seed=0, limits=limits, cores=(beyond,))
    assert answer.cores == everywhere


# -- the recorder -----------------------------------------------------------------------------


class Clock:
    """A clock that moves when it is told to, and a little whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


@pytest.fixture
def recorder(tmp_path: Path, clock: Clock) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path, clock)
    recorder.begin()
    yield recorder
    recorder.finish()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _outcome(placement: Placement | None, bound: float = math.inf) -> Outcome:
    return Outcome(
        stop_reason=StopReason.TIME_LIMIT,
        placement=placement,
        proven_optimal=False,
        bound_saving_ms=bound,
    )


def test_records_come_back_as_they_were(
    recorder: Recorder, clock: Clock, tmp_path: Path, tiny: Instance, tiny_placement: Placement
) -> None:
    for placement, bound, certified, claim in (
        (None, math.inf, False, math.nan),
        (Placement.empty(tiny), 7.5, False, 0.0),
        (tiny_placement, 7.25, True, 9.0),
        (tiny_placement, 7.125, True, 9.0),
        (None, 7.0, False, math.nan),
    ):
        report(recorder, placement, bound=bound, certified=certified, claim=claim)
        clock.now += 1.0
    told = read_told(tmp_path)
    assert [record.bound_saving_ms for record in told] == [math.inf, 7.5, 7.25, 7.125, 7.0]
    assert [record.bound_certified for record in told] == [False, False, True, True, False]
    assert [record.placement is None for record in told] == [True, False, False, False, True]
    assert told[2].placement is not None
    assert np.array_equal(told[2].placement.stored, tiny_placement.stored)
    assert told[3].placement is told[2].placement
    assert told[2].claimed_saving_ms == 9.0
    assert math.isnan(told[0].claimed_saving_ms)
    assert [round(record.seconds) for record in told] == [0, 1, 2, 3, 4]


def test_chatter_is_thinned_and_its_last_word_kept(
    recorder: Recorder, clock: Clock, tmp_path: Path
) -> None:
    """100,000 tellings within 10 s leave a few hundred records; the newest is one of them."""
    for number in range(100_000):
        report(recorder, None, bound=1e6 - number)
        clock.now += 1e-4
    recorder.finish()
    told = read_told(tmp_path)
    assert 100 < len(told) < 600
    assert told[-1].bound_saving_ms == 1e6 - 99_999
    gaps = np.diff([record.seconds for record in told[:-1]])
    assert gaps.max() < 0.3  # at most a few hundredths of the time that had passed


def test_last_word_is_written_while_the_method_is_busy(tmp_path: Path) -> None:
    """No further call, no end: a thread writes what waits."""
    recorder = Recorder(tmp_path)
    recorder.begin()
    for bound in (3.0, 2.0, 1.0):
        report(recorder, None, bound=bound)
    for _ in range(1000):
        if read_told(tmp_path)[-1].bound_saving_ms == 1.0:
            break
        time.sleep(0.005)
    assert read_told(tmp_path)[-1].bound_saving_ms == 1.0


def test_history_does_not_outgrow_its_limit(
    recorder: Recorder, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trajectory, "HISTORY_BYTES", 500)
    for number in range(100):
        report(recorder, None, bound=100.0 - number)
        clock.now += 1.0
    assert (tmp_path / "history").stat().st_size <= 500
    assert read_told(tmp_path)[-1].bound_saving_ms == 1.0


@pytest.mark.parametrize("keep", range(0, 140, 7))
def test_record_cut_off_by_a_kill_is_left_out(
    keep: int, recorder: Recorder, clock: Clock, tmp_path: Path, tiny_placement: Placement
) -> None:
    report(recorder, tiny_placement, bound=2.0)
    whole = (tmp_path / "history").stat().st_size
    clock.now += 1.0
    report(recorder, tiny_placement, bound=1.0)
    content = (tmp_path / "history").read_bytes()
    (tmp_path / "history").write_bytes(content[:keep])
    assert [record.bound_saving_ms for record in read_told(tmp_path)] == (
        [2.0, 1.0] if keep >= len(content) else [2.0] if keep >= whole else []
    )
    damaged = bytearray(content)
    damaged[min(keep, whole - 1)] ^= 1
    (tmp_path / "history").write_bytes(damaged)
    assert read_told(tmp_path) == ()


# -- judging ----------------------------------------------------------------------------------


def _told(seconds: float, placement: Placement | None, **changes: object) -> Told:
    plain = Told(
        seconds=seconds,
        placement=placement,
        claimed_saving_ms=math.nan,
        bound_saving_ms=math.inf,
        bound_certified=False,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def test_only_what_became_better_is_a_step(tiny: Instance, tiny_placement: Placement) -> None:
    findings = examine(
        tiny,
        [
            _told(0.0, None),
            _told(1.0, tiny_placement),
            _told(2.0, Placement.empty(tiny), bound_saving_ms=30.0),
            _told(3.0, None, bound_saving_ms=31.0, bound_certified=True),
            _told(4.0, None, bound_saving_ms=30.0, bound_certified=True),
            _told(5.0, None, bound_saving_ms=29.0),
        ],
    )
    assert [
        (step.seconds, step.saving_ms, step.bound_saving_ms, step.bound_certified)
        for step in findings.steps
    ] == [
        (1.0, 9.0, math.inf, False),
        (2.0, 9.0, 30.0, False),
        (4.0, 9.0, 30.0, True),
        (5.0, 9.0, 29.0, False),
    ]
    assert findings.placement is tiny_placement
    assert findings.placed_at == 1.0
    assert findings.refuted == ""


def test_claim_on_the_way_that_the_evaluator_refutes(
    tiny: Instance, tiny_placement: Placement
) -> None:
    findings = examine(tiny, [_told(0.5, tiny_placement, claimed_saving_ms=9.1)])
    assert findings.refuted == "told after 500 ms: claims a saving of 9.1 ms; it is 9.0"


def test_bound_told_early_is_held_against_a_placement_told_late(
    tiny: Instance, tiny_placement: Placement
) -> None:
    told = [_told(0.5, None, bound_saving_ms=8.0), _told(0.6, tiny_placement)]
    findings = examine(tiny, told)
    outcome = complete(tiny, _outcome(None), findings, returned=True)
    assert outcome.stop_reason is StopReason.WRONG_CLAIM
    assert "claims the bound 8.0 ms; its placement saves 9.0" in outcome.reason


def test_own_answer_stays_but_for_what_it_lacks(tiny: Instance, tiny_placement: Placement) -> None:
    findings = examine(
        tiny, [_told(1.0, tiny_placement, bound_saving_ms=12.0, bound_certified=True)]
    )
    empty = Placement.empty(tiny)
    outcome = complete(tiny, _outcome(empty), findings, returned=True)
    assert outcome.placement is empty
    assert (outcome.bound_saving_ms, outcome.bound_certified) == (12.0, True)
    outcome = complete(tiny, _outcome(empty, bound=11.0), findings, returned=True)
    assert (outcome.bound_saving_ms, outcome.bound_certified) == (11.0, False)
    outcome = complete(tiny, _outcome(None), findings, returned=True)
    assert outcome.placement is tiny_placement


def test_proof_of_less_than_what_was_told_is_wrong(
    tiny: Instance, tiny_placement: Placement
) -> None:
    proof = dataclasses.replace(
        _outcome(Placement.empty(tiny), bound=0.0),
        stop_reason=StopReason.COMPLETED,
        proven_optimal=True,
    )
    findings = examine(tiny, [_told(1.0, tiny_placement)])
    outcome = complete(tiny, proof, findings, returned=True)
    assert outcome.stop_reason is StopReason.WRONG_CLAIM


def test_end_of_a_solve_is_the_last_step(tiny: Instance, tiny_placement: Placement) -> None:
    steps = examine(tiny, [_told(1.0, Placement.empty(tiny))]).steps
    result = judge(tiny, _outcome(tiny_placement, bound=10.0), seconds=3.0)
    assert with_end(steps, result) == (
        Step(seconds=1.0, saving_ms=0.0, bound_saving_ms=math.inf, bound_certified=False),
        Step(seconds=3.0, saving_ms=9.0, bound_saving_ms=10.0, bound_certified=False),
    )
    assert with_end(with_end(steps, result), result) == with_end(steps, result)
    assert with_end((), judge(tiny, _outcome(None), seconds=3.0)) == ()


def test_signals_stay_as_they_were_in_this_process() -> None:
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
