"""``plan``: the command for engineers."""

import argparse
import re
from fractions import Fraction
from typing import Any

from bench.arguments.commands import add_json, command
from bench.arguments.values import gigabytes, seconds, share, whole

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def add_plan(commands: Any) -> None:
    """Add ``plan``."""
    parser = command(
        commands,
        "plan",
        "plan",
        "place the experts of a model on your own boxes, and say how good that is",
        about=(
            "From a model, a network file and recorded routing: a placement, how much any other "
            "could be\nbetter at most (certified), what more storage would bring, which experts "
            "are replicated and\nwhy, and a page to forward. docs/plan.md is the guide."
        ),
        example=(
            "  moeplace plan --model gpt-oss-20b --network docs/examples/five-boxes.toml \\\n"
            "      --trace routes.npz -o placement.json --page plan.html\n"
            "  moeplace plan --model my-moe.toml --network boxes.toml --counts imatrix.gguf \\\n"
            "      --minimise-moves-from placement.json --move-budget 2GB -o next.json"
        ),
    )
    _add_inputs(parser)
    _add_search(parser)
    _add_moves(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="PLACEMENT", help="write the placement here"
    )
    parser.add_argument("--page", metavar="FILE.html", help="write a page for people here")
    parser.add_argument(
        "--physical-map",
        metavar="FILE.json",
        help="write the physical_to_logical_map of SGLang and vLLM here",
    )
    parser.add_argument("--csv", metavar="FILE.csv", help="write the placement as a table here")
    parser.add_argument(
        "--instance",
        metavar="FILE",
        help="write what was planned for here (.json, .json.gz or .npz), for moeplace check, "
        "simulate and solve",
    )
    add_json(parser)


def byte_count(text: str) -> int:
    """Read a number of bytes, with a decimal unit or none.

    >>> [byte_count(text) for text in ("0", "1500000", "2GB", "1.5 MB")]
    [0, 1500000, 2000000000, 1500000]
    """
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,9})?) ?([kmgt]?b)?", text.lower())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of bytes such as 1500000, 500MB or 2GB"
        )
    return int(Fraction(match[1]) * _UNITS[match[2] or ""])


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME|FILE",
        help="a model of the catalogue (moeplace list models), or an architecture file (.toml or "
        ".json)",
    )
    parser.add_argument(
        "--precision", default="bf16", metavar="NAME", help="of the stored weights; default: bf16"
    )
    parser.add_argument(
        "--network",
        required=True,
        metavar="FILE",
        help="servers, users and latencies; example: docs/examples/five-boxes.toml",
    )
    recorded = parser.add_mutually_exclusive_group(required=True)
    recorded.add_argument(
        "--trace",
        metavar="FILE",
        help="recorded experts of each token: npz, CSV or Parquet, or as vLLM, SGLang or "
        "Megatron-Core write them",
    )
    recorded.add_argument(
        "--counts",
        metavar="FILE",
        help="how often each expert was used, where nothing else is kept",
    )
    parser.add_argument(
        "--form", metavar="NAME", help="form of the recording; default: what its content says"
    )
    parser.add_argument(
        "--users",
        metavar="GROUPING",
        help="which user each request belongs to: a number N (contiguous blocks of requests), "
        "field:NAME (of requests.json beside the trace), or a .json or .csv file; default: dealt "
        "out to the users in turn",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="name of the plan; default: model and network file"
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--with",
        dest="method",
        metavar="NAME",
        help="method that makes the placement; default: several, until the gap is small",
    )
    parser.add_argument(
        "--gap",
        type=share,
        default=0.002,
        metavar="G",
        help="a certified gap that is good enough, as a share; default: 0.002",
    )
    parser.add_argument(
        "--time-limit",
        type=seconds,
        default=15.0,
        metavar="S",
        help="seconds to plan for, about, without reading and writing; default: 15",
    )
    parser.add_argument(
        "--memory-limit",
        type=gigabytes,
        metavar="GB",
        help="memory for each method, 10^9 bytes; default: none",
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="for randomised methods; default: 0"
    )
    parser.add_argument(
        "--more-storage",
        type=byte_count,
        default=10**9,
        metavar="BYTES",
        help="additional storage on one server whose worth is told; default: 1GB",
    )


def _add_moves(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--minimise-moves-from",
        metavar="PLACEMENT",
        help="what the servers store now: load little that is not there yet",
    )
    parser.add_argument(
        "--move-budget",
        type=byte_count,
        metavar="BYTES",
        help="most bytes to load, for example 2GB; default: up to where a byte brings less than on "
        "average",
    )
