"""How time and memory of every step and method grow with rows, experts, servers and users.

    python -m bench.growth -o growth.json
    moeplace report --store results.sqlite --growth growth.json -o report

Each task runs on instances of growing size, each time in a process of its own, until it takes more
time or memory than the limit; kernels are warm. The file is written after every measurement: an
interrupted study goes on with --resume.
"""

import argparse
import sys

from rich.console import Console

from bench.algorithms import GROUPS
from bench.arguments.values import Words, gigabytes, seconds, whole
from bench.commands.output import complain, require_writable
from bench.growth.document import Growth, read_growth, write_growth
from bench.growth.shapes import AXES, LARGEST_ROWS
from bench.growth.study import Plan, begin, grow, resume
from bench.growth.table import STEEP, terminal_tables
from bench.growth.tasks import STEPS_WORD, find_tasks
from instances.errors import InputError

LIMIT_S = 60.0
MEMORY_BYTES = 8_000_000_000

QUICK_TASKS = (
    *("generate", "load", "evaluate", "clauses", "popularity", "greedy"),
    *("successive-modular", "successive-hull-pass"),
)
QUICK_AXES = ("rows",)
QUICK_ROWS = 130_000
QUICK_LIMIT_S, QUICK_BUDGET_S = 2.0, 10.0
"""The short study of ``make report``: every second size."""

WIDTH = 118
"""Columns of the tables where the output is no terminal."""


def main(argv: list[str] | None = None) -> int:
    """Measure, write, print; 1 when nothing could be measured."""
    arguments = _parser().parse_args(argv)
    try:
        plan = _plan(arguments)
        path = require_writable(arguments.output, (".json",))
        resumed = arguments.resume and path.exists()
        growth = resume(plan, read_growth(path)) if resumed else begin(plan)
        growth = grow(plan, growth, lambda now: _keep(arguments, now))
    except InputError as error:
        return complain(str(error), 2)
    except KeyboardInterrupt:
        return complain(f"interrupted; --resume goes on with {arguments.output}", 130, label="")
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for table in terminal_tables(growth):
        console.print(table)
    print(f"!: more than {STEEP:g} in time or memory. CPU: shortest of a few runs.")
    if not growth.complete:
        print(f"the budget of {plan.budget_s:g} s is spent; --resume goes on")
    print(f"written to {arguments.output}")
    return 0 if growth.points else complain("nothing could be measured", 1)


def _keep(arguments: argparse.Namespace, growth: Growth) -> None:
    write_growth(arguments.output, growth)
    if arguments.quiet or growth.complete:
        return
    point = growth.points[-1] if growth.points else None
    if point is not None:
        print(
            f"{point.axis} {point.size:>9,} {point.task:<22} {point.cpu_s:10.4f} s CPU "
            f"{point.peak_bytes / 1e6:10.1f} MB",
            file=sys.stderr,
        )


def _plan(arguments: argparse.Namespace) -> Plan:
    quick = arguments.quick
    tasks = QUICK_TASKS if quick else (STEPS_WORD, *GROUPS)
    return Plan(
        tasks=find_tasks(arguments.algorithms or tasks),
        axes=arguments.axes or (QUICK_AXES if quick else tuple(AXES)),
        largest_rows=arguments.largest or (QUICK_ROWS if quick else LARGEST_ROWS),
        every=2 if quick else 1,
        time_limit_s=arguments.time_limit or (QUICK_LIMIT_S if quick else LIMIT_S),
        memory_limit_bytes=arguments.memory_limit or MEMORY_BYTES,
        budget_s=arguments.budget or (QUICK_BUDGET_S if quick else None),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--algorithms",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="steps and methods, or steps, heuristics, exact, bounds; default: all",
    )
    parser.add_argument("--axes", nargs="+", choices=tuple(AXES), help="default: all")
    parser.add_argument(
        "--largest", type=whole, metavar="ROWS", help="default: 1000000; at most 10000000"
    )
    parser.add_argument(
        "--time-limit", type=seconds, metavar="S", help=f"for one run; default: {LIMIT_S:g}"
    )
    parser.add_argument(
        "--memory-limit", type=gigabytes, metavar="GB", help="for one run; default: 8"
    )
    parser.add_argument("--budget", type=seconds, metavar="S", help="for everything; default: none")
    parser.add_argument(
        "--quick", action="store_true", help="rows alone, few methods, about ten seconds"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the file of -o")
    parser.add_argument("--quiet", action="store_true", help="no line for each measurement")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="JSON file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
