"""What can be said on the command line, with help for newcomers."""

import argparse
from typing import Any

from bench.arguments.commands import Parser
from bench.arguments.judging import add_archive, add_audit, add_conformance, add_report
from bench.arguments.making import add_export, add_generate, add_import, add_list
from bench.arguments.planning import add_plan
from bench.arguments.routing import add_fit, add_sample
from bench.arguments.running import add_compare, add_run, add_store
from bench.arguments.simulating import add_holdout, add_simulate
from bench.arguments.solving import add_bound, add_check, add_solve
from bench.arguments.tracing import add_trace

OVERVIEW = """\
Which experts of a mixture-of-experts model should be stored on which edge server, so that a token
takes the least time? moeplace makes instances of that question, solves them exactly and
approximately, checks placements, and reports how far from optimal each method is.
"""

FIRST_STEPS = """\
first steps:
  moeplace generate mixtral --size small --seed 0 -o mixtral.json
  moeplace solve mixtral.json --with greedy -o placement.json
  moeplace check mixtral.json placement.json
  moeplace run --families tiny mixtral --seeds 0-4 --store results.sqlite
  moeplace report --store results.sqlite -o report

Every command explains itself: moeplace COMMAND --help
Exit codes: 0 fine; 1 it ran, but there is no usable answer; 2 bad input.
"""


class Version(argparse.Action):
    """Print the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        """Print and exit."""
        from importlib import metadata

        print(f"moeplace {metadata.version('moeplace')}")
        parser.exit(0)


def make_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="moeplace",
        description=OVERVIEW,
        epilog=FIRST_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    add_list(commands)
    add_generate(commands)
    add_import(commands)
    add_trace(commands)
    add_fit(commands)
    add_sample(commands)
    add_export(commands)
    add_solve(commands)
    add_bound(commands)
    add_check(commands)
    add_simulate(commands)
    add_holdout(commands)
    add_plan(commands)
    add_run(commands)
    add_store(commands)
    add_compare(commands)
    add_report(commands)
    add_audit(commands)
    add_conformance(commands)
    add_archive(commands)
    return parser
