"""Methods that do what methods must not do."""

import ctypes
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numba import config, njit
from numpy.typing import NDArray

from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee
from instances.result import OnProgress, Outcome, StopReason

WARM_UP = "warm-up"
"""Warm-up instances have this in their names; most methods here behave on them."""


def _warming(instance: Instance) -> bool:
    return instance.name.startswith(WARM_UP)


def _guaranteed(instance: Instance) -> float:
    return 0.25


def _refuse(instance: Instance) -> str | None:
    return None if _warming(instance) else "does not like it"


def behaved(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None, size: int = 1
) -> Placement:
    print("hello from inside")
    return Placement.empty(instance)


def seeded(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Placement:
    return Placement.of(instance, [(0, int(rng.integers(instance.num_experts)))])


def sleep(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Placement:
    if not _warming(instance):
        time.sleep(600)
    return Placement.empty(instance)


@njit
def _spin(flag: NDArray[np.bool_]) -> None:
    while not flag[0]:
        pass


def spin(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Placement:
    """Hang in native code that holds the interpreter lock."""
    _spin(np.array([_warming(instance)]))
    return Placement.empty(instance)


def deaf(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Placement:
    """Hang in a program of its own, which nobody but the process group can find."""
    if not _warming(instance):
        note = Path(os.environ["MOEPLACE_TEST_NOTE"])
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        note.with_suffix(".part").write_text(f"{os.getpid()} {program.pid}")
        note.with_suffix(".part").rename(note)
        program.wait()
    return Placement.empty(instance)


def eat(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Placement:
    if not _warming(instance):
        blocks = []
        while True:
            blocks.append(np.ones(10_000_000))
    return Placement.empty(instance)


def eat_natively(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None
) -> Placement:
    if not _warming(instance):
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os.abort()
    return Placement.empty(instance)


def abort(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Placement:
    if not _warming(instance):
        os.abort()
    return Placement.empty(instance)


def vanish(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Placement:
    if not _warming(instance):
        os._exit(7)
    return Placement.empty(instance)


def abort_at_once(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None
) -> Placement:
    os.abort()


def complain(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None
) -> Placement:
    if not _warming(instance):
        try:
            raise KeyError("the cause")
        except KeyError as error:
            raise RuntimeError("two\nlines") from error
    return Placement.empty(instance)


def picky(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None, size: int = 1
) -> Placement:
    if size < 1:
        raise InputError("size", f"{size} is not positive")
    return Placement.empty(instance)


def overfull(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None
) -> Placement:
    return Placement(np.ones((instance.num_servers, instance.num_experts), dtype=np.bool_))


def lie(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Outcome:
    """Claim that nothing better than next to nothing exists, with an empty placement at hand."""
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=Placement.empty(instance),
        proven_optimal=True,
        bound_saving_ms=-1.0,
    )


def number(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> int:
    return 42


def pool(instance: Instance, *, rng: np.random.Generator, time_limit: float | None) -> Outcome:
    """Tell what the process looks like from inside."""
    from bench import nursery

    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=Placement.empty(instance),
        proven_optimal=False,
        reason=f"{nursery.num_threads} {multiprocessing.parent_process() is not None} "
        f"{'ortools' in sys.modules} {'pulp' in sys.modules} "
        f"{instance.latency_ms.flags.writeable} {os.getpgid(0) == os.getpid()}",
    )


def threaded(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None, threads: int = 1
) -> Outcome:
    """Tell how many threads it has, and how many libraries take; with three it crashes."""
    if threads == 3 and not _warming(instance):
        os.abort()
    libraries = [os.environ["OMP_NUM_THREADS"], str(config.NUMBA_NUM_THREADS)]
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=Placement.empty(instance),
        proven_optimal=False,
        reason=f"{threads} {' '.join(libraries)}",
    )


def keep_start(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    start: Placement | None = None,
) -> Outcome:
    copies = -1 if start is None else start.num_copies
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=start or Placement.empty(instance),
        proven_optimal=False,
        reason=f"started from {copies} copies",
    )


def sleep_on(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    start: Placement | None = None,
) -> Placement:
    return sleep(instance, rng=rng, time_limit=time_limit)


def report(
    on_progress: OnProgress | None,
    placement: Placement | None,
    *,
    bound: float = math.inf,
    certified: bool = False,
    claim: float = math.nan,
) -> None:
    if on_progress is not None:
        on_progress(
            Outcome(
                stop_reason=StopReason.TIME_LIMIT,
                placement=placement,
                proven_optimal=False,
                bound_saving_ms=bound,
                bound_certified=certified,
                claimed_saving_ms=claim,
            )
        )


def good(instance: Instance) -> Placement:
    """The placement of the fixture ``tiny_placement``, which saves 9 ms; else nothing."""
    if _warming(instance):
        return Placement.empty(instance)
    return Placement.of(instance, [(0, 0), (0, 4), (1, 1), (1, 3), (1, 5)])


def _tell(instance: Instance, on_progress: OnProgress | None) -> None:
    """Tell of a bound, of nothing stored, and of a good placement with a certified bound."""
    report(on_progress, None, bound=25.0)
    report(on_progress, Placement.empty(instance), bound=24.0)
    report(on_progress, good(instance), bound=20.0, certified=True, claim=math.nan)


def tell_and_sleep(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
    start: Placement | None = None,
) -> Placement:
    _tell(instance, on_progress)
    return sleep(instance, rng=rng, time_limit=time_limit)


def tell_and_segfault(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
) -> Placement:
    _tell(instance, on_progress)
    if not _warming(instance):
        time.sleep(0.05)  # the newest record waits a few milliseconds after the one before
        ctypes.string_at(0)
    return Placement.empty(instance)


def tell_and_eat(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
) -> Placement:
    _tell(instance, on_progress)
    return eat(instance, rng=rng, time_limit=time_limit)


def tell_and_raise(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
) -> Placement:
    _tell(instance, on_progress)
    return complain(instance, rng=rng, time_limit=time_limit)


def tell_and_ignore_signals(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
) -> Placement:
    """Hear no signal that can be ignored, and never end."""
    _tell(instance, on_progress)
    if not _warming(instance):
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        while True:
            time.sleep(600)
    return Placement.empty(instance)


def tell_overfull(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
) -> Placement:
    """Tell of a placement that does not fit, and return one that does."""
    report(on_progress, overfull(instance, rng=rng, time_limit=time_limit))
    return Placement.empty(instance)


def tell_low_bound(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
) -> Placement:
    """Tell of a bound that the placement found later refutes."""
    report(on_progress, None, bound=0.0 if _warming(instance) else 8.0)
    return good(instance)


def tell_nonsense(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
) -> Placement:
    if on_progress is not None and not _warming(instance):
        on_progress(good(instance))  # type: ignore[arg-type]
    return Placement.empty(instance)


def tell_and_find_nothing(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Return less than what was told."""
    _tell(instance, on_progress)
    return Outcome(stop_reason=StopReason.TIME_LIMIT, placement=None, proven_optimal=False)


def _algorithm(name: str, solve: object, **options: object) -> Algorithm:
    return Algorithm(
        name=name,
        solve=solve,  # type: ignore[arg-type]
        exact=False,
        summary="for tests",
        source="tests",
        complexity="O(1)",
        **options,  # type: ignore[arg-type]
    )


GUARANTEE = Guarantee(formula="F >= 1/4 OPT", scope="all", source="tests", ratio=_guaranteed)

BEHAVED = _algorithm("behaved", behaved, guarantee=GUARANTEE)
SEEDED = _algorithm("seeded", seeded, randomised=True)
THREADED = _algorithm("threaded", threaded)
SLEEP = _algorithm("sleep", sleep)
SLEEP_ON = _algorithm("sleep-on", sleep_on)
SPIN = _algorithm("spin", spin)
DEAF = _algorithm("deaf", deaf)
EAT = _algorithm("eat", eat)
EAT_NATIVELY = _algorithm("eat-natively", eat_natively)
ABORT = _algorithm("abort", abort)
ABORT_AT_ONCE = _algorithm("abort-at-once", abort_at_once)
VANISH = _algorithm("vanish", vanish)
COMPLAIN = _algorithm("complain", complain)
PICKY = _algorithm("picky", picky)
OVERFULL = _algorithm("overfull", overfull)
LIE = _algorithm("lie", lie)
NUMBER = _algorithm("number", number)
POOL = _algorithm("pool", pool)
REFUSE = _algorithm("refuse", behaved, supports=_refuse)
KEEP_START = _algorithm("keep-start", keep_start)
CLOSURE = _algorithm("closure", lambda instance, *, rng, time_limit: Placement.empty(instance))
TELL_AND_SLEEP = _algorithm("tell-and-sleep", tell_and_sleep)
TELL_AND_SEGFAULT = _algorithm("tell-and-segfault", tell_and_segfault)
TELL_AND_EAT = _algorithm("tell-and-eat", tell_and_eat)
TELL_AND_RAISE = _algorithm("tell-and-raise", tell_and_raise)
TELL_AND_IGNORE_SIGNALS = _algorithm("tell-and-ignore-signals", tell_and_ignore_signals)
TELL_OVERFULL = _algorithm("tell-overfull", tell_overfull)
TELL_LOW_BOUND = _algorithm("tell-low-bound", tell_low_bound)
TELL_NONSENSE = _algorithm("tell-nonsense", tell_nonsense)
TELL_AND_FIND_NOTHING = _algorithm("tell-and-find-nothing", tell_and_find_nothing)
