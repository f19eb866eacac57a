"""``moeplace report``: a page, tables and pictures of a store."""

import argparse
from pathlib import Path

from rich.console import Console

from bench.commands.output import complain, print_json
from bench.growth.document import read_growth
from bench.held_out_file import read_studies
from bench.report import write_report
from bench.store import Store
from bench.terminal import terminal_table


def execute(arguments: argparse.Namespace) -> int:
    """Write the report and print its tables."""
    held_out = [] if arguments.held_out is None else read_studies(arguments.held_out)
    growth = None if arguments.growth is None else read_growth(arguments.growth)
    with Store.open(arguments.store) as store:
        summary = write_report(store, Path(arguments.output), held_out=held_out, growth=growth)
    if arguments.json:
        print_json(summary.to_dict())
    else:
        Console().print(terminal_table(summary))
        print(f"report written to {summary.path}")
    if not summary.attempts:
        return complain(f"{arguments.store}: no attempts in the store", 1, label="")
    if summary.contradictions:
        return complain(
            f"{arguments.store}: {summary.contradictions} claims are refuted by other attempts; "
            "the report names them",
            1,
            label="",
        )
    return 0
