"""The fork server: loads the heuristics once, and every solve is a fork of it.

Cheap to import, so that a command can start the server first and load its own modules meanwhile.
"""

import functools
import multiprocessing
import os
import tempfile
from multiprocessing.forkserver import ensure_running
from pathlib import Path

SCRATCH_VARIABLE = "MOEPLACE_SCRATCH"
"""Tells the fork server which folder it has to remove at its end."""

_SINGLE_THREADED = (
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
)
"""A fork server must not hold threads, and one solve must not take the cores of another."""


def start_server() -> Path:
    """Start the fork server unless it runs already; return the folder for scratch files."""
    scratch = _scratch_folder()
    scratch.mkdir(mode=0o700, exist_ok=True)
    multiprocessing.get_context("forkserver").set_forkserver_preload(["bench.nursery"])
    given = {**dict.fromkeys(_SINGLE_THREADED, "1"), SCRATCH_VARIABLE: str(scratch)}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return scratch


@functools.cache
def _scratch_folder() -> Path:
    """Return a folder that the fork server removes at its end, however this process ends."""
    return Path(tempfile.mkdtemp(prefix="moeplace-"))
