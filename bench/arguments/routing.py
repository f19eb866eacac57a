"""Commands about routing models: fit, sample."""

from typing import Any

from bench.arguments.commands import add_json, command
from bench.arguments.values import whole

ROUTER_HELP = (
    "a .json file that moeplace fit has written, or fine-grained, mixtral-like (each also with "
    "-independent behind it) or uniform"
)


def add_fit(commands: Any) -> None:
    """Add ``fit``."""
    parser = command(
        commands,
        "fit",
        "fit",
        "fit the routing model to a trace, and put their statistics side by side",
        about=(
            "A router file makes instances (moeplace generate FAMILY --routing ROUTER.json) and\n"
            "traces (moeplace sample ROUTER.json). Same trace and seed, same router."
        ),
        example=(
            "  moeplace fit routes.npz --model gpt-oss-20b -o router.json --report router.html\n"
            "  moeplace fit routes.npz --router fine-grained"
        ),
    )
    parser.add_argument("trace", metavar="TRACE", help="recorded routing that carries sets")
    parser.add_argument(
        "--form", metavar="NAME", help="form of the trace; default: told by its name and beginning"
    )
    parser.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="architecture that was recorded (see: moeplace list models), or an architecture file",
    )
    parser.add_argument(
        "--experts",
        type=whole,
        metavar="E",
        help="experts of a layer, instead of --model; default: as many as the trace uses",
    )
    parser.add_argument(
        "--router", metavar="ROUTER", help=f"compare with this one, without fitting: {ROUTER_HELP}"
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--name", metavar="NAME", help="name of the router; default: the model, or the trace's file"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="router file: .json or .json.gz")
    parser.add_argument("--report", metavar="FILE", help="the table as a page: .html or .md")
    parser.add_argument(
        "--routes", metavar="FILE", help="the drawn data that the trace is compared with: .npz"
    )
    add_json(parser)


def add_sample(commands: Any) -> None:
    """Add ``sample``."""
    parser = command(
        commands,
        "sample",
        "sample",
        "draw a routing trace from a routing model",
        about="The same router, sizes and seed give the same bytes on every machine.",
        example=(
            "  moeplace sample router.json --users 8 --tokens 500 -o routes.npz\n"
            "  moeplace sample fine-grained --model gpt-oss-20b -o routes.npz"
        ),
    )
    parser.add_argument("router", metavar="ROUTER", help=ROUTER_HELP)
    parser.add_argument(
        "--users", type=whole, default=40, metavar="N", help="one request each; default: 40"
    )
    parser.add_argument(
        "--tokens", type=whole, default=400, metavar="N", help="of each user; default: 400"
    )
    parser.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="architecture whose shape to take instead of the router's",
    )
    for option, what in (("layers", "layers"), ("experts", "experts of a layer")):
        parser.add_argument(
            f"--{option}", type=whole, metavar="N", help=f"{what}; default: the router's"
        )
    parser.add_argument(
        "--top-k", type=whole, metavar="K", help="experts of a token; default: the router's"
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="default: 0")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="routes file: .npz")
    add_json(parser)
