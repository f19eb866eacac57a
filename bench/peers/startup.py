"""Start of the command against the imports of what one would otherwise use."""

import subprocess
import sys
from collections.abc import Callable, Iterator

from bench.peers.race import DisagreementError, Row, race, titled
from heuristics import HEURISTICS

NAME = "start"
SUMMARY = "start of the command: importing NumPy and pandas, OR-Tools, PuLP"

ROUNDS = {"toy": 1, "full": 7}
NUM_PEERS = {"toy": 1, "full": 3}
"""How many of :data:`PEERS` are asked."""

COMMANDS = {
    "moeplace --help": (["--help"], ("solve", "bound", "report")),
    "moeplace list heuristics": (
        ["list", "heuristics"],
        tuple(algorithm.name for algorithm in HEURISTICS),
    ),
}
"""Arguments of the command, and words that its output must have."""

PEERS = {
    "import numpy, pandas": ("numpy", "NumPy", "import numpy, pandas"),
    "import OR-Tools MathOpt": (
        "ortools",
        "OR-Tools",
        "from ortools.math_opt.python import mathopt",
    ),
    "import pulp": ("pulp", "PuLP", "import pulp"),
}
"""Distribution, title and code of each peer."""


def compare(size: str) -> Iterator[Row]:
    """Measure."""
    for command, (arguments, words) in COMMANDS.items():
        for peer, (distribution, title, code) in list(PEERS.items())[: NUM_PEERS[size]]:
            result = race(
                starting("-m", "bench.cli", *arguments), starting("-c", code), rounds=ROUNDS[size]
            )
            yield Row(
                comparison=NAME,
                case="a new process",
                ours=command,
                peer=f"{titled(distribution, title)}: {peer}",
                checked=check(command, result.ours, words),
                ours_s=result.ours_s,
                peer_s=result.peer_s,
            )


def starting(*arguments: str) -> Callable[[], str]:
    """Return a call that runs Python with these arguments and returns its output."""

    def start() -> str:
        return subprocess.run(
            [sys.executable, *arguments], check=True, capture_output=True, text=True
        ).stdout

    return start


def check(command: str, output: str, words: tuple[str, ...]) -> str:
    """Check that the output has what the command is for; say so.

    Raises
    ------
    DisagreementError
        When a word is missing.
    """
    for word in words:
        if word not in output:
            raise DisagreementError(f"{command} does not print {word!r}")
    return "complete output"
