"""What can be said on the command line, with help for newcomers."""

import argparse
import re
from typing import Any, NoReturn

from bench.presets import PRESETS
from instances import generate, import_routes

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


DEFAULT_RUN_LIMIT_S = 60.0
"""Time limit of ``run`` when none is given: among many instances there is always one that hangs."""


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        """Write one line to stderr and exit with code 2."""
        self.exit(2, f"moeplace: error: {' '.join(message.split())} (see {self.prog} --help)\n")


class Version(argparse.Action):
    """Print the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        """Print and exit."""
        from importlib import metadata

        print(f"moeplace {metadata.version('moeplace')}")
        parser.exit(0)


class Words(argparse.Action):
    """Collect words that are separated by spaces or commas."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        """Store a list of text."""
        words = [word for value in values for word in value.split(",") if word]
        if not words:
            raise argparse.ArgumentError(self, "nothing is given")
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), *words])


class Seeds(argparse.Action):
    """Collect seeds: ``0 1 2``, ``0,1,2`` or ``0-2``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        """Store a list of whole numbers without repetition."""
        seeds: dict[int, None] = {}
        for word in (word for value in values for word in value.split(",") if word):
            match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", word)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
            if last < first or last - first >= 100_000:
                raise argparse.ArgumentError(
                    self, f"{word!r} is neither a seed (0, 1, ...) nor a range such as 0-4"
                )
            seeds.update(dict.fromkeys(range(first, last + 1)))
        if not seeds:
            raise argparse.ArgumentError(self, "nothing is given")
        setattr(namespace, self.dest, list(seeds))


def seconds(text: str) -> float:
    """Read a positive number of seconds."""
    return _positive(text, "seconds")


def gigabytes(text: str) -> int:
    """Read a positive number of gigabytes (10^9 bytes) as bytes."""
    return max(1, round(_positive(text, "gigabytes") * 1e9))


def share(text: str) -> float:
    """Read a share from 0."""
    return 0.0 if re.fullmatch(r"0+(\.0*)?", text) else _positive(text, "parts of one")


def whole(text: str) -> int:
    """Read a whole number from 0."""
    if not re.fullmatch(r"\d{1,18}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def jobs(text: str) -> int:
    """Read a number of processes."""
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes (1, 2, ...)")
    return int(text)


def _positive(text: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of {unit}")
    return value


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
    _add_list(commands)
    _add_generate(commands)
    _add_import(commands)
    _add_export(commands)
    _add_solve(commands)
    _add_bound(commands)
    _add_check(commands)
    _add_run(commands)
    _add_store(commands)
    _add_compare(commands)
    _add_report(commands)
    _add_audit(commands)
    _add_conformance(commands)
    _add_archive(commands)
    return parser


def _command(
    commands: Any, name: str, module: str, summary: str, *, about: str = "", example: str
) -> Parser:
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


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def _add_list(commands: Any) -> None:
    parser = _command(
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
    _add_json(parser)


def _add_generate(commands: Any) -> None:
    parser = _command(
        commands,
        "generate",
        "generate",
        "generate an instance of a family",
        about="The same family, size, seed and options give the same bytes on every machine.",
        example="  moeplace generate mixtral --size small --seed 7 -o mixtral.json.gz",
    )
    generate.add_arguments(parser)
    _add_json(parser)


def _add_import(commands: Any) -> None:
    formats = commands.add_parser(
        "import",
        help="make an instance of recorded routing, or a placement of a solver's solution",
        description="Make an instance of recorded routing, or a placement of a solver's solution.",
        epilog="examples:\n  moeplace import routes --help\n  moeplace import sol --help\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    ).add_subparsers(title="formats", dest="format", metavar="FORMAT", required=True)
    parser = _command(
        formats,
        "routes",
        "importing",
        "make an instance of the experts that tokens were routed to, and a network",
        example=(
            "  moeplace import routes routes.npz --model gpt-oss-20b --network network.toml \\\n"
            "      --users 4 -o gpt-oss.json.gz"
        ),
    )
    import_routes.add_arguments(parser)
    _add_json(parser)
    _add_import_solution(formats)


def _add_import_solution(formats: Any) -> None:
    parser = _command(
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
    _add_json(parser)


def _add_export(commands: Any) -> None:
    parser = _command(
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
    _add_json(parser)


def _add_solve(commands: Any) -> None:
    parser = _command(
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
    parser.add_argument("file", metavar="FILE", help="instance file")
    parser.add_argument(
        "--with",
        dest="method",
        required=True,
        metavar="NAME",
        help="see: moeplace list heuristics, moeplace list exact",
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="for randomised methods; default: 0"
    )
    _add_limits(parser, default=None)
    parser.add_argument(
        "--start",
        metavar="FILE|auto|none",
        help="where the method starts from: a placement file, the best placement of the quick "
        "heuristics (auto, the default of exact methods), or nothing (none, the default of "
        "heuristics)",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="parameters of the method; moeplace list --json names them",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write the placement to this file")
    parser.add_argument(
        "--verbose", action="store_true", help="show on stderr what the method itself printed"
    )
    _add_json(parser)


def _add_bound(commands: Any) -> None:
    parser = _command(
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
    parser.add_argument("file", metavar="FILE", help="instance file")
    parser.add_argument(
        "--with", dest="method", required=True, metavar="NAME", help="see: moeplace list bounds"
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="for randomised methods; default: 0"
    )
    _add_limits(parser, default=None)
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
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="parameters of the method; moeplace list --json names them",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="CERTIFICATE",
        help="write what proves the bound to this file; moeplace check verifies it",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show on stderr what the method itself printed"
    )
    _add_json(parser)


def _add_limits(parser: argparse.ArgumentParser, default: float | None) -> None:
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


def _add_check(commands: Any) -> None:
    parser = _command(
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
    _add_json(parser)


def _add_run(commands: Any) -> None:
    parser = _command(
        commands,
        "run",
        "run",
        "run methods on many instances, into a store",
        about=(
            "Finished attempts are kept at once. When the run is stopped, by whatever means, the "
            "same\ncommand continues where it was."
        ),
        example=(
            "  moeplace run --families tiny mixtral --sizes tiny small --seeds 0-4 \\\n"
            "      --with heuristics milp-compact --time-limit 30 --store results.sqlite\n"
            "  moeplace run --preset report --store results.sqlite"
        ),
    )
    presets = "; ".join(f"{preset.name}: {preset.summary}" for preset in PRESETS.values())
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        metavar="|".join(PRESETS),
        help=f"a ready-made choice of everything that follows ({presets})",
    )
    parser.add_argument(
        "--families",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="families to generate from; see: moeplace list families",
    )
    parser.add_argument(
        "--sizes", nargs="+", action=Words, metavar="SIZE", help="default: tiny and small"
    )
    parser.add_argument(
        "--instances", nargs="+", metavar="FILE", help="instance files, besides or instead"
    )
    parser.add_argument(
        "--with",
        dest="methods",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="methods; heuristics and exact stand for all of a kind; default: both",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        action=Seeds,
        metavar="N",
        help="seeds of generated instances, and of randomised methods, which run once for each "
        "seed on every instance: 0 1 2 or 0-2; default: 0",
    )
    _add_limits(parser, default=DEFAULT_RUN_LIMIT_S)
    parser.add_argument(
        "--start",
        choices=("auto", "none"),
        metavar="auto|none",
        help="whether exact methods start from the best placement of the quick heuristics; "
        "default: auto",
    )
    parser.add_argument(
        "--jobs",
        type=jobs,
        metavar="N",
        help="processes at once; more than 1 makes timings depend on each other; default: 1",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run on a Dask cluster instead of this machine: tcp://HOST:8786; needs the extra "
        "moeplace[cluster], see docs/cluster.md",
    )
    parser.add_argument(
        "--redo",
        choices=("failed", "outdated", "all"),
        metavar="failed|outdated|all",
        help="run finished attempts again: those that failed or have no placement, those of "
        "another version of the code, or all; what there was before is kept beside",
    )
    parser.add_argument(
        "--retry-failed",
        dest="redo",
        action="store_const",
        const="failed",
        help="the same as --redo failed",
    )
    parser.add_argument("--store", required=True, metavar="FILE", help="SQLite file of results")


def _add_store(commands: Any) -> None:
    actions = commands.add_parser(
        "store",
        help="merge stores of results, or export one as tables",
        description="Merge stores of results, or export one as tables.",
        epilog="example:\n  moeplace store merge one.sqlite other.sqlite -o both.sqlite\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    ).add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    parser = _command(
        actions,
        "merge",
        "store",
        "make one store of several",
        about=(
            "Every attempt is kept once, with its trajectory and placement. Among attempts with "
            "the same\nkey the one that started last counts, whatever the order of the files."
        ),
        example="  moeplace store merge one.sqlite other.sqlite -o both.sqlite",
    )
    parser.add_argument("stores", nargs="+", metavar="FILE", help="SQLite files of results")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="store to merge into; made when it is missing, and added to when not",
    )
    _add_json(parser)
    parser = _command(
        actions,
        "export",
        "store",
        "write a store as tables: attempts, trajectories, instances, placements",
        example=(
            "  moeplace store export results.sqlite -o tables\n"
            "  moeplace store export results.sqlite --format parquet -o tables"
        ),
    )
    parser.add_argument("store", metavar="FILE", help="SQLite file of results")
    parser.add_argument(
        "--format",
        choices=("csv", "parquet"),
        default="csv",
        metavar="csv|parquet",
        help="kind of files; parquet needs the extra moeplace[parquet]; default: csv",
    )
    parser.add_argument(
        "--history", action="store_true", help="also attempts that were repeated later"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="directory; made when it is missing"
    )
    _add_json(parser)


def _add_compare(commands: Any) -> None:
    parser = _command(
        commands,
        "compare",
        "compare",
        "say what became better or worse between two stores, or two versions in one",
        about=(
            "Attempts with the same key are paired. Intervals come from a bootstrap over "
            "instances and seeds,\nwidened for the number of methods. Exit code 1 when something "
            "became significantly worse."
        ),
        example=(
            "  moeplace compare before.sqlite after.sqlite\n"
            "  moeplace compare results.sqlite --versions 1f2e3d4c5b6a 0a1b2c3d4e5f --json"
        ),
    )
    parser.add_argument("stores", nargs="+", metavar="FILE", help="one or two stores of results")
    parser.add_argument(
        "--versions",
        nargs=2,
        metavar=("OLD", "NEW"),
        help="versions of the code, or how they end; of one store, or one of each",
    )
    parser.add_argument(
        "--time-tolerance",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="slowdown that is accepted; default: 0.1, that is 10 %%",
    )
    _add_json(parser)


def _add_report(commands: Any) -> None:
    parser = _command(
        commands,
        "report",
        "report",
        "write a report of a store: a page, tables, pictures",
        example="  moeplace report --store results.sqlite -o report",
    )
    parser.add_argument("--store", required=True, metavar="FILE", help="SQLite file of results")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="directory; made when it is missing"
    )
    _add_json(parser)


def _add_audit(commands: Any) -> None:
    parser = _command(
        commands,
        "audit",
        "audit",
        "hold every guarantee against what was measured",
        about=(
            "With --store: each method's proved bound beside its smallest ratio F / OPT. With\n"
            "--search: look for bad instances, small ones that are solved exactly. Exit code 1 "
            "when a\nratio lies below its bound."
        ),
        example=(
            "  moeplace audit --store results.sqlite --families\n"
            "  moeplace audit --search 60 --with greedy successive-hull -o worst"
        ),
    )
    parser.add_argument("--store", metavar="FILE", help="SQLite file of results")
    parser.add_argument(
        "--families", action="store_true", help="with --store: family by family as well"
    )
    parser.add_argument(
        "--search", type=seconds, metavar="SECONDS", help="search for bad instances for so long"
    )
    parser.add_argument(
        "--with",
        dest="methods",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="methods to search against; heuristics and exact stand for all of a kind; default: "
        "heuristics",
    )
    parser.add_argument(
        "--seed", type=whole, metavar="N", help="where the search starts from; default: 0"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="write the worst instance of each method there"
    )
    _add_json(parser)


def _add_conformance(commands: Any) -> None:
    parser = _command(
        commands,
        "conformance",
        "conformance",
        "try a method or a family, also a plug-in of yours, and see whether it keeps all rules",
        about=(
            "Methods are tried on small, odd and extreme instances; families in their smallest "
            "sizes."
        ),
        example="  moeplace conformance greedy\n  moeplace conformance mixtral",
    )
    parser.add_argument("name", metavar="NAME", help="a method or a family; see: moeplace list")
    _add_json(parser)


def _add_archive(commands: Any) -> None:
    actions = commands.add_parser(
        "archive",
        help="best known values of a published list of instances",
        description="Best known values of a published list of instances: placements, certified "
        "bounds, proofs.",
        epilog="example:\n  moeplace archive list\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    ).add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    names = "instances, families or sizes of the list; all of it when left out"
    parser = _command(
        actions,
        "list",
        "archive",
        "list best known values",
        example="  moeplace archive list mixtral\n  moeplace archive list tiny --json",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    _add_archive_file(parser)
    parser = _command(
        actions,
        "show",
        "archive",
        "show everything that is known of one instance",
        example="  moeplace archive show mixtral-small-s0 -o placement.json",
    )
    parser.add_argument("name", metavar="NAME", help="name of the instance")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the placement to this file")
    _add_archive_file(parser)
    parser = _command(
        actions,
        "update",
        "archive",
        "improve the archive with what stores hold or methods find",
        about=(
            "An entry changes for a placement that saves more in exact arithmetic, for a lower "
            "certified\nbound, or for a proof, and never the other way. Exit code 1 when something "
            "contradicts\nthe archive; it is left as it was then."
        ),
        example=(
            "  moeplace archive update --store results.sqlite\n"
            "  moeplace archive update mixtral real --with improve layer-generation --time-limit 60"
        ),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument(
        "--store", dest="stores", nargs="+", metavar="FILE", help="take what these stores hold"
    )
    parser.add_argument(
        "--with",
        dest="methods",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="run these methods, in this order, starting from what is known; default, without "
        "--store: a choice of methods that find, bound and prove",
    )
    _add_limits(parser, default=DEFAULT_RUN_LIMIT_S)
    _add_archive_file(parser)
    parser = _command(
        actions,
        "check",
        "archive",
        "check entries again in exact arithmetic",
        about=(
            "The instance is generated and has the checksum, the placement fits and has the value, "
            "and the\nbound is not below it, all in fractions."
        ),
        example="  moeplace archive check\n  moeplace archive check tiny small",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    _add_archive_file(parser)


def _add_archive_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archive", metavar="FILE", help="CSV file; default: the archive of the package"
    )
    _add_json(parser)
