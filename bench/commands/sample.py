"""``moeplace sample``: a routing trace drawn from a routing model."""

import argparse

import numpy as np

from bench.commands.output import print_block, print_json, require_writable
from bench.formats import plural
from bench.spinner import spinning
from instances.architecture_file import find_architecture
from instances.draws import Draws
from instances.errors import InputError
from instances.files import write_atomically
from instances.importers.archive_routes import write as routes_bytes
from instances.memory import require_memory
from instances.parsing import check_model_size
from instances.routing.comparison import sample_routes
from instances.routing.files import NamedRouter, find_router


def execute(arguments: argparse.Namespace) -> int:
    """Draw, write, and say what it is."""
    require_writable(arguments.output, (".npz",))
    named = find_router(arguments.router)
    shape = _shape(arguments, named)
    _check(arguments, shape)
    with spinning("drawing tokens"):
        routes = sample_routes(
            named.router,
            Draws("sample", arguments.seed),
            lengths=np.full(arguments.users, arguments.tokens, dtype=np.int64),
            **shape,
        )
        write_atomically(arguments.output, routes_bytes(routes))
    if arguments.json:
        print_json(
            {
                "path": arguments.output,
                "router": named.name,
                "requests": routes.num_requests,
                "tokens": routes.num_tokens,
                **shape,
            }
        )
    else:
        print_block(
            f"{named.name}, written to {arguments.output}",
            {
                "tokens": f"{arguments.tokens} of each of {plural(arguments.users, 'user')}",
                "model": f"{plural(shape['layers'], 'layer')} of {shape['experts']} experts, "
                f"{shape['top_k']} at once",
            },
        )
    return 0


def _shape(arguments: argparse.Namespace, named: NamedRouter) -> dict[str, int]:
    names = ("layers", "experts", "top_k")
    given = {name: getattr(arguments, name) for name in names}
    if arguments.model is None:
        chosen = {name: getattr(named, name) for name in names}
    else:
        architecture = find_architecture(arguments.model)
        chosen = {
            "layers": architecture.moe_layers,
            "experts": architecture.experts_per_layer,
            "top_k": architecture.top_k,
        }
    return chosen | {name: value for name, value in given.items() if value is not None}


def _check(arguments: argparse.Namespace, shape: dict[str, int]) -> None:
    for name in ("users", "tokens"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name}", f"{getattr(arguments, name)} is not at least 1")
    check_model_size("model", shape["layers"], shape["experts"], 0)
    if not 1 <= shape["top_k"] <= shape["experts"]:
        raise InputError("--top-k", f"{shape['top_k']} is not in 1..{shape['experts']}")
    tokens = arguments.users * arguments.tokens
    # Scores, noise and keys of one layer, and the choices of all.
    words = 4 * shape["experts"] + shape["layers"] * shape["top_k"]
    require_memory(8 * tokens * words, "--tokens")
