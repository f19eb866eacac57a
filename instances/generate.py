"""``python -m instances.generate``: an instance of a family, written to a file."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from instances.errors import InputError

if TYPE_CHECKING:
    from instances.problem import Instance

OPTIONS = ("routing", "precision")
"""Options of families that have a flag of their own."""

ROUTER_SUFFIXES = (".json", ".json.gz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("family", metavar="FAMILY", help="see: moeplace list families")
    parser.add_argument("--size", metavar="SIZE", help="default: the family's smallest")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--routing",
        metavar="NAME|FILE",
        help="how tokens choose experts: linear-router, lognormal, uniform, or a .json file that "
        "moeplace fit has written; default: the family's own",
    )
    parser.add_argument(
        "--precision", metavar="NAME", help="width of the stored weights, for example bf16 or fp8"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any option of the family, for example backhaul=ring; repeatable; moeplace list "
        "families --json names them and their values",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="instance file: .json, .json.gz or .npz",
    )


def make(arguments: argparse.Namespace) -> "Instance":
    """Make the instance that the arguments ask for.

    Raises
    ------
    InputError
        When there is no such family, size or option.
    """
    # Imported here: --help must not wait for NumPy.
    from instances.families import FAMILIES

    family = FAMILIES.get(arguments.family)
    given = {name: getattr(arguments, name) for name in OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    for text in arguments.option:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError("--option", f"{text!r} is not NAME=VALUE")
        if name in options:
            raise InputError("--option", f"{name} is given twice, as {options[name]} and {value}")
        options[name] = value
    size = family.sizes[0] if arguments.size is None else arguments.size
    if options.get("routing", "").lower().endswith(ROUTER_SUFFIXES):
        from instances.routing.files import read_router

        router = read_router(options.pop("routing"))
        return family.generate_routed(size, arguments.seed, router, **options)
    return family.generate(size, arguments.seed, **options)


def run(arguments: argparse.Namespace) -> int:
    """Generate, write, say what it is; return the exit code.

    Raises
    ------
    InputError
        When an argument is wrong or the file cannot be written.
    """
    from instances.files import write_instance

    instance = make(arguments)
    write_instance(arguments.output, instance)
    print(
        f"{arguments.output}: {instance.name}, {instance.num_users} users, "
        f"{instance.num_servers} servers, {instance.num_layers} layers, {instance.num_rows} rows"
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a script of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m instances.generate",
        description="Generate an instance. Same arguments, same bytes, on every machine.",
        allow_abbrev=False,
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
