"""Compare with other tools and print one table of ratios.

    python -m bench.peers                                  every comparison; several minutes
    python -m bench.peers --only evaluation greedy --json peers.json
    python -m bench.peers --only evaluation --scale million ten-million

Times are the best of several repeats, both sides in turn, on one thread; wall clock, and in
brackets the ratio of processor times, which is the fairer one on a machine that others use. A ratio
above 1 means that moeplace is faster. Where results differ the program ends with an error. What is
not installed is listed as such: ``pip install 'moeplace[peers]'``.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import cast

from rich import box
from rich.console import Console
from rich.table import Table

from bench.formats import seconds_text
from bench.peers import (
    certificate,
    closures,
    convolution,
    evaluation,
    exact,
    greedy,
    knapsack,
    startup,
)
from bench.peers.document import write
from bench.peers.race import DisagreementError, Row
from instances.families import FAMILIES

SIZES = ("toy", "full")

Compare = Callable[[str], Iterator[Row]]

MODULES: tuple[ModuleType, ...] = (
    evaluation,
    greedy,
    knapsack,
    convolution,
    closures,
    exact,
    certificate,
    startup,
)
"""In the order of the table."""

WIDTH = 160
"""Columns of the table where the output is not a terminal."""

COLUMNS = ("instance", "moeplace", "its time", "instead", "time", "ratio (CPU)", "checked")
FIGURES = ("its time", "time", "ratio (CPU)")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when some result differs from the peer's."""
    arguments = _parser().parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    rows: list[Row] = []
    wrong: list[str] = []
    for module in MODULES:
        if module.NAME not in arguments.only:
            continue
        compare = cast(Compare, module.compare)
        if module is evaluation:
            compare = partial(evaluation.compare, scale=arguments.scale)
        try:
            for row in compare(arguments.size):
                print(f"{row.comparison}: {row.case}: {row.peer}: {_ratios(row)}", file=sys.stderr)
                rows.append(row)
        except DisagreementError as error:
            wrong.append(f"{module.NAME}: {error}")
        if arguments.json:  # now, so that an interrupted run leaves what it has
            write(arguments.json, rows, arguments.size)
    if arguments.markdown:
        print(markdown_of(rows))
    else:
        console.print(table_of(rows))
    for line in wrong:
        print(f"error: results differ: {line}", file=sys.stderr)
    return 1 if wrong else 0


def table_of(rows: Sequence[Row]) -> Table:
    """Lay the rows out, those of one comparison and instance together."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in COLUMNS:
        is_figure = title in FIGURES
        table.add_column(title, justify="right" if is_figure else "left", no_wrap=is_figure)
    for cells in _cells(rows):
        table.add_row(*cells)
    return table


def markdown_of(rows: Sequence[Row]) -> str:
    """Write the same as a table in Markdown."""
    rules = ["---:" if title in FIGURES else "---" for title in COLUMNS]
    lines = [COLUMNS, rules, *_cells(rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """Yield the texts of each row; an instance is named once."""
    shown = ""
    for row in rows:
        yield (
            row.case if row.case != shown else "",
            row.ours,
            "" if row.ours_s is None else seconds_text(row.ours_s.wall),
            row.peer,
            "" if row.peer_s is None else f"{_more(row)}{seconds_text(row.peer_s.wall)}",
            _ratios(row),
            row.checked,
        )
        shown = row.case


def _more(row: Row) -> str:
    return "" if row.finished else "> "


def _ratios(row: Row) -> str:
    """Return both ratios with three significant digits; nothing where nothing was measured."""
    if math.isnan(row.ratio):
        return ""
    texts = []
    for ratio in (row.ratio, row.cpu_ratio):
        digits = max(0, 2 - math.floor(math.log10(ratio)))
        texts.append(f"{_more(row)}{float(f'{ratio:.3g}'):,.{digits}f}")
    return f"{texts[0]} ({texts[1]})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="comparisons:\n"
        + "\n".join(f"  {module.NAME:12} {module.SUMMARY}" for module in MODULES),
    )
    names = [module.NAME for module in MODULES]
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help="default: all"
    )
    parser.add_argument("--size", choices=SIZES, default="full", help="default: full")
    parser.add_argument(
        "--scale",
        nargs="+",
        choices=FAMILIES.get("scale").sizes,
        default=(),
        metavar="SIZE",
        help="evaluate these sizes of the family scale; default: million",
    )
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
