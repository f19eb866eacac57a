"""Formulations and solvers side by side: relaxation, nodes, time to a proven optimum.

    python -m bench.formulation_comparison --size small --time-limit 60

For every family of that size: each formulation's size and the gap of its linear relaxation to the
best value found, then each configuration's time from the instance to the proof, one after the other
in this process, on one thread. The last table is the geometric mean over families of the time, and
of its ratio to the baseline (compact, CBC through PuLP, from scratch). A configuration that fails
counts with the time limit, in both; so a ratio is a lower bound where only the baseline failed.
Where neither proves anything the ratio is 1, and a second mean leaves those families out. CPU time,
children included, is given beside: on a machine that others use it is the fairer of the two.

Times include writing the formulation, the enumeration of columns, and for configurations that
start from a heuristic the time of that heuristic. Imports and kernels are warm.
"""

import argparse
import csv
import dataclasses
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt
from rich.console import Console
from rich.table import Table

from bench.algorithms import quick_heuristics
from bench.formats import gap_text, seconds_text, value_text
from formulations import EXACT, methods
from formulations.layer_columns import build_layer_columns
from formulations.mathopt import build_model
from formulations.milp import Build, read_outcome, solve_closely
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.families import FAMILIES, generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, Status, StopReason, judge
from instances.structure.clauses import build_clauses

BUILDS: Mapping[str, Build] = {
    "aggregated": methods.aggregated,
    "compact": methods.compact,
    "lifted": methods.lifted,
    "columns": build_layer_columns,
}
"""Formulations by the name of their method."""

BASELINE = "compact cbc"
"""The configuration that the others are compared with."""

CONFIGURATIONS = (
    BASELINE,
    "compact highs",
    "compact scip",
    "aggregated highs",
    "aggregated scip",
    "lifted cbc",
    "lifted highs",
    "lifted scip",
    "columns cbc",
    "columns highs",
    "columns scip",
    "compact highs start",
    "lifted scip start",
    "columns highs start",
    "columns scip start",
    "cp-sat",
    "layer-enumeration",
    "column-enumeration",
)
"""Formulation, solver, and ``start`` for those that start from the best quick heuristic; or the
name of an exact method, from scratch. What a method does not support counts as a failure."""

LEAST_S = 1e-3
"""Shorter times count as this: a millisecond is the clock's and the cache's."""

LEAST_CPU_S = 1e-2
"""The same for CPU time, whose clock ticks in hundredths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One configuration on one instance.

    Parameters
    ----------
    instance, configuration
        Their names.
    proven
        It has proven its placement optimal.
    seconds, cpu_seconds
        Wall clock, and user and system time of this process and its children.
    saving_ms, bound_ms
        The saving of its placement and its upper bound; NaN and infinite when it has none.
    nodes
        Nodes of the search tree; None when the solver does not tell.
    note
        Why there is no proof, when it was not for time.
    """

    instance: str
    configuration: str
    proven: bool
    seconds: float
    cpu_seconds: float
    saving_ms: float
    bound_ms: float
    nodes: int | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """One formulation of one instance: its size, and the optimum of its relaxation."""

    instance: str
    formulation: str
    columns: int
    rows: int
    bound_ms: float
    seconds: float


def relax(instance: Instance, formulation: str) -> Relaxation:
    """Solve the linear relaxation with GLOP."""
    program = BUILDS[formulation](instance, build_clauses(instance), Deadline.after(None))
    if program is None:
        raise RuntimeError("out of time without a limit")
    model = build_model(program)
    for variable in model.variables():
        variable.integer = False
    begin = time.perf_counter()
    result = mathopt.solve(model, mathopt.SolverType.GLOP)
    return Relaxation(
        instance=instance.name,
        formulation=formulation,
        columns=len(program),
        rows=program.rows.num_rows,
        bound_ms=result.objective_value() * program.unit_ms,
        seconds=time.perf_counter() - begin,
    )


def measure(instance: Instance, configuration: str, time_limit: float) -> Row:
    """Run one configuration."""
    begin, cpu_begin = time.perf_counter(), _cpu_seconds()
    nodes = None
    if configuration in EXACT:
        outcome = run(
            EXACT.get(configuration), instance, rng=np.random.default_rng(0), time_limit=time_limit
        )
    else:
        outcome, nodes = _solve(instance, configuration.split(), time_limit)
    seconds, cpu_seconds = time.perf_counter() - begin, _cpu_seconds() - cpu_begin
    result = judge(instance, outcome, seconds=seconds)
    if result.status is Status.ERROR:
        raise RuntimeError(f"{configuration} on {instance.name}: {result.reason}")
    return Row(
        instance=instance.name,
        configuration=configuration,
        proven=result.status is Status.OPTIMAL and seconds <= time_limit,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        saving_ms=result.saving_ms,
        bound_ms=result.bound_saving_ms,
        nodes=nodes,
        note=result.reason,
    )


def _solve(
    instance: Instance, words: Sequence[str], time_limit: float
) -> tuple[Outcome, int | None]:
    deadline = Deadline.after(time_limit)
    formulation, solver, *rest = words
    start = best_quick(instance) if rest else None
    program = BUILDS[formulation](instance, build_clauses(instance), deadline)
    if program is None:
        return Outcome(
            stop_reason=StopReason.TIME_LIMIT, placement=start, proven_optimal=False
        ), None
    values = None if start is None else program.values(start)
    program, answer = solve_closely(program, methods.backend(solver), values, deadline, 1)
    return read_outcome(instance, program, answer), answer.nodes


def best_quick(instance: Instance) -> Placement:
    """Return the best placement of the quick heuristics."""
    best = Placement.empty(instance)
    for algorithm in quick_heuristics():
        found = run(algorithm, instance, rng=np.random.default_rng(0)).placement
        if found is not None and _saving(instance, found) > _saving(instance, best):
            best = found
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Geometric means of one configuration over the instances.

    Parameters
    ----------
    seconds, cpu_seconds
        Of its times.
    ratio, cpu_ratio
        Of how many times faster than the baseline it is.
    told_ratio
        As ``ratio``, over the instances on which it or the baseline has a proof.
    proofs
        Number of instances that it has proven.
    """

    seconds: float
    cpu_seconds: float
    ratio: float
    cpu_ratio: float
    told_ratio: float
    proofs: int


def geometric_means(rows: Sequence[Row], time_limit: float) -> dict[str, Means]:
    """Compare configurations with the baseline.

    Without a proof the time is the limit, and the CPU time what was spent in vain.
    """
    of: dict[str, dict[str, Row]] = {}
    for row in rows:
        of.setdefault(row.configuration, {})[row.instance] = row

    def wall(row: Row) -> float:
        return max(row.seconds, LEAST_S) if row.proven else time_limit

    def cpu(row: Row) -> float:
        return max(row.cpu_seconds, LEAST_CPU_S)

    means = {}
    for configuration, here in of.items():
        pairs = [(of[BASELINE][name], row) for name, row in here.items()]
        means[configuration] = Means(
            seconds=_geometric_mean([wall(row) for row in here.values()]),
            cpu_seconds=_geometric_mean([cpu(row) for row in here.values()]),
            ratio=_geometric_mean([wall(base) / wall(row) for base, row in pairs]),
            cpu_ratio=_geometric_mean([cpu(base) / cpu(row) for base, row in pairs]),
            told_ratio=_geometric_mean(
                [wall(base) / wall(row) for base, row in pairs if base.proven or row.proven]
            ),
            proofs=sum(row.proven for row in here.values()),
        )
    return means


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    arguments = _parser().parse_args(argv)
    families = arguments.families or [f.name for f in FAMILIES if arguments.size in f.sizes]
    configurations = list(dict.fromkeys([BASELINE, *arguments.configurations]))
    console = Console()
    _warm_up(configurations)
    rows: list[Row] = []
    for family in families:
        instance = generate(family, size=arguments.size, seed=arguments.seed)
        relaxations = [relax(instance, formulation) for formulation in BUILDS]
        here = []
        for configuration in configurations:
            here.append(measure(instance, configuration, arguments.time_limit))
            print(f"{instance.name}: {configuration}: {here[-1].seconds:.3g} s", file=sys.stderr)
        rows += here
        console.print(_relaxation_table(relaxations, here))
        console.print(_instance_table(here))
    console.print(_mean_table(geometric_means(rows, arguments.time_limit), len(families)))
    if arguments.csv:
        with open(arguments.csv, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Row)])
            writer.writeheader()
            writer.writerows(dataclasses.asdict(row) for row in rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.formulation_comparison")
    parser.add_argument("--families", nargs="+", metavar="NAME", help="default: all of the size")
    parser.add_argument("--size", default="small", metavar="SIZE", help="default: small")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--time-limit", type=float, default=60.0, metavar="S", help="for each; default: 60"
    )
    parser.add_argument(
        "--configurations",
        nargs="+",
        default=CONFIGURATIONS,
        metavar="NAME",
        help=f"besides the baseline; default: {', '.join(CONFIGURATIONS)}",
    )
    parser.add_argument("--csv", metavar="FILE", help="write all measurements there")
    return parser


def _warm_up(configurations: Sequence[str]) -> None:
    """Import solvers and compile kernels, on an instance that takes no time."""
    instance = generate("mixed", size="tiny", seed=0)
    best_quick(instance)
    for formulation in BUILDS:
        relax(instance, formulation)
    for configuration in configurations:
        measure(instance, configuration, 20.0)


def _relaxation_table(relaxations: Sequence[Relaxation], rows: Sequence[Row]) -> Table:
    best = max((row.saving_ms for row in rows if not math.isnan(row.saving_ms)), default=math.nan)
    table = Table(title=f"{relaxations[0].instance}: relaxations, gap to {value_text(best)} ms")
    _add_columns(table, "formulation", "columns", "rows", "gap", "GLOP")
    for relaxation in relaxations:
        gap = max(0.0, 1.0 - best / relaxation.bound_ms)
        table.add_row(
            relaxation.formulation,
            str(relaxation.columns),
            str(relaxation.rows),
            gap_text(gap),
            seconds_text(relaxation.seconds),
        )
    return table


def _instance_table(rows: Sequence[Row]) -> Table:
    table = Table(title=f"{rows[0].instance}: configurations")
    _add_columns(table, "configuration", "proof", "gap", "nodes", "time", "CPU", "saving")
    for row in rows:
        gap = 0.0 if row.proven else 1.0 - row.saving_ms / row.bound_ms
        table.add_row(
            row.configuration,
            "yes" if row.proven else "no",
            gap_text(gap),
            "" if row.nodes is None else str(row.nodes),
            seconds_text(row.seconds),
            seconds_text(row.cpu_seconds),
            value_text(row.saving_ms),
        )
    return table


def _mean_table(means: Mapping[str, Means], instances: int) -> Table:
    table = Table(title=f"geometric means over {instances} instances; failures count as the limit")
    titles = ("time", "times faster", "where proven", "CPU", "times faster", "proofs")
    _add_columns(table, "configuration", *titles)
    for configuration, mean in means.items():
        table.add_row(
            configuration,
            seconds_text(mean.seconds),
            f"{mean.ratio:.3g}",
            f"{mean.told_ratio:.3g}",
            seconds_text(mean.cpu_seconds),
            f"{mean.cpu_ratio:.3g}",
            str(mean.proofs),
        )
    return table


def _add_columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if values else math.nan


def _saving(instance: Instance, placement: Placement) -> float:
    return evaluate(instance, placement).saving_ms


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
