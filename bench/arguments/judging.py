"""Commands that judge: report, audit, conformance, archive."""

import argparse
from typing import Any

from bench.arguments.commands import (
    DEFAULT_RUN_LIMIT_S,
    add_json,
    add_limits,
    command,
    command_group,
)
from bench.arguments.values import Words, seconds, whole


def add_report(commands: Any) -> None:
    """Add ``report``."""
    parser = command(
        commands,
        "report",
        "report",
        "write a report of a store: a page, tables, pictures",
        example="  moeplace report --store results.sqlite -o report",
    )
    parser.add_argument("--store", required=True, metavar="FILE", help="SQLite file of results")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="directory; made when it is missing"
    )
    parser.add_argument(
        "--held-out", metavar="FILE", help="file of moeplace holdout, for a section of its own"
    )
    parser.add_argument(
        "--growth", metavar="FILE", help="file of python -m bench.growth, for a section of its own"
    )
    add_json(parser)


def add_audit(commands: Any) -> None:
    """Add ``audit``."""
    parser = command(
        commands,
        "audit",
        "audit",
        "hold every guarantee against what was measured",
        about=(
            "With --store: each method's proved bound beside its smallest ratio F / OPT. With\n"
            "--search: look for bad instances, small ones that are solved exactly. Exit code 1 "
            "when a\nratio lies below its bound."
        ),
        example=(
            "  moeplace audit --store results.sqlite --families\n"
            "  moeplace audit --search 60 --with greedy successive-hull -o worst"
        ),
    )
    parser.add_argument("--store", metavar="FILE", help="SQLite file of results")
    parser.add_argument(
        "--families", action="store_true", help="with --store: family by family as well"
    )
    parser.add_argument(
        "--search", type=seconds, metavar="SECONDS", help="search for bad instances for so long"
    )
    parser.add_argument(
        "--with",
        dest="methods",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="methods to search against; heuristics and exact stand for all of a kind; default: "
        "heuristics",
    )
    parser.add_argument(
        "--seed", type=whole, metavar="N", help="where the search starts from; default: 0"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="write the worst instance of each method there"
    )
    add_json(parser)


def add_conformance(commands: Any) -> None:
    """Add ``conformance``."""
    parser = command(
        commands,
        "conformance",
        "conformance",
        "try a method or a family, also a plug-in of yours, and see whether it keeps all rules",
        about=(
            "Methods are tried on small, odd and extreme instances; families in their smallest "
            "sizes."
        ),
        example="  moeplace conformance greedy\n  moeplace conformance mixtral",
    )
    parser.add_argument("name", metavar="NAME", help="a method or a family; see: moeplace list")
    add_json(parser)


def add_archive(commands: Any) -> None:
    """Add ``archive``."""
    actions = command_group(
        commands,
        "archive",
        "best known values of a published list of instances",
        about="Best known values of a published list of instances: placements, certified bounds, "
        "proofs.",
        title="actions",
        example="example:\n  moeplace archive list\n",
    )
    names = "instances, families or sizes of the list; all of it when left out"
    parser = command(
        actions,
        "list",
        "archive",
        "list best known values",
        example="  moeplace archive list mixtral\n  moeplace archive list tiny --json",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    _add_archive_file(parser)
    parser = command(
        actions,
        "show",
        "archive",
        "show everything that is known of one instance",
        example="  moeplace archive show mixtral-small-s0 -o placement.json",
    )
    parser.add_argument("name", metavar="NAME", help="name of the instance")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the placement to this file")
    _add_archive_file(parser)
    parser = command(
        actions,
        "update",
        "archive",
        "improve the archive with what stores hold or methods find",
        about=(
            "An entry changes for a placement that saves more in exact arithmetic, for a lower "
            "certified\nbound, or for a proof, and never the other way. Exit code 1 when something "
            "contradicts\nthe archive; it is left as it was then."
        ),
        example=(
            "  moeplace archive update --store results.sqlite\n"
            "  moeplace archive update mixtral real --with improve layer-generation --time-limit 60"
        ),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument(
        "--store", dest="stores", nargs="+", metavar="FILE", help="take what these stores hold"
    )
    parser.add_argument(
        "--with",
        dest="methods",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="run these methods, in this order, starting from what is known; default, without "
        "--store: a choice of methods that find, bound and prove",
    )
    add_limits(parser, default=DEFAULT_RUN_LIMIT_S)
    _add_archive_file(parser)
    parser = command(
        actions,
        "check",
        "archive",
        "check entries again in exact arithmetic",
        about=(
            "The instance is generated and has the checksum, the placement fits and has the value, "
            "and the\nbound is not below it, all in fractions."
        ),
        example="  moeplace archive check\n  moeplace archive check tiny small",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    _add_archive_file(parser)


def _add_archive_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archive", metavar="FILE", help="CSV file; default: the archive of the package"
    )
    add_json(parser)
