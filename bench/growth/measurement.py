"""One task on one instance, in a process of its own: time, and memory beyond what was there."""

import contextlib
import multiprocessing
import multiprocessing.process
import os
import re
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from bench.growth.shapes import Size, build
from bench.growth.tasks import Task, UnsupportedSize, prepare
from bench.worker import die_with_parent
from instances.files import write_instance
from instances.problem import ARRAYS

ENOUGH_S = 0.2
"""Short runs are repeated until about so much time has been spent."""
MOST_REPETITIONS = 20

GETTING_READY_S = 900.0
"""An instance must be loaded within that; it has nothing to do with the limit of the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An instance on disk: its file, its dimensions, and the bytes of its arrays."""

    path: Path
    rows: int
    users: int
    servers: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a task took; see :class:`bench.growth.document.Point`."""

    cpu_s: float
    clock_s: float
    peak_bytes: int
    repetitions: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no measurement."""

    reason: str


def make(size: Size, folder: Path) -> Made | Failure:
    """Make an instance and write it, in a process of its own, so that its memory is given back."""
    path = folder / f"{size.shape}-{size.axis}-{size.value}.npz"

    def work(connection: Connection) -> None:
        instance = build(size)
        write_instance(path, instance)
        made = Made(
            path=path,
            rows=instance.num_rows,
            users=instance.num_users,
            servers=instance.num_servers,
            num_bytes=sum(getattr(instance, name).nbytes for name in ARRAYS),
        )
        connection.send(made)

    answer = _in_a_process(work, GETTING_READY_S, None)
    assert isinstance(answer, Made | Failure)
    return answer


def measure(
    task: Task, size: Size, made: Made, time_limit_s: float, memory_limit_bytes: int
) -> Cost | Failure:
    """Run a task and measure it; a failure when it needs more than it may have."""

    def work(connection: Connection) -> None:
        try:
            do = prepare(task, size, made.path)
        except UnsupportedSize as unsupported:
            connection.send(Failure(str(unsupported)))
            return
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = _address_space_bytes() + memory_limit_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        connection.send(None)  # the clock of the parent begins
        before = _forget_peak()
        connection.send(_timed(do, before))

    answer = _in_a_process(work, GETTING_READY_S, time_limit_s)
    assert isinstance(answer, Cost | Failure)
    return answer


def _timed(do: Callable[[], str], before: int) -> Cost | Failure:
    cpu: list[float] = []
    clock: list[float] = []
    peak = 0
    while not cpu or (sum(clock) < ENOUGH_S and len(cpu) < MOST_REPETITIONS):
        cpu_begin, clock_begin = _processor_s(), time.perf_counter()
        reason = do()
        cpu.append(_processor_s() - cpu_begin)
        clock.append(time.perf_counter() - clock_begin)
        if reason:
            return Failure(reason)
        if len(cpu) == 1:
            peak = max(0, _peak_bytes() - before)
    return Cost(
        cpu_s=max(1e-9, min(cpu)),
        clock_s=max(1e-9, min(clock)),
        peak_bytes=peak,
        repetitions=len(cpu),
    )


def _processor_s() -> float:
    """Processor time of this process and of the programs that it has run, seconds."""
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + programs.ru_utime + programs.ru_stime


def _in_a_process(
    work: Callable[[Connection], None], ready_s: float, limit_s: float | None
) -> object:
    """Fork, and wait for what is sent: with a limit, for a sign that it begins and for the answer.

    The fork shares what is warm here: modules, and kernels that are compiled or loaded.
    """
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_child, args=(work, sending, receiving), daemon=True
    )
    process.start()
    sending.close()
    try:
        answer = _receive(receiving, ready_s, f"not ready within {ready_s:g} s")
        if limit_s is not None and answer is None:
            answer = _receive(receiving, limit_s, f"longer than {limit_s:g} s")
    finally:
        if process.is_alive():
            _kill_all(process)
        process.join()
        receiving.close()
    if isinstance(answer, Failure) and not answer.reason:
        return Failure(_ending(process.exitcode or 0))
    return answer


def _kill_all(process: multiprocessing.process.BaseProcess) -> None:
    """Kill a process and the programs of solvers that it has started: they are one group."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):  # it ended just now, or has no group yet
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _receive(connection: Connection, seconds: float, otherwise: str) -> object:
    if not connection.poll(seconds):
        return Failure(otherwise)
    try:
        return connection.recv()
    except EOFError:
        return Failure("")  # it died; its exit code says how


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _child(work: Callable[[Connection], None], sending: Connection, receiving: Connection) -> None:
    receiving.close()
    os.setsid()
    die_with_parent(signal.SIGKILL)
    try:
        work(sending)
    except MemoryError:
        sending.send(Failure("more memory than it may have"))
    sending.close()


def _forget_peak() -> int:
    """Begin to watch memory; return what is in use now, bytes."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # VmHWM and ru_maxrss begin anew (Linux)
    return _peak_bytes()


def _peak_bytes() -> int:
    """Most memory of this process so far, or since the peak was forgotten, bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _address_space_bytes() -> int:
    status = Path("/proc/self/statm")
    if not status.is_file():
        return 0
    return int(status.read_text().split()[0]) * resource.getpagesize()
