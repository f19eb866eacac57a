"""``moeplace compare``: what became better or worse between two stores or two versions."""

import argparse
import math

import pandas as pd

from bench.commands.output import complain, print_columns, print_json
from bench.comparison import Change, Comparison, as_dict, compare
from bench.formats import plural
from bench.store import Store
from instances.errors import InputError


def execute(arguments: argparse.Namespace) -> int:
    """Compare; 1 when something became significantly worse."""
    old, new = _sides(arguments)
    cpus = set(old["cpu"]) | set(new["cpu"])
    comparison = compare(
        old,
        new,
        time_tolerance=arguments.time_tolerance,
        same_machine=len(cpus) == 1,
    )
    if arguments.json:
        print_json(_as_json(comparison))
    else:
        _print(comparison)
    for change in comparison.worse:
        complain(f"worse: {change.method}: {change.quantity} {_interval(change)}", 1, label="")
    return 1 if comparison.worse else 0


def _sides(arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    stores = arguments.stores
    versions = arguments.versions or (None, None)
    if len(stores) > 2:
        raise InputError("compare", f"{len(stores)} stores are given; two can be compared")
    if len(stores) == 1 and arguments.versions is None:
        raise InputError("compare", "give a second store, or --versions OLD NEW")
    return _side(stores[0], versions[0]), _side(stores[-1], versions[1])


def _side(path: str, version: str | None) -> pd.DataFrame:
    with Store.open(path) as store:
        frame = store.results(history=version is not None)
        cpus = {number: machine.cpu for number, machine in store.environments().items()}
    frame["cpu"] = frame["environment"].map(cpus)
    if version is None:
        return frame
    known = sorted(set(frame["code_version"]))
    meant = [name for name in known if name == version or name.endswith(version)]
    if len(meant) != 1:
        problem = "is not clear" if meant else "is not there"
        raise InputError(
            "--versions", f"{version!r} {problem}; known: {', '.join(known)}", source=path
        )
    frame = frame[frame["code_version"] == meant[0]].sort_values(["started_at", "attempt_id"])
    key = ["checksum", "algorithm", "parameters", "seed", "time_limit", "start"]
    return frame.drop_duplicates(key, keep="last")


def _as_json(comparison: Comparison) -> dict[str, object]:
    return {
        "pairs": comparison.pairs,
        "only_old": comparison.only_old,
        "only_new": comparison.only_new,
        "times_judged": comparison.same_machine,
        "changes": [dict(as_dict(change)) for change in comparison.changes],
        "ok": not comparison.worse,
    }


def _print(comparison: Comparison) -> None:
    changed = [change for change in comparison.changes if change.verdict != "same"]
    print(
        f"{plural(comparison.pairs, 'pair')}; {comparison.only_old} attempts only in the first, "
        f"{comparison.only_new} only in the second"
    )
    if not comparison.same_machine:
        print("different processors: times are shown, but not judged")
    if changed:
        rows: list[tuple[str, ...]] = [
            ("method", "quantity", "pairs", "better", "worse", "change", "verdict")
        ]
        rows += [
            (
                change.method,
                change.quantity,
                str(change.pairs),
                str(change.better),
                str(change.worse),
                _interval(change),
                change.verdict,
            )
            for change in changed
        ]
        print_columns(rows)
    same = len(comparison.changes) - len(changed)
    if same:
        print(f"no difference at all in {same} of {len(comparison.changes)} lines")


def _interval(change: Change) -> str:
    if change.quantity == "time":
        mean, low, high = (f"{math.exp(v):.3g}" for v in (change.mean, change.low, change.high))
        return f"x{mean} as fast [{low}, {high}]"
    mean, low, high = (f"{100 * v:+.3g}" for v in (change.mean, change.low, change.high))
    return f"{mean} % [{low}, {high}]"
