"""Layers side by side: what threads gain on one big instance, with the same answer.

``python -m bench.parallel_layers [--threads N] [--repeats R]``. Each method runs with one thread
and with several in turns; a line gives the ratio of the best times. The placements must be the
same.
"""

import argparse
import time

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from bench.environment import available_cores
from bench.formats import seconds_text
from heuristics import HEURISTICS
from instances.families import generate
from instances.problem import Instance
from instances.registry import run

CASES = (
    ("gpt-oss", "real", "successive-hull-pass"),
    ("fine-grained", "real", "successive-hull-pass"),
    ("mixtral", "medium", "layer-generation"),
    ("gpt-oss", "medium", "layer-generation"),
)


def measure(instance: Instance, method: str, threads: int) -> tuple[float, bytes]:
    """Return the seconds of one run, and its placement."""
    start = time.perf_counter()
    outcome = run(
        HEURISTICS.get(method),
        instance,
        rng=np.random.default_rng(0),
        threads=threads,
    )
    seconds = time.perf_counter() - start
    if outcome.placement is None:
        raise RuntimeError(f"{instance.name}: {outcome.reason}")
    return seconds, outcome.placement.stored.tobytes()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("instance", no_wrap=True)
    table.add_column("method", no_wrap=True)
    for name in ("1 thread", f"{arguments.threads} threads", "times as fast"):
        table.add_column(name, justify="right")
    for family, size, method in CASES:
        instance = generate(family, size=size, seed=0)
        measure(generate(family, size="small", seed=0), method, arguments.threads)  # compile
        best = {1: np.inf, arguments.threads: np.inf}
        answers = set()
        for threads in (1, arguments.threads) * arguments.repeats:
            seconds, answer = measure(instance, method, threads)
            best[threads] = min(best[threads], seconds)
            answers.add(answer)
        if len(answers) > 1:
            raise RuntimeError(f"{instance.name}, {method}: threads change the placement")
        one, several = best[1], best[arguments.threads]
        row = (seconds_text(one), seconds_text(several), f"{one / several:.2f}")
        table.add_row(instance.name, method, *row)
    Console().print(table)


if __name__ == "__main__":
    main()
