"""``moeplace archive``: best known values of the published instances."""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.algorithms import find_algorithms
from bench.archivist import Archivist
from bench.arguments.commands import DEFAULT_RUN_LIMIT_S
from bench.commands.output import (
    complain,
    print_block,
    print_columns,
    print_json,
    require_writable,
)
from bench.formats import MISSING, gap_text, plural, seconds_text, value_text
from bench.sandbox import Limits
from bench.spinner import spinning
from bench.store import Store
from instances.best_known.archive import SHIPPED, Archive, read_archive
from instances.best_known.catalogue import CATALOGUE, Published, find_published
from instances.best_known.entry import Entry, Provenance, unpack_placement
from instances.best_known.recheck import recheck
from instances.errors import InputError
from instances.files import PLACEMENT_SUFFIXES, write_placement

DEFAULT_METHODS = ("layer-enumeration", "improve", "layer-generation", "bounds", "milp-compact")
"""What an update runs when it is told neither stores nor methods."""


def execute(arguments: argparse.Namespace) -> int:
    """Do what is asked of the archive."""
    return _ACTIONS[arguments.action](arguments, _path(arguments))


def _path(arguments: argparse.Namespace) -> Path:
    if arguments.archive is None:
        return SHIPPED
    path = Path(arguments.archive)
    if arguments.action == "update":
        return require_writable(arguments.archive, (".csv",))
    if not path.is_file():
        raise InputError("", "no such archive", source=arguments.archive)
    return path


# -- list and show ----------------------------------------------------------------------------


def _list(arguments: argparse.Namespace, path: Path) -> int:
    archive = read_archive(path)
    chosen = find_published(arguments.names)
    if arguments.json:
        print_json(
            {
                "archive": str(path),
                "instances": [_facts(published, archive) for published in chosen],
            }
        )
        return 0
    header = ("instance", "saving ms", "bound ms", "gap", "state", "found by")
    print_columns([header, *(_row(published, archive) for published in chosen)])
    entries = [archive[each.name] for each in chosen if each.name in archive]
    proven = sum(entry.proven is not None for entry in entries)
    bounded = sum(entry.bounded is not None for entry in entries)
    print(
        f"\n{plural(len(chosen), 'instance')}: {len(entries)} with a value, "
        f"{bounded} with a certified bound, {proven} proven"
    )
    return 0


def _row(published: Published, archive: Archive) -> tuple[str, ...]:
    entry = archive.get(published.name)
    if entry is None:
        return published.name, MISSING, MISSING, MISSING, "unknown", MISSING
    bound = "" if entry.bounded is None else value_text(entry.bound_saving_ms)
    return (
        published.name,
        value_text(entry.saving_ms),
        bound or MISSING,
        gap_text(entry.gap) if bound else MISSING,
        "open" if entry.proven is None else "proven",
        entry.found.method,
    )


def _facts(published: Published, archive: Archive) -> dict[str, Any]:
    entry = archive.get(published.name)
    facts: dict[str, Any] = {"instance": published.name, **dataclasses.asdict(published)}
    if entry is not None:
        facts |= dataclasses.asdict(entry)
        facts["gap"] = entry.gap
        del facts["placement"]
    return facts


def _show(arguments: argparse.Namespace, path: Path) -> int:
    if arguments.output is not None:
        require_writable(arguments.output, PLACEMENT_SUFFIXES)
    if arguments.name not in CATALOGUE:
        find_published([arguments.name])  # names what there is, unless it is a family or a size
        raise InputError("instance", f"{arguments.name!r} is not the name of one instance")
    published = CATALOGUE[arguments.name]
    archive = read_archive(path)
    if arguments.json:
        print_json(_facts(published, archive))
    entry = archive.get(published.name)
    if entry is None:
        return complain(f"{published.name}: nothing is known yet", 1, label="")
    if not arguments.json:
        print_block(f"{entry.instance}: {_state(entry)}", _lines(entry))
    if arguments.output is not None:
        instance = published.load()
        write_placement(arguments.output, instance, unpack_placement(entry.placement, instance))
    return 0


def _state(entry: Entry) -> str:
    if entry.proven is not None:
        return "proven"
    return "open" if entry.bounded is None else f"open, gap at most {gap_text(entry.gap)}"


def _lines(entry: Entry) -> dict[str, str]:
    lines = {
        "saving": f"{entry.saving_ms!r} ms per token, {_source(entry.found)}",
        "latency": f"{entry.latency_ms!r} ms per token",
        "bound": "no certified bound",
        "proof": "none",
        "checksum": entry.checksum,
        "instance": f"moeplace generate {entry.family} --size {entry.size} --seed {entry.seed} "
        f"-o {entry.instance}.json",
    }
    if entry.bounded is not None:
        lines["bound"] = f"{entry.bound_saving_ms!r} ms per token, {_source(entry.bounded)}"
    if entry.proven is not None:
        lines["proof"] = _source(entry.proven)
    return lines


def _source(provenance: Provenance) -> str:
    return (
        f"{provenance.method} in {seconds_text(provenance.seconds)} on {provenance.date} "
        f"({provenance.version})"
    )


# -- update and check -------------------------------------------------------------------------


def _update(arguments: argparse.Namespace, path: Path) -> int:
    methods = arguments.methods or (() if arguments.stores else DEFAULT_METHODS)
    algorithms = find_algorithms(methods)
    limits = Limits(
        time_s=arguments.time_limit or DEFAULT_RUN_LIMIT_S, memory_bytes=arguments.memory_limit
    )
    chosen = find_published(arguments.names)
    archivist = Archivist(path)
    stores = [Store.open(store) for store in arguments.stores or ()]
    try:
        known = {store: set(store.results()["checksum"]) for store in stores}
        for published in chosen:
            with spinning(published.name):
                instance = published.load()
                for store in stores:
                    if instance.checksum() in known[store]:
                        archivist.take_from(store, published, instance)
                archivist.run(published, instance, algorithms, limits)
            changes = archivist.account.changes.get(published.name, ())
            if changes:
                print(f"{published.name}: {', '.join(changes)}", file=sys.stderr)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; what was found is kept in {path}") from None
    finally:
        for store in stores:
            store.close()
    account = archivist.account
    if arguments.json:
        print_json({"archive": str(path), "changes": account.changes, "alarms": account.alarms})
    else:
        improved = plural(len(account.changes), "entry", "entries")
        print(f"{improved} of {len(chosen)} improved in {path}")
    for alarm in account.alarms:
        complain(alarm, 1, label="")
    return 1 if account.alarms else 0


def _check(arguments: argparse.Namespace, path: Path) -> int:
    archive = read_archive(path)
    chosen = {published.name for published in find_published(arguments.names)}
    # entries outside the list are wrong, so they are looked at when everything is
    entries = [
        entry for entry in archive.values() if not arguments.names or entry.instance in chosen
    ]
    problems: dict[str, list[str]] = {}
    for entry in entries:
        with spinning(entry.instance):
            found = recheck(entry)
        if found:
            problems[entry.instance] = found
    if arguments.json:
        print_json({"archive": str(path), "entries": len(entries), "problems": problems})
    else:
        print(
            f"{plural(len(entries), 'entry', 'entries')} of {path} checked in exact arithmetic: "
            f"{len(entries) - len(problems)} right, {len(problems)} wrong"
        )
    for name, found in problems.items():
        for problem in found:
            complain(f"{name}: {problem}", 1, label="")
    return 1 if problems or not entries else 0


_ACTIONS: dict[str, Callable[[argparse.Namespace, Path], int]] = {
    "list": _list,
    "show": _show,
    "update": _update,
    "check": _check,
}
