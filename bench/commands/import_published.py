"""``moeplace import qkp|sukp|kcluster|dimacs``: a published instance as a placement problem."""

import argparse

from bench.commands.generate import show_instance
from bench.commands.output import require_writable
from bench.spinner import spinning
from instances.files import INSTANCE_SUFFIXES, write_instance
from instances.published.reading import read_published


def execute(arguments: argparse.Namespace) -> int:
    """Read the file, write the instance, and say what it is."""
    require_writable(arguments.output, INSTANCE_SUFFIXES)
    with spinning(f"reading {arguments.file}"):
        instance = read_published(
            arguments.file, arguments.format, size=arguments.k, name=arguments.name
        )
        write_instance(arguments.output, instance)
    show_instance(instance, arguments.output, as_json=arguments.json)
    return 0
