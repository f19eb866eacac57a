"""``moeplace run``: methods on many instances, into a store."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from bench.arguments.commands import DEFAULT_RUN_LIMIT_S
from bench.formats import plural
from bench.jobs import make_plan
from bench.kinds import SETTLED, Kind
from bench.pool import Pool
from bench.presets import AUTO, PRESETS, Batch
from bench.progress import make_progress
from bench.runner import Runner, Tally
from bench.store import Store
from instances.errors import InputError

if TYPE_CHECKING:
    from bench.cluster import Cluster

BROKEN = frozenset(Kind) - SETTLED - {Kind.NO_SOLUTION, Kind.TIME_LIMIT}
"""Kinds of results that are somebody's mistake: the exit code is 1."""

_CHOICES = ("families", "sizes", "instances", "methods", "seeds", "time_limit", "start")


def execute(arguments: argparse.Namespace) -> int:
    """Run what is not finished, and say what there is now."""
    plan = make_plan(_batches(arguments))
    if not plan.num_tasks:
        raise InputError("run", "there is nothing to run: " + "; ".join(plan.left_out))
    with Store.open_for_writing(arguments.store) as store:
        for sentence in plan.left_out:
            print(sentence, file=sys.stderr)
        progress = make_progress(quiet=arguments.quiet, json_lines=arguments.json_lines)
        tally = Tally()
        try:
            with _workers(arguments) as workers:
                runner = Runner(
                    store,
                    workers=workers,
                    memory_bytes=arguments.memory_limit,
                    redo=arguments.redo or "",
                    progress=progress,
                )
                tally = runner.tally
                runner.run(plan)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; {plural(tally.new, 'new attempt')} kept in "
                f"{arguments.store}, and the same command continues"
            ) from None
        finally:
            progress.close()
    if arguments.json_lines:
        _conclude_in_json(tally, arguments.store)
    elif not arguments.quiet:
        _conclude(tally, arguments.store)
    return 1 if any(tally.kinds[kind] for kind in BROKEN) else 0


def _workers(arguments: argparse.Namespace) -> "Pool | Cluster":
    if arguments.scheduler is None:
        return Pool(arguments.jobs or 1)
    if arguments.jobs is not None:
        raise InputError("--jobs", "is for this machine; with --scheduler the cluster decides")
    from bench.cluster import Cluster

    return Cluster(arguments.scheduler)


def _batches(arguments: argparse.Namespace) -> tuple[Batch, ...]:
    given = [name for name in _CHOICES if getattr(arguments, name) is not None]
    if arguments.preset is not None:
        if given:
            option = {"methods": "with"}.get(given[0], given[0].replace("_", "-"))
            raise InputError(
                "--preset", f"{arguments.preset} chooses everything; --{option} cannot go with it"
            )
        return PRESETS[arguments.preset].batches
    if not (arguments.families or arguments.instances):
        raise InputError("run", "give --families, --instances or --preset: nothing to run on")
    return (
        Batch(
            families=tuple(arguments.families or ()),
            sizes=tuple(arguments.sizes or ()),
            seeds=tuple(arguments.seeds or (0,)),
            files=tuple(arguments.instances or ()),
            methods=tuple(arguments.methods or ("heuristics", "exact")),
            time_limit_s=arguments.time_limit or DEFAULT_RUN_LIMIT_S,
            start=arguments.start or AUTO,
        ),
    )


def _conclude_in_json(tally: Tally, store: str) -> None:
    """Write the last line, in the form of those of the attempts."""
    content = {
        "event": "end",
        "store": store,
        "new": tally.new,
        "skipped": tally.skipped,
        "outdated": tally.outdated,
        "kinds": {kind.value: tally.kinds[kind] for kind in Kind if tally.kinds[kind]},
    }
    print(json.dumps(content, ensure_ascii=False))


def _conclude(tally: Tally, store: str) -> None:
    counts = ", ".join(
        f"{tally.kinds[kind]} {kind.value.replace('_', ' ')}" for kind in Kind if tally.kinds[kind]
    )
    print(f"{plural(tally.new + tally.skipped, 'attempt')} in {store}: {counts}")
    if tally.skipped:
        print(f"{tally.skipped} had finished before and were skipped", end="")
        if tally.outdated:
            print(
                f", {tally.outdated} of them with another version of the code or of a plug-in "
                "(--redo outdated runs those again)",
                end="",
            )
        print()
    print(f"next: moeplace report --store {store} -o report")
