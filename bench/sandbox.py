"""Sandboxed solves: each in a process of its own, killed on time, capped in memory, kept apart.

A fork server loads the heuristics and their kernels once; each solve is a fork of it, a session of
its own whose whole process group can be killed. What ends up in the parent is an
:class:`~bench.worker.Answer`, whatever the method does: hang, crash, raise, or eat memory.
"""

import contextlib
import dataclasses
import math
import multiprocessing
import os
import pickle
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import connection as pipes
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench import worker
from bench.incumbent import complete, examine
from bench.server import start_server
from bench.trajectory import read_told
from bench.worker import Answer, Begun, Job, failure, pack
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, StopReason

GRACE_S = 0.75
"""How long a method may overrun its time limit before it is killed; it is gone within a second."""

SETUP_LIMIT_S = 300.0
"""How long a process may take until its method begins: imports, and kernels compiled at first."""

LOG_BYTES = 20_000
"""How much of the end of what a method prints is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a solve may take.

    Parameters
    ----------
    time_s
        Wall clock of the method, seconds; None for no limit.
    memory_bytes
        Memory beyond the loaded program; None for no limit.
    """

    time_s: float | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.time_s is not None and not (self.time_s > 0 and math.isfinite(self.time_s)):
            raise InputError("time limit", f"{self.time_s} is not a positive number of seconds")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise InputError("memory limit", f"{self.memory_bytes} is not positive")


@dataclass(frozen=True, slots=True)
class PackedInstance:
    """An instance, and its bytes for sandboxes; packed once however many solves there are."""

    instance: Instance
    content: bytes = field(repr=False)

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """Pack an instance."""
        return cls(instance, pack(instance))


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait: a process that is half started would print a traceback of its own.

    Blocking the signal would not do: another thread may get it, and its handler runs in this one.
    """
    if threading.current_thread() is not threading.main_thread():  # never interrupted
        yield
        return
    late: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: late.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if late:
            signal.raise_signal(signal.SIGINT)


class SandboxedSolve:
    """A solve in flight. Call :meth:`poll` until it returns the answer.

    A method that has to be killed when its time is up, that crashes or runs out of memory, has not
    lost what it told on the way: the best placement and bound of that are the answer then. When it
    was killed and told nothing, the answer is the placement that it was given to start from. The
    reason says which.

    Parameters
    ----------
    algorithm, packed, seed, start, parameters
        What to run; the seed is mandatory.
    limits
        Time and memory.
    only_ask
        Ask whether the method supports the instance, and do not run it.
    cores
        Logical processors to run on; None for all.

    Raises
    ------
    InputError
        When the method has no such parameter, or cannot be sent to another process.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        packed: PackedInstance,
        *,
        seed: int,
        limits: Limits,
        start: Placement | None = None,
        parameters: Mapping[str, Any] | None = None,
        only_ask: bool = False,
        cores: tuple[int, ...] | None = None,
    ) -> None:
        parameters = dict(parameters or {})
        algorithm.check_parameters(parameters)
        job = Job(
            algorithm=algorithm,
            instance=packed.content,
            seed=seed,
            time_limit=limits.time_s,
            memory_bytes=limits.memory_bytes,
            start=start,
            parameters=parameters,
            only_ask=only_ask,
            cores=cores,
            grace_s=GRACE_S,
        )
        try:
            content = pack(job)
        except (pickle.PicklingError, AttributeError) as error:
            raise InputError(
                algorithm.name,
                "its functions must stand at the top level of a module, so that they can run in "
                f"a process of their own ({error})",
            ) from error
        self._instance = packed.instance
        self._limits = limits
        self._start = start if algorithm.takes_start else None
        context = multiprocessing.get_context("forkserver")
        self._scratch = Path(tempfile.mkdtemp(dir=start_server()))
        self._connection, far_end = context.Pipe(duplex=False)
        self._process = context.Process(
            target=worker.main, args=(far_end, content, str(self._scratch)), daemon=True
        )
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._begun_at: float | None = None
        self._cores: tuple[int, ...] = ()
        self._threads = 1
        self._connected = True
        try:
            with uninterrupted():
                self._process.start()
            self._deadline = time.monotonic() + SETUP_LIMIT_S
        except BaseException:
            self.kill()
            raise
        finally:
            far_end.close()

    @property
    def waitables(self) -> list[Any]:
        """Objects that become ready, for ``multiprocessing.connection.wait``, when it moves on."""
        return [self._process.sentinel, *([self._connection] if self._connected else [])]

    @property
    def seconds_left(self) -> float:
        """Time until :meth:`poll` has to be called even if nothing has happened."""
        return max(0.0, self._deadline - time.monotonic())

    def poll(self) -> Answer | None:
        """Return the answer when there is one; kill the process when its time is up."""
        exit_code = self._process.exitcode  # asked first: what it sent before its end is read below
        answer = self._receive()
        if answer is None and exit_code is not None:
            answer = self._died(exit_code)
        if answer is None and time.monotonic() >= self._deadline:
            answer = self._out_of_time()
        if answer is None:
            return None
        self._end()
        try:
            return self._completed(answer)
        finally:
            self._clear()

    def kill(self) -> None:
        """End the process with all its descendants, and remove what they left behind."""
        self._end()
        self._clear()

    def _end(self) -> None:
        if self._process.pid is not None:
            for kill in (os.killpg, os.kill):  # it may not lead its group yet
                try:
                    kill(self._process.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
            self._process.join()
            self._process.close()
        self._connection.close()

    def _clear(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _receive(self) -> Answer | None:
        while self._connected and self._connection.poll():
            try:
                message = pickle.loads(self._connection.recv_bytes())
            except (EOFError, OSError):
                self._connected = False
                return None
            if isinstance(message, Begun):
                self._begun_at = message.at
                self._cores, self._threads = message.cores, message.threads
                limit = math.inf if self._limits.time_s is None else self._limits.time_s + GRACE_S
                self._deadline = self._begun_at + limit
            else:
                answer: Answer = message
                seconds = answer.seconds if answer.returned else self._seconds()
                return dataclasses.replace(answer, seconds=seconds, log=self._log())
        return None

    def _completed(self, answer: Answer) -> Answer:
        """Add what was told on the way; the process is dead, and no clock runs."""
        findings = examine(self._instance, read_told(self._scratch))
        outcome = complete(self._instance, answer.outcome, findings, returned=answer.returned)
        if outcome.placement is not None and outcome.placement is self._start:
            note = "the placement is the one that it started from"
            outcome = dataclasses.replace(outcome, reason=f"{outcome.reason}; {note}")
        steps = () if findings.refuted else findings.steps
        return dataclasses.replace(
            answer,
            outcome=outcome,
            steps=steps,
            cores=self._cores,
            threads=self._threads,
            started_at=self._started_at,
        )

    def _died(self, exit_code: int) -> Answer:
        log = self._log()
        during = "" if self._begun_at is not None else " before the method began"
        if exit_code >= 0:
            reason = f"the process ended with code {exit_code} and without an answer{during}"
            return failure(StopReason.CRASHED, reason, seconds=self._seconds(), log=log)
        if -exit_code == signal.SIGALRM and self._limits.time_s is not None:
            return self._out_of_time()
        name = _signal_name(-exit_code)
        stop_reason, reason = StopReason.CRASHED, f"the process died of {name}{during}"
        if -exit_code == signal.SIGKILL:
            stop_reason = StopReason.MEMORY_LIMIT
            reason += ": the system kills processes for want of memory"
        elif any(sign in log.lower() for sign in worker.OUT_OF_MEMORY):
            stop_reason = StopReason.MEMORY_LIMIT
            reason += " when it ran out of memory"
        return failure(stop_reason, reason, seconds=self._seconds(), log=log)

    def _out_of_time(self) -> Answer:
        if self._begun_at is None:
            reason = f"the method had not begun after {SETUP_LIMIT_S:g} s"
            return failure(StopReason.SOLVER_ERROR, reason, log=self._log())
        reason = f"killed {GRACE_S:g} s after its time limit of {self._limits.time_s:g} s"
        outcome = Outcome(
            stop_reason=StopReason.TIME_LIMIT,
            placement=self._start,
            proven_optimal=False,
            reason=reason,
        )
        return Answer(outcome=outcome, seconds=self._seconds(), log=self._log())

    def _seconds(self) -> float:
        return 0.0 if self._begun_at is None else time.monotonic() - self._begun_at

    def _log(self) -> str:
        path = self._scratch / "log"
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            return file.read().decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.kill()


def solve_in_sandbox(
    algorithm: Algorithm,
    packed: PackedInstance,
    *,
    seed: int,
    limits: Limits,
    start: Placement | None = None,
    parameters: Mapping[str, Any] | None = None,
    only_ask: bool = False,
    cores: tuple[int, ...] | None = None,
) -> Answer:
    """Run one method in a process of its own, and wait for the answer.

    Raises
    ------
    InputError
        When the method has no such parameter, or cannot be sent to another process.
    """
    with SandboxedSolve(
        algorithm,
        packed,
        seed=seed,
        limits=limits,
        start=start,
        parameters=parameters,
        only_ask=only_ask,
        cores=cores,
    ) as solve:
        while (answer := solve.poll()) is None:
            wait_for(solve)
        return answer


def wait_for(*solves: SandboxedSolve) -> None:
    """Wait until one of the solves has something to say or is out of time."""
    waitables = [waitable for solve in solves for waitable in solve.waitables]
    left = min(solve.seconds_left for solve in solves)
    pipes.wait(waitables, timeout=None if math.isinf(left) else left)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
