"""Commands that make, translate and list: list, generate, import, export."""

from typing import Any

from bench.arguments.commands import add_json, command, command_group
from instances import generate, import_routes

PUBLISHED = {
    "qkp": "a quadratic knapsack of Billionnet and Soutif",
    "sukp": "a set-union knapsack of He et al.",
    "kcluster": "a k-cluster problem of the Cedric library",
    "dimacs": "a DIMACS graph: its densest k vertices",
}
"""Formats of published instances; named here too, since --help must not wait for NumPy."""


def add_list(commands: Any) -> None:
    """Add ``list``."""
    parser = command(
        commands,
        "list",
        "listing",
        "list the families of instances, the models, and the methods",
        example="  moeplace list heuristics\n  moeplace list models --json",
    )
    parser.add_argument(
        "group",
        nargs="?",
        metavar="families|models|heuristics|exact|bounds",
        choices=("families", "models", "heuristics", "exact", "bounds"),
        help="what to list; all of it when left out",
    )
    add_json(parser)


def add_generate(commands: Any) -> None:
    """Add ``generate``."""
    parser = command(
        commands,
        "generate",
        "generate",
        "generate an instance of a family",
        about="The same family, size, seed and options give the same bytes on every machine.",
        example="  moeplace generate mixtral --size small --seed 7 -o mixtral.json.gz",
    )
    generate.add_arguments(parser)
    add_json(parser)


def add_import(commands: Any) -> None:
    """Add ``import``."""
    formats = command_group(
        commands,
        "import",
        "make an instance of recorded routing, or a placement of a solver's solution",
        title="formats",
        example=(
            "examples:\n  moeplace import routes --help\n"
            "  moeplace import example vllm -o example.jsonl\n"
        ),
    )
    parser = command(
        formats,
        "routes",
        "importing",
        "make an instance of the experts that tokens were routed to, and a network",
        about=(
            "Reads what vLLM, SGLang, Megatron-Core and llama.cpp record, and plain tables.\n"
            "Counts without sets of experts give independent choices; name and note say so."
        ),
        example=(
            "  moeplace import routes routes.npz --model gpt-oss-20b --network network.toml \\\n"
            "      --users 4 -o gpt-oss.json.gz"
        ),
    )
    import_routes.add_arguments(parser)
    add_json(parser)
    _add_import_example(formats)
    for name, summary in PUBLISHED.items():
        _add_import_published(formats, name, summary)
    _add_import_solution(formats)


def _add_import_example(formats: Any) -> None:
    parser = command(
        formats,
        "example",
        "import_example",
        "write a small example of a recording",
        about="Three requests, twelve tokens, with the field names of the system that writes it.",
        example="  moeplace import example sglang --counts -o example.pt",
    )
    parser.add_argument(
        "form",
        choices=import_routes.FORMS,
        metavar="FORM",
        help=f"one of {', '.join(import_routes.FORMS)}",
    )
    parser.add_argument(
        "--counts", action="store_true", help="counts, where a form holds routes, too: sglang"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="file to write")
    add_json(parser)


def _add_import_published(formats: Any, name: str, summary: str) -> None:
    with_size = name in ("kcluster", "dimacs")
    parser = command(
        formats,
        name,
        "import_published",
        f"make an instance of {summary}",
        about="One server and one layer; the saving is the published objective: docs/published.md.",
        example=f"  moeplace import {name} FILE{' --k 25' * with_size} -o instance.json.gz",
    )
    parser.add_argument("file", metavar="FILE", help="file as it is published")
    if with_size:
        parser.add_argument(
            "--k",
            type=int,
            metavar="K",
            help="vertices to choose; kcluster: instead of what the file says",
        )
    else:
        parser.set_defaults(k=None)
    parser.add_argument("--name", metavar="NAME", help="name of the instance; default: the file's")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="instance file: .json, .json.gz or .npz",
    )
    add_json(parser)


def _add_import_solution(formats: Any) -> None:
    parser = command(
        formats,
        "sol",
        "import_solution",
        "make a placement of a solver's solution file",
        about="Files of SCIP and HiGHS, for the programs that moeplace export writes.",
        example="  moeplace import sol mixtral.sol --instance mixtral.json -o placement.json",
    )
    parser.add_argument("solution", metavar="FILE", help="solution file of SCIP or HiGHS")
    parser.add_argument("--instance", required=True, metavar="FILE", help="instance file")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="placement file: .json or .json.gz"
    )
    add_json(parser)


def add_export(commands: Any) -> None:
    """Add ``export``."""
    parser = command(
        commands,
        "export",
        "export",
        "write an instance as a program for other solvers, or a placement as their solution",
        about=(
            "MPS and LP files say that the saving is maximised, and their names say what they are:"
            "\nx.edge_0.mixtral_8x7b.L3.E5 is expert 5 of layer 3 on server edge-0."
        ),
        example=(
            "  moeplace export mixtral.json --format mps -o mixtral.mps\n"
            "  moeplace export mixtral.json --format sol --placement placement.json -o mixtral.sol"
        ),
    )
    parser.add_argument("file", metavar="FILE", help="instance file")
    parser.add_argument(
        "--format",
        required=True,
        choices=("mps", "lp", "sol", "highs-sol"),
        metavar="mps|lp|sol|highs-sol",
        help="program (mps, lp), or placement as a solution file of SCIP (sol) or HiGHS",
    )
    parser.add_argument(
        "--formulation",
        default="compact",
        choices=("compact", "aggregated", "lifted"),
        metavar="compact|aggregated|lifted",
        help="which program; all have the same optimum; default: compact",
    )
    parser.add_argument(
        "--placement", metavar="FILE", help="placement file, for the formats of solutions"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="file: .mps, .lp or .sol"
    )
    add_json(parser)
