"""``moeplace import example``: a small file in one of the forms in which routing is recorded."""

import argparse

from bench.commands.output import print_json, require_writable
from instances.importers import FORMS, write_example


def execute(arguments: argparse.Namespace) -> int:
    """Write the example, and say what it is."""
    form = FORMS.get(arguments.form)
    require_writable(arguments.output, (form.suffix,))
    write_example(arguments.output, form.name, counts=arguments.counts)
    if arguments.json:
        print_json({"form": form.name, "about": form.about, "path": arguments.output})
    else:
        print(f"{arguments.output}: {form.about}")
    return 0
