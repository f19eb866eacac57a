"""What the fork server loads once, so that each solve starts warm within milliseconds.

Imported by the fork server alone (see :mod:`bench.sandbox`). OR-Tools and PuLP stay out, since they
bring threads and locks of their own: the processes that need them import them.
"""

import atexit
import importlib.abc
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from bench.server import SCRATCH_VARIABLE

PROCESS_ID = os.getpid()
OWN_ROOMS = ("heuristics.", "formulations.")
"""Methods of these packages are warmed here. A stranger's method that crashes must take nothing but
its own process with it, so it is warmed there."""


def _leave(number: int, frame: FrameType | None) -> None:
    _clean_up()
    os._exit(0)  # an exception could come up anywhere, also where Python would print and ignore it


def _clean_up() -> None:
    """Kill the solves in flight with all their descendants, and remove what they left behind."""
    if os.getpid() != PROCESS_ID:
        return
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[1]) == PROCESS_ID:
                os.killpg(int(entry.parent.name), signal.SIGKILL)
        except OSError:  # it ended meanwhile
            continue
    if SCRATCH_VARIABLE in os.environ:
        shutil.rmtree(os.environ[SCRATCH_VARIABLE], ignore_errors=True)


signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of the main process

from bench.worker import die_with_parent, main  # noqa: E402, F401  (slow: after the line above)

# When the main process is gone the kernel tells this one, and it takes the solves with it, solver
# programs that they have started included.
atexit.register(_clean_up)
signal.signal(signal.SIGTERM, _leave)
if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup outlives its terminal
    signal.signal(signal.SIGHUP, _leave)
die_with_parent(signal.SIGTERM)

from bench.warmup import warm  # noqa: E402  (slow as well)
from formulations import EXACT  # noqa: E402
from heuristics import HEURISTICS  # noqa: E402
from instances.registry import Algorithm  # noqa: E402


class SolverRefusal(importlib.abc.MetaPathFinder):
    """Refuses to import solvers, and remembers that somebody asked."""

    def __init__(self) -> None:
        self.asked = False

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Raise for a solver; leave all other modules to the next finder."""
        if name.partition(".")[0] in ("ortools", "pulp"):
            self.asked = True
            raise ImportError(f"{name} stays out of the fork server")


def warm_those_without_solver(algorithms: Iterable[Algorithm]) -> frozenset[str]:
    """Warm methods; return the names of those that are warm now."""
    done = set()
    for algorithm in algorithms:
        if not algorithm.solve.__module__.startswith(OWN_ROOMS):
            continue
        refusal = SolverRefusal()
        sys.meta_path.insert(0, refusal)
        try:
            warm([algorithm])
        except Exception:  # its own process warms it again, and reports what it raises
            continue
        finally:
            sys.meta_path.remove(refusal)
        if not refusal.asked:
            done.add(algorithm.name)
    return frozenset(done)


warmed = warm_those_without_solver([*HEURISTICS, *EXACT])
num_threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
"""Must be 1: a fork copies one thread only, and locks that others hold stay locked for ever."""
