"""Commands that let tokens walk: simulate, holdout."""

import argparse
from typing import Any

from bench.arguments.commands import add_json, command
from bench.arguments.values import Words, seconds, share, whole
from instances.import_routes import GROUPING_HELP


def add_simulate(commands: Any) -> None:
    """Add ``simulate``."""
    parser = command(
        commands,
        "simulate",
        "simulate",
        "let tokens walk through the layers under a placement: percentiles, users, queues",
        about=(
            "Tokens are drawn from the demand of the instance, or replayed from a trace. Without "
            "queueing their\nmean agrees with T. With --service, servers work on one call at a "
            "time; tokens then come at a rate\n(--arrivals), or every user decodes one token "
            "after another. The first tenth only fills the queues."
        ),
        example=(
            "  moeplace simulate mixtral.json placement.json --tokens 100000\n"
            "  moeplace simulate mixtral.json placement.json --service 0.5 --arrivals 20 "
            "--jitter 0.3"
        ),
    )
    parser.add_argument("file", metavar="FILE", help="instance file")
    parser.add_argument("placement", metavar="PLACEMENT", help="placement file")
    parser.add_argument(
        "--tokens",
        type=whole,
        metavar="N",
        help="tokens to draw; default: 20000. Of a trace: its first N, default: all",
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of all that is drawn; default: 0"
    )
    parser.add_argument(
        "--routes", metavar="TRACE", help="replay recorded routing instead of drawing tokens"
    )
    parser.add_argument("--users", metavar="GROUPING", help=f"with --routes: {GROUPING_HELP}")
    parser.add_argument(
        "--service",
        nargs="+",
        metavar="MS|PERCENT",
        help="time that a call keeps its server busy, part of its latency: ms (0.5), one for all "
        "servers or one each in their order; or a share of the latency (20%%)",
    )
    parser.add_argument(
        "--service-law",
        choices=("fixed", "exponential"),
        metavar="fixed|exponential",
        help="with --service: whether the time is always that or only its mean; default: fixed",
    )
    parser.add_argument(
        "--arrivals",
        type=rate,
        metavar="RATE",
        help="with --service: tokens a second over all users, a Poisson process; default: every "
        "user decodes one token after another",
    )
    parser.add_argument(
        "--jitter",
        type=share,
        default=0.0,
        metavar="C",
        help="coefficient of variation of the time of a call, lognormal (with --service: of its "
        "travel); default: 0",
    )
    add_json(parser)


def add_holdout(commands: Any) -> None:
    """Add ``holdout``."""
    parser = command(
        commands,
        "holdout",
        "holdout",
        "plan on one part of a trace and measure on the rest: how much a plan misses",
        about=(
            "Each method plans with one part of the trace; what it promises stands beside what it "
            "comes to on\nthe other part, and beside its own plan in hindsight. Caches that follow "
            "the traffic (LRU, LFU) are\nreplayed on the same tokens. Without a trace the traffic "
            "is drawn from the calibrated router."
        ),
        example=(
            "  moeplace holdout gpt-oss.json.gz routes.npz --with popularity successive-hull\n"
            "  moeplace holdout -o held-out.json\n"
            "  moeplace report --store results.sqlite --held-out held-out.json -o report"
        ),
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="instance file: its network and models; left out, with ROUTES: synthetic traffic",
    )
    parser.add_argument("routes", nargs="?", metavar="ROUTES", help="recorded routing")
    parser.add_argument("--users", metavar="GROUPING", help=GROUPING_HELP)
    parser.add_argument(
        "--splits",
        nargs="+",
        action=Words,
        metavar="requests|time|users",
        help="what is held out: every second request of each user, the later half of her tokens, "
        "every second user; default: all three",
    )
    parser.add_argument(
        "--with",
        dest="methods",
        nargs="+",
        action=Words,
        metavar="NAME",
        help="methods; heuristics stands for all of them, the default",
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of methods and traffic; default: 0"
    )
    parser.add_argument(
        "--time-limit",
        type=seconds,
        metavar="S",
        help="seconds for each method on each part; default: 10, for synthetic traffic 0.2",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the numbers there (.json), for a report"
    )
    add_json(parser)


def rate(text: str) -> float:
    """Read a positive number of tokens a second."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of tokens a second")
    return value
