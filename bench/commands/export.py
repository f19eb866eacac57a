"""``moeplace export``: an instance as a program for other solvers, or a placement as their .sol."""

import argparse
from collections.abc import Callable

from bench.commands.output import print_json, require_writable
from bench.formats import plural
from bench.spinner import spinning
from formulations.aggregated import build_aggregated
from formulations.compact import build_compact
from formulations.export import lp_text, mps_text
from formulations.lifted import build_lifted
from formulations.program import Program
from formulations.solutions import highs_text, scip_text
from instances.errors import InputError
from instances.files import read_instance, read_placement, write_atomically
from instances.problem import Instance
from instances.structure.clauses import Clauses, build_clauses

PROGRAMS = {"mps": mps_text, "lp": lp_text}
SOLUTIONS = {"sol": scip_text, "highs-sol": highs_text}
SUFFIXES = {"mps": ".mps", "lp": ".lp", "sol": ".sol", "highs-sol": ".sol"}

FORMULATIONS: dict[str, Callable[[Instance, Clauses], Program]] = {
    "compact": build_compact,
    "aggregated": build_aggregated,
    "lifted": build_lifted,
}


def execute(arguments: argparse.Namespace) -> int:
    """Write the program, or the placement in terms of it."""
    wanted = arguments.format
    require_writable(arguments.output, (SUFFIXES[wanted],))
    if (wanted in SOLUTIONS) != (arguments.placement is not None):
        problem = "is needed for" if wanted in SOLUTIONS else "says nothing in"
        raise InputError("--placement", f"{problem} --format {wanted}")
    instance = read_instance(arguments.file)
    with spinning(f"writing {arguments.output}"):
        program = FORMULATIONS[arguments.formulation](instance, build_clauses(instance))
        if wanted in PROGRAMS:
            if not len(program):
                raise InputError(
                    "", "no placement saves anything: there is no program", source=arguments.file
                )
            text = PROGRAMS[wanted](instance, program, arguments.formulation)
        else:
            placement = read_placement(arguments.placement, instance)
            text = SOLUTIONS[wanted](instance, program, placement)
        write_atomically(arguments.output, text.encode("utf-8"))
    if arguments.json:
        print_json(
            {
                "instance": instance.name,
                "formulation": arguments.formulation,
                "format": wanted,
                "columns": len(program),
                "whole_columns": int(program.is_whole.sum()),
                "rows": program.rows.num_rows,
                "entries": program.rows.row.size,
                "file": arguments.output,
            }
        )
    else:
        size = f"{plural(len(program), 'column')}, {plural(program.rows.num_rows, 'row')}"
        print(f"{instance.name}, {arguments.formulation}: {size}, written to {arguments.output}")
    return 0
