"""What all commands share: a parser that complains in one line, limits, JSON."""

import argparse
from typing import Any, NoReturn

from bench.arguments.values import gigabytes, seconds

DEFAULT_RUN_LIMIT_S = 60.0
"""Time limit of ``run`` when none is given: among many instances there is always one that hangs."""


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        """Write one line to stderr and exit with code 2."""
        self.exit(2, f"moeplace: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def command(
    commands: Any, name: str, module: str, summary: str, *, about: str = "", example: str
) -> Parser:
    """Add a command, whose module runs it, with an example under its help."""
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n{about}".rstrip(),
        epilog=f"example:\n{example.rstrip()}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(module=module)
    return parser


def command_group(
    commands: Any, name: str, summary: str, *, title: str, example: str, about: str = ""
) -> Any:
    """Add a command that has commands of its own; returns where to add these.

    ``title`` says in the plural what they are.
    """
    group = commands.add_parser(
        name,
        help=summary,
        description=about or f"{summary[0].upper()}{summary[1:]}.",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    word = title.removesuffix("s")
    return group.add_subparsers(title=title, dest=word, metavar=word.upper(), required=True)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for programs."""
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def add_limits(parser: argparse.ArgumentParser, default: float | None) -> None:
    """Add limits of time and memory."""
    shown = "none" if default is None else f"{default:g}"
    parser.add_argument(
        "--time-limit",
        type=seconds,
        metavar="S",
        help=f"seconds for the method; a second later it is killed; default: {shown}",
    )
    parser.add_argument(
        "--memory-limit",
        type=gigabytes,
        metavar="GB",
        help="memory for the method, 10^9 bytes; default: none",
    )
