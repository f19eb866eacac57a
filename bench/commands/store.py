"""``moeplace store``: several stores made one, or one written as tables."""

import argparse
from pathlib import Path

from bench.commands.output import print_block, print_json
from bench.export_store import export_store
from bench.formats import plural
from bench.merge import merge
from bench.store import Store


def execute(arguments: argparse.Namespace) -> int:
    """Merge or export, and say what was done."""
    return _merge(arguments) if arguments.action == "merge" else _export(arguments)


def _merge(arguments: argparse.Namespace) -> int:
    merged = merge(arguments.stores, arguments.output)
    with Store.open(arguments.output) as store:
        total = len(store.finished())
    if arguments.json:
        print_json(
            {
                "store": arguments.output,
                "new": merged.attempts,
                "known": merged.known,
                "counting": total,
            }
        )
        return 0
    known = f", {merged.known} were there already" if merged.known else ""
    print(f"{plural(merged.attempts, 'attempt')} copied{known}")
    print(f"{plural(total, 'attempt')} count in {arguments.output}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.output)
    with Store.open(arguments.store) as store:
        rows = export_store(store, folder, arguments.format, history=arguments.history)
    if arguments.json:
        print_json({"path": str(folder), "format": arguments.format, "rows": rows})
        return 0
    print_block(
        f"{arguments.store} written to {folder}",
        {f"{name}.{arguments.format}": plural(count, "row") for name, count in rows.items()},
    )
    return 0
