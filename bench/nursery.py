"""What the fork server loads once, so that each solve starts warm within milliseconds.

Imported by the fork server alone (see :mod:`bench.sandbox`). OR-Tools and PuLP stay out: the
processes that need them import them.
"""

import atexit
import os
import shutil
import signal
from pathlib import Path
from types import FrameType

from bench.server import SCRATCH_VARIABLE

PROCESS_ID = os.getpid()
OWN_ROOM = "heuristics."
"""Methods of this package are warmed here. A stranger's method that crashes must take nothing but
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
die_with_parent(signal.SIGTERM)

from bench.warmup import warm  # noqa: E402  (slow as well)
from heuristics import HEURISTICS  # noqa: E402

warmed = frozenset(a.name for a in HEURISTICS if a.solve.__module__.startswith(OWN_ROOM))
warm([algorithm for algorithm in HEURISTICS if algorithm.name in warmed])
num_threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
"""Must be 1: a fork copies one thread only, and locks that others hold stay locked for ever."""
