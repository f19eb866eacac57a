"""The inside of a sandbox: one process that runs one method once and reports."""

import contextlib
import ctypes
import dataclasses
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench.environment import allowed_cores
from bench.incumbent import Step
from bench.supplies import supplied
from bench.trajectory import Recorder
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, run, supports_everything
from instances.result import Outcome, StopReason

PR_SET_PDEATHSIG = 1
"""Linux, sys/prctl.h: signal to receive when the parent dies."""

OUT_OF_MEMORY = ("bad_alloc", "out of memory", "memoryerror", "cannot allocate memory")
"""What native code prints when memory ends, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a sandbox is to do.

    Parameters
    ----------
    algorithm
        The method.
    instance
        The instance, pickled once for all its jobs (:func:`pack`).
    seed
        Seed of the method's random numbers.
    time_limit
        Seconds that the method is told; None for no limit.
    memory_bytes
        Memory that the method may take beyond the loaded program; None for no limit.
    start
        Placement to start from; None for none.
    parameters
        The method's own.
    only_ask
        Ask whether the method supports the instance, and do not run it.
    cores
        Logical processors that the process may use; None for all that there are.
    grace_s
        Seconds beyond the time limit after which the process ends itself, should its parent be
        too busy to end it.
    """

    algorithm: Algorithm
    instance: bytes
    seed: int
    time_limit: float | None
    memory_bytes: int | None
    start: Placement | None
    parameters: dict[str, Any]
    only_ask: bool = False
    cores: tuple[int, ...] | None = None
    grace_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Begun:
    """The method starts now: the clock of the time limit runs.

    Parameters
    ----------
    at
        The moment, by ``time.monotonic``, which all processes of a machine share.
    cores
        Logical processors that the process may use; empty when the system does not tell.
    threads
        Most threads that the method was given.
    """

    at: float
    cores: tuple[int, ...]
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a job ended.

    Parameters
    ----------
    outcome
        What the method claims.
    seconds
        Wall clock of the call of the method, and nothing else.
    guarantee_ratio
        The method's proved ratio on this instance; None when nothing is claimed.
    input_error
        What the method said about a parameter, when it refused one.
    log
        What the method printed, with the traceback of an exception.
    returned
        The outcome is what the method returned; false when it raised, died or was killed.
    steps
        What was known at which moment, judged; see :mod:`bench.incumbent`.
    cores
        Logical processors that it was allowed; empty when the system does not tell.
    threads
        Most threads that it was given; 1 for one that did not begin.
    started_at
        When its process was started, UTC, ISO 8601.
    """

    outcome: Outcome
    seconds: float = 0.0
    guarantee_ratio: float | None = None
    input_error: InputError | None = None
    log: str = ""
    returned: bool = False
    steps: tuple[Step, ...] = ()
    cores: tuple[int, ...] = ()
    threads: int = 1
    started_at: str = ""


def pack(value: object) -> bytes:
    """Pickle such that arrays keep their read-only flag.

    Numba compiles a kernel anew for arrays that may be written to; protocol 5 keeps the flag.
    """
    return pickle.dumps(value, protocol=5)


def main(connection: Connection, job: bytes, scratch: str) -> None:
    """Run a job in this process, and send :class:`Begun` and :class:`Answer`."""
    _enter(Path(scratch))
    try:
        answer = _answer(connection, pickle.loads(job), Recorder(Path(scratch)))
    except MemoryError:
        answer = failure(StopReason.MEMORY_LIMIT, "the method ran out of memory")
    except InputError as error:
        answer = Answer(
            outcome=_failed(StopReason.SOLVER_ERROR, str(error)),
            input_error=error,
        )
    except Exception as error:  # the sandbox exists for this: whatever a method raises ends here
        traceback.print_exc()
        text = one_line(error)
        out_of_memory = any(sign in text.lower() for sign in OUT_OF_MEMORY)
        reason = StopReason.MEMORY_LIMIT if out_of_memory else StopReason.SOLVER_ERROR
        answer = failure(reason, text)
    sys.stdout.flush()  # the parent reads the log as soon as it has the answer
    sys.stderr.flush()
    connection.send_bytes(pack(answer))
    connection.close()


def die_with_parent(number: signal.Signals) -> None:
    """Ask the kernel (Linux) to send this process a signal when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def failure(stop_reason: StopReason, reason: str, *, seconds: float = 0.0, log: str = "") -> Answer:
    """Return the answer of a job without a placement."""
    return Answer(outcome=_failed(stop_reason, reason), seconds=seconds, log=log)


def one_line(error: BaseException) -> str:
    """Say in one line what was raised, and where."""
    # Bindings hide the text that matters in the exception behind the exception.
    causes: list[str] = []
    current: BaseException | None = error
    while current is not None and len(causes) < 3:
        text = " ".join(str(current).split())
        causes.append(f"{type(current).__name__}: {text}" if text else type(current).__name__)
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return "; from ".join(causes)[:500] + place


def _enter(scratch: Path) -> None:
    """Make this process killable as a whole, mortal with its parent, silent and tidy."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP):  # the fork server has handlers of its own
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(signal.SIGKILL)
    nursery = sys.modules.get("bench.nursery")
    if nursery is not None and os.getppid() != nursery.PROCESS_ID:
        os._exit(1)  # the parent died before the line above
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        log = os.open(scratch / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except FileNotFoundError:  # interrupted while this process was made: nobody waits for it
        os._exit(1)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)


def _answer(connection: Connection, job: Job, recorder: Recorder) -> Answer:
    instance: Instance = pickle.loads(job.instance)
    algorithm = job.algorithm
    reason = algorithm.supports(instance)
    if reason is not None:
        return failure(StopReason.UNSUPPORTED, reason)
    if job.only_ask:
        return failure(StopReason.COMPLETED, "")
    parameters = supplied(algorithm, job.parameters)
    ratio = None if algorithm.guarantee is None else algorithm.guarantee.ratio(instance)
    nursery = sys.modules.get("bench.nursery")
    if nursery is None or algorithm.name not in nursery.warmed:
        from bench.warmup import warm

        warm([algorithm])
        sys.stdout.flush()
        os.ftruncate(1, 0)  # the log is about the instance that was asked for
    rng = np.random.default_rng(job.seed)
    asked = dataclasses.replace(algorithm, supports=supports_everything)  # not a second time
    cores = _pin(job.cores)
    threads = _threads(algorithm, parameters)
    with _memory_cap(job.memory_bytes), _alarm(job.time_limit, job.grace_s):
        connection.send_bytes(pack(Begun(time.monotonic(), cores, threads)))
        begin = time.perf_counter()
        recorder.begin()  # later, so that nothing is told after the end
        try:
            outcome = run(
                asked,
                instance,
                rng=rng,
                time_limit=job.time_limit,
                start=job.start,
                on_progress=recorder,
                **parameters,
            )
            seconds = time.perf_counter() - begin
        finally:
            recorder.finish()
    return Answer(outcome=outcome, seconds=seconds, guarantee_ratio=ratio, returned=True)


def _pin(cores: tuple[int, ...] | None) -> tuple[int, ...]:
    """Keep this process on some processors where that is allowed; return those it may use."""
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # not allowed: what is recorded says so
            os.sched_setaffinity(0, cores)
    return allowed_cores()


def _threads(algorithm: Algorithm, parameters: Mapping[str, Any]) -> int:
    """Return how many threads the method has: what its parameter ``threads`` says, or one.

    Whatever does not ask for more is kept to one by the fork server: BLAS, and numba.
    """
    threads = parameters.get("threads", algorithm.parameters.get("threads", 1))
    refused = isinstance(threads, bool) or not isinstance(threads, int) or threads < 1
    return 1 if refused else int(threads)


@contextlib.contextmanager
def _alarm(time_limit: float | None, grace_s: float) -> Iterator[None]:
    """Let the kernel end this process some time after its limit, unless the parent is faster."""
    if time_limit is None:
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, time_limit + grace_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


@contextlib.contextmanager
def _memory_cap(memory_bytes: int | None) -> Iterator[None]:
    """Limit the address space to what is in use now, plus so many bytes."""
    if memory_bytes is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _address_space_bytes() + memory_bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space_bytes() -> int:
    status = Path("/proc/self/statm")
    if not status.is_file():
        return 0
    return int(status.read_text().split()[0]) * resource.getpagesize()


def _failed(stop_reason: StopReason, reason: str) -> Outcome:
    return Outcome(
        stop_reason=stop_reason,
        placement=None,
        proven_optimal=False,
        reason=reason,
    )
