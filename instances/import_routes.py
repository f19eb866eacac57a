"""``moeplace import routes``: an instance made of a routes file and a network file.

Also ``python -m instances.import_routes``. The arguments and :func:`make` are what the command
line shares.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instances.errors import InputError

if TYPE_CHECKING:
    from instances.problem import Instance

GROUPING_HELP = (
    "which user each request belongs to: a number N (contiguous blocks of requests for the first "
    "N users), field:NAME (by a field of requests.json beside the routes file), or a .json or .csv "
    "file that names a user for each request; default: dealt out to the users in turn"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "routes", metavar="ROUTES", help="npz file: experts [token, layer, K] and offsets [request]"
    )
    parser.add_argument(
        "--network",
        required=True,
        metavar="FILE",
        help="TOML file of servers, users and latencies; example: docs/examples/network.toml",
    )
    parser.add_argument("--model", metavar="NAME", help="architecture; see: moeplace list models")
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="width of the stored weights of the architecture, for example mxfp4; default: bf16",
    )
    parser.add_argument(
        "--expert-bytes",
        type=int,
        metavar="BYTES",
        help="size of every expert, instead of --model; together with --experts",
    )
    parser.add_argument(
        "--experts", type=int, metavar="E", help="experts in each layer, with --expert-bytes"
    )
    parser.add_argument("--users", metavar="GROUPING", help=GROUPING_HELP)
    parser.add_argument(
        "--name", metavar="NAME", help="name of the instance; default: model and routes file"
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
        When an argument or a file is wrong.
    """
    # Imported here: --help must not wait for NumPy.
    from instances.architectures import ARCHITECTURES
    from instances.grouping import deal, group_requests
    from instances.model import MAX_BYTES, Model
    from instances.network_file import read_network
    from instances.parsing import check_model_size
    from instances.traces import instance_from_routes, read_routes

    _check_model_arguments(arguments)
    if arguments.model is not None:
        ARCHITECTURES.get(arguments.model)  # before a large file is read for nothing
    routes = read_routes(arguments.routes)
    network = read_network(arguments.network)
    users = network.user_names
    if arguments.users is None:
        grouping = deal(routes.num_requests, len(users))
    else:
        grouping = group_requests(arguments.users, arguments.routes, routes.num_requests, users)
    stem = Path(arguments.routes).stem
    model: str | Model = arguments.model
    if arguments.model is None:
        check_model_size("--experts", routes.num_layers, arguments.experts, 0)
        if not 1 <= arguments.expert_bytes <= MAX_BYTES:
            raise InputError("--expert-bytes", f"{arguments.expert_bytes} is not in 1..{MAX_BYTES}")
        model = Model.uniform(
            stem,
            layers=routes.num_layers,
            experts=arguments.experts,
            top_k=routes.top_k,
            expert_bytes=arguments.expert_bytes,
        )
    default = stem if arguments.model is None else f"{arguments.model}-{stem}"
    try:
        return instance_from_routes(
            routes,
            network,
            model=model,
            precision=arguments.precision or "bf16",
            grouping=grouping,
            name=default if arguments.name is None else arguments.name,
        )
    except InputError as error:
        # Which of the two files it is, the field tells.
        of_network = error.field.startswith(("users", "servers", "links", "cloud"))
        of_routes = error.field.startswith("experts")
        if of_network or of_routes:
            raise error.in_file(arguments.network if of_network else arguments.routes) from None
        raise


def run(arguments: argparse.Namespace) -> int:
    """Make the instance, write it, say what it is; return the exit code.

    Raises
    ------
    InputError
        When an argument or a file is wrong.
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
        prog="python -m instances.import_routes",
        description="Make an instance of recorded routing and a network file.",
        allow_abbrev=False,
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _check_model_arguments(arguments: argparse.Namespace) -> None:
    if arguments.model is not None:
        for name in ("expert_bytes", "experts"):
            if getattr(arguments, name) is not None:
                option = name.replace("_", "-")
                raise InputError(f"--{option}", "cannot be used together with --model")
        return
    if arguments.precision is not None:
        raise InputError("--precision", "needs --model: it tells the number of parameters")
    if arguments.expert_bytes is None or arguments.experts is None:
        raise InputError("--model", "is missing; or give both --expert-bytes and --experts")


if __name__ == "__main__":
    sys.exit(main())
