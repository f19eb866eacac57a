"""Commands on one instance: solve, bound, check."""

import argparse
from typing import Any

from bench.arguments.commands import add_json, add_limits, command
from bench.arguments.values import whole


def add_solve(commands: Any) -> None:
    """Add ``solve``."""
    parser = command(
        commands,
        "solve",
        "solve",
        "solve an instance with one method",
        about="The method runs in a process of its own; what it claims is checked.",
        example=(
            "  moeplace solve mixtral.json --with successive-dp -o placement.json\n"
            "  moeplace solve mixtral.json --with milp-compact --time-limit 60 --json"
        ),
    )
    _add_method(parser, see="moeplace list heuristics, moeplace list exact")
    parser.add_argument(
        "--start",
        metavar="FILE|auto|none",
        help="where the method starts from: a placement file, the best placement of the quick "
        "heuristics (auto, the default of exact methods), or nothing (none, the default of "
        "heuristics)",
    )
    _add_settings(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write the placement to this file")
    _add_outputs(parser)


def add_bound(commands: Any) -> None:
    """Add ``bound``."""
    parser = command(
        commands,
        "bound",
        "bound",
        "prove how much any placement can save at most",
        about=(
            "By methods made for it (moeplace list bounds), by exact methods as far as they get, "
            "or by\nheuristics that prove a bound beside their placement: layer-generation; for "
            "K = 1\ncontinuous-greedy and lp-rounding. A certified bound holds in exact arithmetic."
        ),
        example=(
            "  moeplace bound mixtral.json --with lp --start placement.json -o certificate.json\n"
            "  moeplace check mixtral.json certificate.json"
        ),
    )
    _add_method(parser, see="moeplace list bounds")
    parser.add_argument(
        "--start",
        default="none",
        metavar="FILE|auto|none",
        help="a placement to hold against the bound, and for the method to start from if it can: a "
        "file, the best placement of the quick heuristics (auto), or nothing (none, the default)",
    )
    parser.add_argument(
        "--multipliers",
        metavar="CERTIFICATE",
        help="start from the multipliers of a certificate file",
    )
    _add_settings(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="CERTIFICATE",
        help="write what proves the bound to this file; moeplace check verifies it",
    )
    _add_outputs(parser)


def add_check(commands: Any) -> None:
    """Add ``check``."""
    parser = command(
        commands,
        "check",
        "check",
        "check a placement or a certificate without rounding",
        about=(
            "Every number is computed as a fraction, apart from all solvers' code: the value of a "
            "placement,\nor the bound that a certificate proves."
        ),
        example=(
            "  moeplace check mixtral.json placement.json\n"
            "  moeplace check mixtral.json certificate.json"
        ),
    )
    parser.add_argument("file", metavar="FILE", help="instance file")
    parser.add_argument(
        "placement", metavar="PLACEMENT|CERTIFICATE", help="placement file, or certificate file"
    )
    add_json(parser)


def _add_method(parser: argparse.ArgumentParser, *, see: str) -> None:
    """Add the instance, the method, its seed and its limits."""
    parser.add_argument("file", metavar="FILE", help="instance file")
    parser.add_argument("--with", dest="method", required=True, metavar="NAME", help=f"see: {see}")
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="for randomised methods; default: 0"
    )
    add_limits(parser, default=None)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="parameters of the method; moeplace list --json names them",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verbose", action="store_true", help="show on stderr what the method itself printed"
    )
    add_json(parser)
