"""Commands on many instances: run, store, compare."""

from typing import Any

from bench.arguments.commands import (
    DEFAULT_RUN_LIMIT_S,
    add_json,
    add_limits,
    command,
    command_group,
)
from bench.arguments.values import Seeds, Words, jobs, share
from bench.presets import PRESETS


def add_run(commands: Any) -> None:
    """Add ``run``."""
    parser = command(
        commands,
        "run",
        "run",
        "run methods on many instances, into a store",
        about=(
            "Finished attempts are kept at once. When the run is stopped, by whatever means, the "
            "same\ncommand continues where it was."
        ),
        example=(
            "  moeplace run --families tiny mixtral --sizes tiny small --seeds 0-4 \\\n"
            "      --with heuristics milp-compact --time-limit 30 --store results.sqlite\n"
            "  moeplace run --preset report --store results.sqlite"
        ),
    )
    presets = "; ".join(f"{preset.name}: {preset.summary}" for preset in PRESETS.values())
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        metavar="|".join(PRESETS),
        help=f"a ready-made choice of everything that follows ({presets})",
    )
    parser.add_argument(
        "--families",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="families to generate from; see: moeplace list families",
    )
    parser.add_argument(
        "--sizes", nargs="+", action=Words, metavar="SIZE", help="default: tiny and small"
    )
    parser.add_argument(
        "--instances", nargs="+", metavar="FILE", help="instance files, besides or instead"
    )
    parser.add_argument(
        "--with",
        dest="methods",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="methods; heuristics and exact stand for all of a kind; default: both",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        action=Seeds,
        metavar="N",
        help="seeds of generated instances, and of randomised methods, which run once for each "
        "seed on every instance: 0 1 2 or 0-2; default: 0",
    )
    add_limits(parser, default=DEFAULT_RUN_LIMIT_S)
    parser.add_argument(
        "--start",
        choices=("auto", "none"),
        metavar="auto|none",
        help="whether exact methods start from the best placement of the quick heuristics; "
        "default: auto",
    )
    parser.add_argument(
        "--jobs",
        type=jobs,
        metavar="N",
        help="processes at once; more than 1 makes timings depend on each other; default: 1",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run on a Dask cluster instead of this machine: tcp://HOST:8786; needs the extra "
        "moeplace[cluster], see docs/cluster.md",
    )
    parser.add_argument(
        "--redo",
        choices=("failed", "outdated", "all"),
        metavar="failed|outdated|all",
        help="run finished attempts again: those that failed or have no placement, those of "
        "another version of the code or of a plug-in, or all; what there was before is kept",
    )
    parser.add_argument(
        "--retry-failed",
        dest="redo",
        action="store_const",
        const="failed",
        help="the same as --redo failed",
    )
    parser.add_argument("--store", required=True, metavar="FILE", help="SQLite file of results")
    manner = parser.add_mutually_exclusive_group()
    manner.add_argument(
        "--quiet", action="store_true", help="print nothing but warnings and errors"
    )
    manner.add_argument(
        "--json-lines",
        action="store_true",
        help="print a JSON object a line for each attempt that finishes, and one at the end",
    )


def add_store(commands: Any) -> None:
    """Add ``store``."""
    actions = command_group(
        commands,
        "store",
        "merge stores of results, or export one as tables",
        title="actions",
        example="example:\n  moeplace store merge one.sqlite other.sqlite -o both.sqlite\n",
    )
    parser = command(
        actions,
        "merge",
        "store",
        "make one store of several",
        about=(
            "Every attempt is kept once, with its trajectory and placement. Among attempts with "
            "the same\nkey the one that started last counts, whatever the order of the files."
        ),
        example="  moeplace store merge one.sqlite other.sqlite -o both.sqlite",
    )
    parser.add_argument("stores", nargs="+", metavar="FILE", help="SQLite files of results")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="store to merge into; made when it is missing, and added to when not",
    )
    add_json(parser)
    parser = command(
        actions,
        "export",
        "store",
        "write a store as tables: attempts, trajectories, instances, placements",
        example=(
            "  moeplace store export results.sqlite -o tables\n"
            "  moeplace store export results.sqlite --format parquet -o tables"
        ),
    )
    parser.add_argument("store", metavar="FILE", help="SQLite file of results")
    parser.add_argument(
        "--format",
        choices=("csv", "parquet"),
        default="csv",
        metavar="csv|parquet",
        help="kind of files; parquet needs the extra moeplace[parquet]; default: csv",
    )
    parser.add_argument(
        "--history", action="store_true", help="also attempts that were repeated later"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="directory; made when it is missing"
    )
    add_json(parser)


def add_compare(commands: Any) -> None:
    """Add ``compare``."""
    parser = command(
        commands,
        "compare",
        "compare",
        "say what became better or worse between two stores, or two versions in one",
        about=(
            "Attempts with the same key are paired. Intervals come from a bootstrap over "
            "instances and seeds,\nwidened for the number of methods. Exit code 1 when something "
            "became significantly worse."
        ),
        example=(
            "  moeplace compare before.sqlite after.sqlite\n"
            "  moeplace compare results.sqlite --versions 1f2e3d4c5b6a 0a1b2c3d4e5f --json"
        ),
    )
    parser.add_argument("stores", nargs="+", metavar="FILE", help="one or two stores of results")
    parser.add_argument(
        "--versions",
        nargs=2,
        metavar=("OLD", "NEW"),
        help="versions of the code, or how they end; of one store, or one of each",
    )
    parser.add_argument(
        "--time-tolerance",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="slowdown that is accepted; default: 0.1, that is 10 %%",
    )
    add_json(parser)
