"""``moeplace audit``: proved bounds beside measured ratios, in a store or by a search."""

import argparse
import math
from pathlib import Path
from typing import Any

from bench.algorithms import GROUPS, find_algorithms
from bench.audit import BOUND_FORMULA, EXACT_FORMULA, Audit, FamilyLine, Line, Measured, audit
from bench.commands.output import complain, print_block, print_columns, print_json
from bench.formats import MISSING, count_text, latency_ratio_text, plural, saving_ratio_text
from bench.search import Found, Search
from bench.spinner import spinning
from bench.store import Store
from bench.summary import summarise
from instances.errors import InputError
from instances.files import write_instance
from instances.result import Status

DEFAULT_METHODS = ("heuristics",)
"""What a search tries when nothing is named."""


def execute(arguments: argparse.Namespace) -> int:
    """Audit a store, search for bad instances, or both; 1 when a claim is refuted."""
    if arguments.store is None and arguments.search is None:
        raise InputError("audit", "give --store FILE, --search SECONDS, or both")
    if arguments.families and arguments.store is None:
        raise InputError("--families", "belongs to --store FILE, which is missing")
    for name in ("methods", "seed", "output"):
        if arguments.search is None and getattr(arguments, name) is not None:
            option = {"methods": "with"}.get(name, name)
            raise InputError(f"--{option}", "belongs to --search SECONDS, which is missing")
    content: dict[str, Any] = {}
    alarms: list[str] = []
    if arguments.store is not None:
        audited = _audit_store(arguments.store)
        content |= _store_dict(arguments.store, audited)
        alarms += _refuted(audited)
        if not arguments.json:
            _print_store(arguments.store, audited, by_family=arguments.families)
        if not any(line.measured or line.claims for line in audited.lines):
            alarms.append(f"{arguments.store}: no ratio is known: no optimum, or no attempts")
    if arguments.search is not None:
        found = _search(arguments)
        content["search"] = [_found_dict(record, path) for record, path in found]
        alarms += [_broken_text(record, path) for record, path in found if record.broken]
        if not arguments.json:
            _print_search(arguments, found)
    if arguments.json:
        print_json({**content, "ok": not alarms})
    for alarm in alarms:
        complain(alarm, 1, label="")
    return 1 if alarms else 0


# -- a store ----------------------------------------------------------------------------------


def _audit_store(path: str) -> Audit:
    with Store.open(path) as store:
        summary = summarise(store.results())
    known = [algorithm for registry in GROUPS.values() for algorithm in registry]
    return audit(summary, known, {algorithm.name for algorithm in GROUPS["bounds"]})


def _refuted(audited: Audit) -> list[str]:
    rows = audited.contradictions.to_dict("records")
    return [
        f"{'GUARANTEE BROKEN' if row['kind'] == 'guarantee' else 'CLAIM REFUTED'}: "
        f"{row['instance_label']}: {row['detail']}"
        for row in rows
    ]


def _store_dict(path: str, audited: Audit) -> dict[str, Any]:
    return {
        "store": path,
        "algorithms": [line.to_dict() for line in audited.lines],
        "contradictions": audited.contradictions.to_dict("records"),
    }


def _print_store(path: str, audited: Audit, *, by_family: bool) -> None:
    print(f"audit of {path}\n")
    for line in audited.lines:
        print_block(line.label, _line_texts(line))
        if by_family and line.families:
            print_columns([_FAMILY_HEAD, *(_family_row(family) for family in line.families)])


_FAMILY_HEAD = ("", "family", "bound", "smallest", "mean", "instances", "runs", "smallest on")


def _family_row(family: FamilyLine) -> tuple[str, ...]:
    return (
        "",
        family.family,
        MISSING if math.isnan(family.bound) else _bound_text(family.bound),
        saving_ratio_text(family.least.ratio),
        saving_ratio_text(family.mean),
        count_text(family.instances),
        count_text(family.runs),
        family.least.instance,
    )


def _line_texts(line: Line) -> dict[str, str]:
    scope = f", for: {line.scope}" if line.scope else ""
    texts = {"guarantee": f"{line.formula}{scope}" if line.formula else "none"}
    if line.worst is not None:
        count = plural(line.claims, "instance")
        texts["smallest"] = f"{_measured_text(line.worst)}; claimed and measured on {count}"
        if line.closest is not None and line.closest != line.worst:
            texts["closest"] = _measured_text(line.closest)
    elif line.formula not in ("", BOUND_FORMULA):
        texts["smallest"] = "not measured where it is claimed"
    if line.worst_unclaimed is not None:
        texts["unclaimed"] = _measured_text(line.worst_unclaimed)
    if line.bound is not None:
        ratio = latency_ratio_text(line.bound.ratio)
        texts["bound"] = f"U / OPT is at least {ratio}, on {line.bound.instance}"
    if line.certificate is not None:
        share = saving_ratio_text(line.certificate.ratio)
        texts["certificate"] = f"at least {share} of its own bound, on {line.certificate.instance}"
    if line.near_tight:
        texts["near-tight"] = ", ".join(
            f"{family} ({MISSING if math.isnan(ratio) else saving_ratio_text(ratio)})"
            for family, ratio in line.near_tight.items()
        )
    elif line.formula not in ("", EXACT_FORMULA, BOUND_FORMULA):
        texts["near-tight"] = "none known" + (
            ""
            if line.hardest is None
            else f"; on families made for other methods at least {_measured_text(line.hardest)}"
        )
    return texts


def _measured_text(measured: Measured) -> str:
    claim = (
        "where nothing is claimed"
        if math.isnan(measured.bound)
        else f"where the bound is {_bound_text(measured.bound)}"
    )
    return f"{saving_ratio_text(measured.ratio)} on {measured.instance}, {claim}"


def _bound_text(bound: float) -> str:
    return f"{bound:.4g}"


# -- a search ---------------------------------------------------------------------------------


def _search(arguments: argparse.Namespace) -> list[tuple[Found, Path | None]]:
    """Search, write the instances, and return what was found with the files."""
    algorithms = find_algorithms(arguments.methods or DEFAULT_METHODS)
    directory = None if arguments.output is None else Path(arguments.output)
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    search = Search(algorithms, arguments.seed or 0)
    with spinning(f"searching for {arguments.search:g} s"):
        search.run(arguments.search)
    found: list[tuple[Found, Path | None]] = []
    for record in search.found:
        path = None
        if directory is not None:
            path = directory / f"{record.instance.name}.json"
            write_instance(path, record.instance)
        found.append((record, path))
    return found


def _found_dict(record: Found, path: Path | None) -> dict[str, Any]:
    instance = record.instance
    return {
        "with": record.algorithm,
        "instance": instance.name,
        "path": None if path is None else str(path),
        "ratio": record.ratio,
        "bound": record.bound,
        "saving_ms": record.saving_ms,
        "optimum_ms": record.optimum_ms,
        "servers": instance.num_servers,
        "experts": instance.num_experts,
        "top_k": instance.top_k,
        "broken": record.broken,
        "problem": record.problem,
    }


def _print_search(arguments: argparse.Namespace, found: list[tuple[Found, Path | None]]) -> None:
    print(f"worst instances found in {arguments.search:g} s\n")
    for record, path in found:
        shape = (
            f"{plural(record.instance.num_servers, 'server')}, "
            f"{record.instance.num_experts} experts, K = {record.instance.top_k}"
        )
        measured = Measured(record.ratio, shape, record.bound)
        lines = {"smallest": _measured_text(measured)}
        if path is not None:
            lines["instance"] = f"in {path}"
        print_block(record.algorithm, lines)


def _broken_text(record: Found, path: Path | None) -> str:
    place = record.instance.name if path is None else str(path)
    if record.problem:
        return f"{Status.ERROR.upper()}: {record.algorithm} on {place}: {record.problem}"
    return (
        f"GUARANTEE BROKEN: {place}: {record.algorithm} guarantees {record.bound!r} of the "
        f"optimum, {record.optimum_ms!r} ms, but saves {record.saving_ms!r} ms, a share of "
        f"{saving_ratio_text(record.ratio)}"
    )
