"""How the heuristics do on problems in the manner of published ones, against the best known.

    python -m bench.knapsacks quadratic-knapsack set-union-knapsack densest-subgraph

prints for every instance, of 100 to 500 experts on one server, the best known saving, shares of it,
the processor time of `improve`, and by how much certified bounds exceed it. Best known is the
largest saving of the methods shown, of a long run of `improve` with another seed, and, with
`--exact SECONDS` for instances of up to 100 experts, of SCIP, which may prove it (a star).
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from bench.formats import saving_ratio_text
from formulations import BOUNDS, EXACT
from heuristics import HEURISTICS
from instances.evaluation import evaluate
from instances.families import FAMILIES, generate
from instances.families.knapsacks import KNAPSACKS
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, run
from instances.result import Outcome

METHODS = ("successive-hull-pass", "successive-hull", "improve")
BOUND_METHODS = ("server-set", "lp")
SIZES = ("medium", "large", "real")
LARGEST_EXACT = 100
"""Experts up to which SCIP is asked."""

LONG_ROUNDS = 120
"""Failing rounds in a row that end the long run of ``improve``: twice the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured on one instance.

    Parameters
    ----------
    instance
        Name of the instance.
    savings
        Saving of each of :data:`METHODS`, ms.
    seconds
        Processor time of ``improve``.
    bounds
        Certified bound of each of :data:`BOUND_METHODS`, ms.
    best_known
        The largest saving, ms.
    proven
        Whether SCIP has proved it.
    """

    instance: str
    savings: tuple[float, ...]
    seconds: float
    bounds: tuple[float, ...]
    best_known: float
    proven: bool


def measure(instance: Instance, *, exact_limit: float = 0.0, seed: int = 0) -> Measured:
    """Run all methods on one instance.

    Parameters
    ----------
    exact_limit
        Seconds for SCIP on instances of up to :data:`LARGEST_EXACT` experts; 0 for none.
    seed
        Seed of the methods; the long run has the next one.
    """
    savings = []
    placements = []
    seconds = 0.0
    for name in METHODS:
        started = time.process_time()
        placement = _placement(_run(HEURISTICS.get(name), instance, seed))
        seconds = time.process_time() - started
        placements.append(placement)
        savings.append(evaluate(instance, placement).saving_ms)
    longer = _run(HEURISTICS.get("improve"), instance, seed + 1, rounds=LONG_ROUNDS)
    candidates = [*savings, evaluate(instance, _placement(longer)).saving_ms]
    proven = False
    if exact_limit and instance.num_experts <= LARGEST_EXACT:
        outcome = _run(
            EXACT.get("milp-compact-scip"),
            instance,
            seed,
            time_limit=exact_limit,
            start=placements[-1],
        )
        candidates.append(evaluate(instance, _placement(outcome)).saving_ms)
        proven = outcome.proven_optimal
    bounds = [
        _run(BOUNDS.get(name), instance, seed, start=placements[-1]).bound_saving_ms
        for name in BOUND_METHODS
    ]
    return Measured(
        instance=instance.name,
        savings=tuple(savings),
        seconds=seconds,
        bounds=tuple(bounds),
        best_known=max(candidates),
        proven=proven,
    )


def chosen_instances(families: list[str], sizes: Sequence[str] = SIZES) -> Iterator[Instance]:
    """Generate the families in these sizes with every combination of options, seed 0."""
    for name in families:
        family = FAMILIES.get(name)
        combinations: list[dict[str, str]] = [{}]
        for option, values in family.options.items():
            combinations = [{**known, option: value} for known in combinations for value in values]
        for size in sizes:
            for options in combinations:
                yield generate(name, size=size, seed=0, **options)


def table_of(rows: list[Measured]) -> Table:
    """Lay the figures out, with the smallest and the mean shares below."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("instance", no_wrap=True)
    for name in ("best known", *METHODS, "improve, s", *(f"{name} +" for name in BOUND_METHODS)):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.instance,
            f"{row.best_known:.0f}{'*' if row.proven else ''}",
            *(saving_ratio_text(saving / row.best_known) for saving in row.savings),
            f"{row.seconds:.1f}",
            *(f"{bound / row.best_known - 1:.2%}" for bound in row.bounds),
        )
    if rows:
        shares = np.array([[saving / row.best_known for saving in row.savings] for row in rows])
        for label, figures in (("least", shares.min(axis=0)), ("mean", shares.mean(axis=0))):
            table.add_row(label, "", *(saving_ratio_text(float(figure)) for figure in figures))
    return table


def _run(method: Algorithm, instance: Instance, seed: int, **parameters: Any) -> Outcome:
    return run(method, instance, rng=np.random.default_rng(seed), **parameters)


def _placement(outcome: Outcome) -> Placement:
    if outcome.placement is None:
        raise RuntimeError(outcome.reason)
    return outcome.placement


def main() -> None:
    """Measure and print."""
    names = [family.name for family in KNAPSACKS]
    parser = argparse.ArgumentParser(prog="python -m bench.knapsacks", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"some of {', '.join(names)}")
    parser.add_argument("--exact", type=float, default=0.0, metavar="SECONDS", help="limit of SCIP")
    parser.add_argument("--sizes", nargs="+", default=SIZES, choices=SIZES, help="default: all")
    arguments = parser.parse_args()
    measure(
        generate("set-union-knapsack", size="tiny", seed=0)
    )  # compiles what times must not show
    rows = []
    for instance in chosen_instances(arguments.families or names, arguments.sizes):
        print(instance.name, file=sys.stderr)
        rows.append(measure(instance, exact_limit=arguments.exact))
    Console().print(table_of(rows))


if __name__ == "__main__":
    main()
