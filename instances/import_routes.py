"""``moeplace import routes``: an instance made of recorded routing and a network file.

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
    from instances.architectures import Architecture
    from instances.importers import Recording
    from instances.model import Model
    from instances.network_file import NetworkFile
    from instances.problem import Instance
    from instances.traces import Counts, Routes

FORMS = ("routes", "csv", "parquet", "vllm", "sglang", "megatron", "counts", "imatrix")
"""Names of the forms of recordings (:data:`instances.importers.FORMS`), without NumPy."""

GROUPING_HELP = (
    "which user each request belongs to: a number N (contiguous blocks of requests for the first "
    "N users), field:NAME (by a field of requests.json beside the routes file), or a .json or .csv "
    "file that names a user for each request; default: dealt out to the users in turn"
)

COUNTS_NOTE = (
    "counts carry no sets of experts: each token's experts are independent choices with the "
    "counted popularity, the same for every user"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "routes",
        metavar="RECORDING",
        help="recorded routing: npz, CSV or Parquet, or a file of vLLM, SGLang, Megatron-Core or "
        "llama.cpp; see docs/formats.md",
    )
    parser.add_argument(
        "--form",
        choices=FORMS,
        metavar="NAME",
        help=f"form of the recording: {', '.join(FORMS)}; told by its name when left out",
    )
    parser.add_argument(
        "--network",
        required=True,
        metavar="FILE",
        help="TOML file of servers, users and latencies; example: docs/examples/network.toml",
    )
    parser.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="architecture, see: moeplace list models; or an architecture file, .toml or .json",
    )
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
    parser.add_argument(
        "--top-k",
        type=int,
        metavar="K",
        help="experts that a token uses, with --expert-bytes, where the recording holds counts",
    )
    parser.add_argument("--users", metavar="GROUPING", help=GROUPING_HELP)
    parser.add_argument(
        "--sets",
        choices=("expected", "sampled"),
        metavar="expected|sampled",
        help="of counts, which carry no sets of experts: every set as often as independent choices "
        "make it, or the sets of tokens drawn so; default: expected where a layer has few sets",
    )
    parser.add_argument(
        "--tokens", type=int, metavar="T", help="tokens drawn for each user; default: 1000"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="which are drawn; default: 0")
    parser.add_argument(
        "--name", metavar="NAME", help="name of the instance; default: model and recording"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="instance file: .json, .json.gz or .npz",
    )


def make(arguments: argparse.Namespace) -> "tuple[Instance, str | None]":
    """Make the instance that the arguments ask for.

    Returns
    -------
    tuple[Instance, str | None]
        The instance, and what has to be said about it where the recording holds counts.

    Raises
    ------
    InputError
        When an argument or a file is wrong.
    """
    # Imported here: --help must not wait for NumPy.
    from instances.importers import read_recording
    from instances.network_file import read_network
    from instances.traces import Counts

    _check_model_arguments(arguments)
    architecture = _architecture(arguments.model)  # before a large file is read for nothing
    recording = read_recording(arguments.routes, form=arguments.form, architecture=architecture)
    network = read_network(arguments.network)
    try:
        if isinstance(recording, Counts):
            return _of_counts(recording, network, architecture, arguments), COUNTS_NOTE
        return _of_routes(recording, network, architecture, arguments), None
    except InputError as error:
        # Which of the two files it is, the field tells.
        of_network = error.field.startswith(("users", "servers", "links", "cloud"))
        of_recording = error.field.startswith(("experts", "counts"))
        if of_network or of_recording:
            raise error.in_file(arguments.network if of_network else arguments.routes) from None
        raise


def _architecture(model: str | None) -> "Architecture | None":
    """Return the architecture of that name or in that file."""
    from instances.architecture_file import find_architecture

    return None if model is None else find_architecture(model)


def _of_routes(
    routes: "Routes",
    network: "NetworkFile",
    architecture: "Architecture | None",
    arguments: argparse.Namespace,
) -> "Instance":
    from instances.grouping import deal, group_requests
    from instances.traces import instance_from_routes

    for option in ("sets", "tokens", "seed", "top_k"):
        if getattr(arguments, option) is not None:
            name = option.replace("_", "-")
            raise InputError(f"--{name}", "is for counts; the recording holds routes")
    users = network.user_names
    if arguments.users is None:
        grouping = deal(routes.num_requests, len(users))
    else:
        grouping = group_requests(arguments.users, arguments.routes, routes.num_requests, users)
    return instance_from_routes(
        routes,
        network,
        model=architecture or _own_model(arguments, routes, routes.top_k),
        precision=arguments.precision or "bf16",
        grouping=grouping,
        name=_name(architecture, arguments),
    )


def _of_counts(
    counts: "Counts",
    network: "NetworkFile",
    architecture: "Architecture | None",
    arguments: argparse.Namespace,
) -> "Instance":
    from instances.traces import TOKENS, instance_from_counts

    if arguments.users is not None:
        raise InputError("--users", "is for requests; the recording holds counts of all of them")
    if arguments.model is None and arguments.top_k is None:
        raise InputError("--top-k", "is missing: counts do not tell how many experts a token uses")
    return instance_from_counts(
        counts,
        network,
        model=architecture or _own_model(arguments, counts, arguments.top_k),
        precision=arguments.precision or "bf16",
        sets=arguments.sets,
        tokens=TOKENS if arguments.tokens is None else arguments.tokens,
        seed=arguments.seed or 0,
        name=_name(architecture, arguments),
    )


def _own_model(arguments: argparse.Namespace, recording: "Recording", top_k: int | None) -> "Model":
    """Return a model of the sizes that the user gave."""
    from instances.model import MAX_BYTES, Model
    from instances.parsing import check_model_size

    check_model_size("--experts", recording.num_layers, arguments.experts, 0)
    if not 1 <= arguments.expert_bytes <= MAX_BYTES:
        raise InputError("--expert-bytes", f"{arguments.expert_bytes} is not in 1..{MAX_BYTES}")
    if top_k is None or not 1 <= top_k <= arguments.experts:
        raise InputError("--top-k", f"{top_k} is not in 1..{arguments.experts}, the experts")
    return Model.uniform(
        Path(arguments.routes).stem,
        layers=recording.num_layers,
        experts=arguments.experts,
        top_k=top_k,
        expert_bytes=arguments.expert_bytes,
    )


def _name(architecture: "Architecture | None", arguments: argparse.Namespace) -> str:
    stem = Path(arguments.routes).stem
    default = stem if architecture is None else f"{architecture.name}-{stem}"
    return default if arguments.name is None else str(arguments.name)


def run(arguments: argparse.Namespace) -> int:
    """Make the instance, write it, say what it is; return the exit code.

    Raises
    ------
    InputError
        When an argument or a file is wrong.
    """
    from instances.files import write_instance

    instance, note = make(arguments)
    write_instance(arguments.output, instance)
    print(
        f"{arguments.output}: {instance.name}, {instance.num_users} users, "
        f"{instance.num_servers} servers, {instance.num_layers} layers, {instance.num_rows} rows"
    )
    if note is not None:
        print(note, file=sys.stderr)
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
        for name in ("expert_bytes", "experts", "top_k"):
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
