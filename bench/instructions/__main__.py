"""Instructions of the main kernels, held against a baseline: a regression test without a clock.

    python -m bench.instructions             # exit code 1 when a kernel takes a tenth more
    python -m bench.instructions --update    # accept what is counted now

Every kernel replays the largest of its calls that were recorded while methods ran; valgrind counts
the instructions. The first run compiles the kernels for a generic processor, which takes a minute.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.commands.output import complain
from bench.formats import MISSING, count_text
from bench.instructions.baseline import (
    TOLERANCE,
    Baseline,
    Change,
    compare,
    current_versions,
    read_baseline,
    write_baseline,
)
from bench.instructions.callgrind import count_instructions, reason_against
from bench.instructions.scenes import record_main_calls
from instances.errors import InputError

BASELINE = Path(__file__).parent.with_suffix(".json")


def main(argv: list[str] | None = None) -> int:
    """Count, compare, print; 1 when a kernel takes more than it may."""
    arguments = _parser().parse_args(argv)
    path = Path(arguments.baseline)
    reason = reason_against()
    if reason:
        return complain(f"skipped: {reason}", 0 if arguments.skip else 2, label="")
    try:
        counts = count_instructions(record_main_calls(), Path(arguments.cache))
        versions = current_versions()
        if arguments.update:
            baseline = Baseline(tolerance=TOLERANCE, versions=versions, counts=counts)
            write_baseline(path, baseline)
            print(f"{len(counts)} counts written to {path}")
            return 0
        baseline = read_baseline(path)
    except InputError as error:
        return complain(str(error), 2)
    return _report(baseline, compare(baseline, counts), versions)


def _report(baseline: Baseline, changes: list[Change], versions: dict[str, str]) -> int:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("kernel", no_wrap=True)
    for name in ("baseline", "now", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for change in changes:
        table.add_row(
            f"{change.kernel}{' !' if change.worse(baseline.tolerance) else ''}",
            MISSING if change.before is None else count_text(change.before),
            MISSING if change.now is None else count_text(change.now),
            MISSING if change.ratio is None else f"{change.ratio:.3f}",
        )
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    for name, version in versions.items():
        if baseline.versions.get(name) != version:
            print(
                f"{name} {version}; the baseline is of {baseline.versions.get(name, 'no version')}"
            )
    worse = [change.kernel for change in changes if change.worse(baseline.tolerance)]
    if worse:
        share = f"more than {100 * baseline.tolerance:g} % above the baseline, or without one"
        return complain(f"{share}: {', '.join(worse)} (--update accepts them)", 1, label="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--update", action="store_true", help="write the baseline anew")
    parser.add_argument("--baseline", metavar="FILE", default=str(BASELINE), help="JSON file")
    cache = Path(tempfile.gettempdir()) / f"moeplace-instructions-{os.getuid()}"
    parser.add_argument(
        "--cache", metavar="DIR", default=str(cache), help="folder of compiled kernels"
    )
    parser.add_argument(
        "--skip", action="store_true", help="exit code 0 where instructions cannot be counted"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
