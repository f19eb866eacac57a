"""SIGKILL at random moments of ``moeplace run``: nothing is lost, nothing is there twice.

``python -m bench.kill_storm --kills 100``. A run is started again and again in one store, and
killed at random moments: every other time while it starts, else among its solves and writes. After
each kill every attempt that the run has told of must be in the store, with its trajectory and
placement. At the end the rows must be those of a run that nobody disturbed.
"""

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.store import Store
from instances.errors import InputError

_LINE = re.compile(r"\[ *\d+/\d+\] (\S+), (\S+): ")
_FACTS = ("instance", "algorithm", "seed", "status", "stop_reason", "kind", "saving_ms")
_METHODS = ("popularity", "greedy", "layer-fill", "load-balance")

INSTANCES_FOR_EACH_KILL = 6
"""More than a run gets done before it is killed."""


class Damage(Exception):
    """The store is not what it should be after a kill."""


def storm(kills: int, folder: Path, seed: int = 0) -> tuple[int, int]:
    """Kill a run so many times, check the store each time; return kills and attempts.

    Raises
    ------
    Damage
        When something is lost, there twice, or half written.
    """
    chance = random.Random(seed)
    killed, undisturbed = folder / "killed.sqlite", folder / "undisturbed.sqlite"
    seeds = f"0-{kills * INSTANCES_FOR_EACH_KILL - 1}"
    done = 0
    while done < kills:
        told, code = _run(killed, seeds, kill_after=chance.uniform(0.0, 1.0), at_work=done % 2 == 1)
        _check(killed, told)
        if code != -signal.SIGKILL:
            break  # it was faster than we
        done += 1
    for store in (killed, undisturbed):
        _, code = _run(store, seeds, kill_after=None)
        if code != 0:
            raise Damage(f"{store.name}: the run ended with code {code}")
    rows, expected = _facts(killed), _facts(undisturbed)
    if rows != expected:
        raise Damage(f"{len(rows)} rows differ from the {len(expected)} of an undisturbed run")
    return done, len(rows)


def _run(
    store: Path, seeds: str, kill_after: float | None, *, at_work: bool = False
) -> tuple[int, int]:
    """Run, and kill some seconds after its start or its first attempt.

    Returns the number of attempts that were there before or told of, and the exit code.
    """
    words = ["run", "--families", "tiny", "--sizes", "tiny", "--seeds", seeds]
    words += ["--with", *_METHODS, "--time-limit", "60", "--store", str(store)]
    before = len(_facts(store))
    program = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    working = threading.Event()

    def read() -> None:
        assert program.stderr is not None
        with program.stderr:
            for line in program.stderr:
                if _LINE.match(line):
                    lines.append(line)
                    working.set()
        working.set()

    reader = threading.Thread(target=read)
    reader.start()
    if kill_after is not None:
        if at_work:
            working.wait()
        time.sleep(kill_after)
        program.send_signal(signal.SIGKILL)
    code = program.wait()
    reader.join()
    return before + len(lines), code


def _check(store: Path, told: int) -> None:
    """Hold the store against what was told; a run may be killed before it tells of its last row."""
    rows = _facts(store)
    if not told <= len(rows):
        raise Damage(f"{told} attempts were told of, {len(rows)} are there")
    if len(set(rows)) != len(rows):
        raise Damage("an attempt is there twice")
    if not rows:
        return
    with Store.open(store) as opened:
        for row in opened.results(history=True).itertuples():
            has_placement = opened.placement(row.attempt_id) is not None
            if has_placement != (row.status in ("optimal", "feasible")):
                raise Damage(f"attempt {row.attempt_id}: half of it is missing")
            if has_placement and not opened.trajectory(row.attempt_id):
                raise Damage(f"attempt {row.attempt_id}: its trajectory is missing")


def _facts(store: Path) -> list[tuple[str, ...]]:
    """Return what must be the same in every run, sorted."""
    if not store.exists():
        return []
    try:
        with Store.open(store) as opened:
            results = opened.results(history=True)
    except InputError as error:
        if "the file is empty" not in error.problem:  # killed before there were tables
            raise
        return []
    return sorted(tuple(map(str, row)) for row in results[list(_FACTS)].itertuples(index=False))


def main() -> int:
    """Let the storm loose, and print the count."""
    parser = argparse.ArgumentParser(description="kill moeplace run at random moments")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            kills, attempts = storm(arguments.kills, Path(folder), arguments.seed)
        except Damage as damage:
            print(f"DAMAGE: {damage}", file=sys.stderr)
            return 1
    print(f"{kills} kills, {attempts} attempts: nothing lost, nothing double")
    return 0


if __name__ == "__main__":
    sys.exit(main())
