"""Instructions of recorded calls, counted by valgrind's callgrind.

Counts hardly vary from run to run and from machine to machine, where times do: the code is compiled
for a generic processor, one thread, no collection of garbage, and only the call itself is counted.
"""

import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.instructions.calls import Arguments
from bench.instructions.replay import NOTHING
from instances.errors import InputError

ENVIRONMENT = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
"""Variables of the processes in which kernels are compiled and counted."""

HALVES = ("0/2", "1/2")
"""Parts of the kernels that are compiled side by side, before anything is counted."""

LEAST = 50_000
"""Shorter calls are left out: what Python does around them would count."""

VALGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no")


def reason_against() -> str:
    """Return why instructions cannot be counted here, or nothing."""
    if shutil.which(VALGRIND[0]) is None:
        return "valgrind is not installed (on Debian: apt-get install valgrind)"
    if platform.machine() != "x86_64":
        return f"counting needs an x86-64 processor; this one is {platform.machine()}"
    return ""


def count_instructions(calls: dict[str, Arguments], cache: Path) -> dict[str, int]:
    """Return the instructions of each call, but for the shortest.

    Parameters
    ----------
    calls
        Arguments by name of the kernel.
    cache
        Folder in which compiled kernels are kept; made when it is missing.

    Raises
    ------
    InputError
        When instructions cannot be counted here.
    RuntimeError
        When valgrind or a kernel fails.
    """
    reason = reason_against()
    if reason:
        raise InputError("valgrind", reason)
    environment = {**os.environ, **ENVIRONMENT, "NUMBA_CACHE_DIR": str(cache)}
    with tempfile.TemporaryDirectory(prefix="moeplace-instructions-") as name:
        folder = Path(name)
        path = folder / "calls.pickle"
        path.write_bytes(pickle.dumps(calls, protocol=5))  # which keeps arrays read-only
        replay = (sys.executable, "-m", "bench.instructions.replay", str(path))
        with ThreadPoolExecutor(len(HALVES)) as pool:
            list(pool.map(lambda half: _run((*replay, half), environment), HALVES))
        _run((*VALGRIND, f"--callgrind-out-file={folder / 'counts'}", *replay), environment)
        counts = dict(_read(file) for file in folder.glob("counts.*"))
    missing = sorted({NOTHING, *calls} - set(counts))
    if missing:
        raise RuntimeError(f"callgrind has not counted {', '.join(missing)}")
    own = {kernel: counts[kernel] - counts[NOTHING] for kernel in sorted(calls)}
    return {kernel: count for kernel, count in own.items() if count >= LEAST}


def _run(command: tuple[str, ...], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"{command[0]} ended with code {done.returncode}: {lines[-1]}")


def _read(path: Path) -> tuple[str, int]:
    """Return the name and the count of one dump."""
    text = path.read_text(errors="replace")
    name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
    total = re.search(r"^totals: (\d+)$", text, re.MULTILINE)
    if name is None or total is None:
        raise RuntimeError(f"{path.name} is no dump that was asked for")
    return name[1].strip(), int(total[1])
