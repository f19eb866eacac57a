"""``moeplace import sol``: the placement that a solver's solution file says."""

import argparse

from bench.commands.output import print_json, require_writable
from bench.formats import value_text
from formulations.solutions import read_solution
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.files import PLACEMENT_SUFFIXES, read_bytes, read_instance, write_placement


def execute(arguments: argparse.Namespace) -> int:
    """Read a solution, write the placement, and say what it saves."""
    require_writable(arguments.output, PLACEMENT_SUFFIXES)
    instance = read_instance(arguments.instance)
    data = read_bytes(arguments.solution)
    try:
        placement = read_solution(data.decode("utf-8"), instance)
        placement.check_capacity(instance)
    except UnicodeDecodeError as error:
        raise InputError("", "not a text file", source=arguments.solution) from error
    except InputError as error:
        raise error.in_file(arguments.solution) from None
    write_placement(arguments.output, instance, placement)
    saving_ms = evaluate(instance, placement).saving_ms
    if arguments.json:
        print_json(
            {"instance": instance.name, "saving_ms": saving_ms, "placement": arguments.output}
        )
    else:
        print(
            f"{instance.name}: saves {value_text(saving_ms)} ms per token; "
            f"placement in {arguments.output}"
        )
    return 0
