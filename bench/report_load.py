"""How large the report of a long run is, and how soon a browser shows it.

``python -m bench.report_load --rows 2000``. Quick heuristics solve generated instances in this very
process, and a store is filled with the judged results, their placements and trajectories, as a run
would. Its report is opened in Chromium (``pip install moeplace[browser]``), several times in a
fresh context; the time runs from the request of the page until it has been painted with the filter
applied. Exit code 1 when the page is larger or slower than it may be.
"""

import argparse
import itertools
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.commands.output import complain
from bench.environment import code_version, current_environment
from bench.facts import describe_instance
from bench.incumbent import Step, trajectory
from bench.records import AttemptKey, AttemptRecord
from bench.report import write_report
from bench.store import Store
from heuristics import HEURISTICS
from instances.errors import InputError
from instances.families import FAMILIES, generate
from instances.files import placement_to_dict
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, judge

METHODS = (
    *("popularity", "local-popularity", "round-robin", "random", "layer-fill", "load-balance"),
    *("greedy", "successive-hull-pass", "successive-hull", "layer-generation"),
)
SEEDS_OF_A_METHOD = 3
"""Runs of a randomised method on an instance."""

MOST_SECONDS = 3.0
MOST_BYTES = 15_000_000
REPETITIONS = 5

_PAINTED = """() => new Promise(done => requestAnimationFrame(() => setTimeout(() =>
    done([performance.now() / 1000, document.querySelectorAll(".plot svg").length,
          document.getElementById("filter-status").textContent]), 0)))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a page opened.

    Parameters
    ----------
    seconds
        Each time, from the request until it was painted.
    plots
        Interactive plots that it then showed.
    status
        What its filter said.
    """

    seconds: tuple[float, ...]
    plots: int
    status: str


def fill_store(path: Path, rows: int) -> int:
    """Solve instances until the store has at least so many attempts; return their number."""
    count = 0
    with Store.open_for_writing(path) as store:
        environment = store.add_environment(current_environment())
        for family, size, seed in _choices():
            if count >= rows:
                break
            instance = generate(family, size=size, seed=seed)
            store.add_instance(
                describe_instance(
                    instance,
                    family=family,
                    size=size,
                    seed=seed,
                    options={},
                    code_version=code_version(),
                )
            )
            for name in METHODS:
                randomised = HEURISTICS.get(name).randomised
                for own_seed in range(SEEDS_OF_A_METHOD) if randomised else (None,):
                    store.record(_solve(instance, name, own_seed, environment))
                    count += 1
    return count


def _choices() -> Iterator[tuple[str, str, int]]:
    """Return families, sizes and seeds: all tiny and, with every tenth seed, small instances."""
    for seed in itertools.count():
        for size in ("tiny", "small")[: 2 if seed % 10 == 0 else 1]:
            yield from ((each.name, size, seed) for each in FAMILIES if size in each.sizes)


def _solve(instance: Instance, name: str, seed: int | None, environment: int) -> AttemptRecord:
    """Run a method here and judge what it says, as :mod:`bench.runner` does."""
    algorithm = HEURISTICS.get(name)
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    steps: list[Step] = []
    begin = time.perf_counter()

    def note(outcome: Outcome) -> None:
        seconds = time.perf_counter() - begin
        told = judge(instance, outcome, seconds=seconds)
        steps.append(
            Step(
                seconds=seconds,
                saving_ms=told.saving_ms,
                bound_saving_ms=told.bound_saving_ms,
                bound_certified=told.bound_certified,
            )
        )

    outcome = run(algorithm, instance, rng=np.random.default_rng(seed or 0), on_progress=note)
    result = judge(instance, outcome, seconds=time.perf_counter() - begin)
    found = result.placement
    return AttemptRecord(
        key=AttemptKey(checksum=instance.checksum(), algorithm=name, seed=seed),
        exact=algorithm.exact,
        status=result.status.value,
        stop_reason=result.stop_reason.value,
        reason=result.reason,
        seconds=result.seconds,
        started_at=started_at,
        code_version=code_version(),
        environment=environment,
        saving_ms=result.saving_ms,
        latency_ms=result.latency_ms,
        bound_saving_ms=result.bound_saving_ms,
        bound_certified=result.bound_certified,
        placement=None if found is None else placement_to_dict(instance, found),
        trajectory=trajectory(steps, result),
    )


def open_page(page: Path, repetitions: int = REPETITIONS) -> Opening:
    """Open a report in Chromium so many times.

    Raises
    ------
    InputError
        When there is no Chromium, or no Playwright to drive it.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise InputError("chromium", "is not installed (on Debian: apt-get install chromium)")
    try:
        from playwright import sync_api
    except ModuleNotFoundError:
        raise InputError("playwright", "is missing: pip install moeplace[browser]") from None
    seconds, plots, status = [], 0, ""
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(repetitions):
            context = browser.new_context(viewport={"width": 1200, "height": 900})
            tab = context.new_page()
            tab.goto(page.absolute().as_uri())
            taken, plots, status = tab.evaluate(_PAINTED)
            seconds.append(float(taken))
            context.close()
        browser.close()
    return Opening(seconds=tuple(seconds), plots=int(plots), status=str(status))


def main(argv: list[str] | None = None) -> int:
    """Print rows, bytes and times; 1 when the page is too large or too slow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000, help="attempts; default: 2000")
    parser.add_argument("--store", metavar="FILE", help="measure the report of this store instead")
    arguments = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = Path(arguments.store) if arguments.store else folder / "load.sqlite"
            if not arguments.store:
                fill_store(path, arguments.rows)
            begin = time.process_time()
            with Store.open(path) as store:
                report = write_report(store, folder / "report")
            writing = time.process_time() - begin
            size = report.path.stat().st_size
            opening = open_page(report.path)
    except InputError as error:
        return complain(str(error), 2)
    middle = statistics.median(opening.seconds)
    print(f"{report.attempts} attempts on {report.instances} instances")
    print(f"page: {size / 1e6:.2f} MB (at most {MOST_BYTES / 1e6:g})")
    print(f"written in {writing:.1f} s of processor time")
    print(
        f"opened in {middle:.2f} s (median of {len(opening.seconds)}, from "
        f"{min(opening.seconds):.2f} to {max(opening.seconds):.2f}; at most {MOST_SECONDS:g}), "
        f"with {opening.plots} plots; filter: {opening.status}"
    )
    return 1 if size > MOST_BYTES or middle > MOST_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
