"""``moeplace import``: an instance of recorded routing, as a file."""

import argparse

from bench.commands.generate import show_instance
from bench.commands.output import require_writable
from bench.spinner import spinning
from instances import import_routes
from instances.files import INSTANCE_SUFFIXES, write_instance


def execute(arguments: argparse.Namespace) -> int:
    """Read the recording and the network, write the instance, and say what it is."""
    require_writable(arguments.output, INSTANCE_SUFFIXES)
    with spinning(f"reading {arguments.routes}"):
        instance, note = import_routes.make(arguments)
        write_instance(arguments.output, instance)
    show_instance(instance, arguments.output, as_json=arguments.json, note=note)
    return 0
