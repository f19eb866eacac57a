"""The report of a store: one self-contained page, two tables as CSV, the figures as files."""

import base64
import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from bench import formats
from bench.curves import draw_gaps_over_time, draw_profile, draw_quantiles
from bench.drawing import Drawing
from bench.grids import matrix, records, time_matrix
from bench.growth.document import Growth
from bench.growth.plot import DRAWINGS as GROWTH_DRAWINGS
from bench.growth.plot import draw_growth
from bench.growth.table import STEEP, exponent_text, per_row_text
from bench.growth.table import arrange as arrange_growth
from bench.headline import find_headline
from bench.held_out_table import arrange, floor_text, size_text
from bench.instance_pages import InstancePage, describe_pages, map_of, rank_placements
from bench.latex import latex_tables
from bench.page_data import page_data
from bench.placement_map import PlacementMap, draw_map
from bench.plots import draw_gaps, draw_times
from bench.published import published_sizes
from bench.standings import find_standings
from bench.store import Store
from bench.studies import Study
from bench.summary import Summary, size_rank, summarise
from heuristics import HEURISTICS
from instances.best_known.archive import read_archive
from instances.errors import InputError
from instances.files import write_atomically
from instances.result import CLAIM_TOLERANCE, StopReason
from instances.simulation.held_out import SPLITS

FIGURES = (
    *("gap-to-optimum", "gap-to-bound", "time", "profile", "quantiles", "gap-over-time"),
    "placement",
)
"""Names of all figures that a report can hold."""

TABLES = ("methods", "families", "instances", "guarantees", "over-time", "best-known")
"""Names of all LaTeX tables that a report can hold."""

_MOST_LETTERS = 60
"""Lists of names in the table of instances end about here; their pages have all names."""

_SCRIPTS = ("numbers", "data", "tables", "filters", "plot", "figures", "instances", "report")
"""Parts of the script, in their order."""

_NO_RUNS = {"first": "", "last": "", "environments": [], "code_versions": [], "plugins": []}

_HIDDEN = ("unsupported", "solved", "failed")
"""Columns that repeat others; they stay out of results.csv."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSummary:
    """What was written.

    Parameters
    ----------
    path
        The page.
    attempts, solved, failed, unsupported
        Attempts in the store, and how they ended.
    instances, proven
        Instances, and how many of them have a proven optimum.
    contradictions
        Claims that other attempts refute; anything but 0 means that something is wrong.
    tables
        All tables, see :class:`bench.summary.Summary`.
    """

    path: Path
    attempts: int
    solved: int
    failed: int
    unsupported: int
    instances: int
    proven: int
    contradictions: int
    tables: Summary

    def to_dict(self) -> dict[str, Any]:
        """Return the counts for a program."""
        names = ("attempts", "solved", "failed", "unsupported", "instances", "proven")
        counts = {name: getattr(self, name) for name in names}
        return {"path": str(self.path), **counts, "contradictions": self.contradictions}


def write_report(
    store: Store,
    directory: Path,
    *,
    held_out: Sequence[Study] = (),
    growth: Growth | None = None,
) -> ReportSummary:
    """Write index.html, results.csv, summary.csv, figures and LaTeX tables into a directory.

    Every file is written whole or not at all, the page last. The same store gives the same bytes.
    ``held_out`` is what was measured on held-out traffic, ``growth`` how time and memory grow with
    size, each for a section of its own.

    Raises
    ------
    InputError
        When the directory cannot be made, or the store does not hold what it should.
    """
    results = store.results()
    trajectories = store.trajectories()
    summary = summarise(results, archive=read_archive(), trajectories=trajectories)
    drawings = _draw(store, summary, trajectories)
    if growth is not None:
        drawings |= {drawing.name: drawing for drawing in draw_growth(growth)}
    pages = describe_pages(store, summary)
    runs = _describe_runs(store, results)
    page = render_page(summary, drawings, runs, pages, held_out, growth)
    files: dict[str, bytes] = {}
    for name, drawing in drawings.items():
        files[f"figures/{name}.svg"] = drawing.file.encode()
        files[f"figures/{name}.pdf"] = drawing.paper
    for name, text in latex_tables(summary).items():
        files[f"tables/{name}.tex"] = text.encode()
    names = (*FIGURES, *GROWTH_DRAWINGS)
    possible = {f"figures/{name}.{suffix}" for name in names for suffix in ("svg", "pdf")}
    possible |= {f"tables/{name}.tex" for name in TABLES}
    directory = Path(directory)
    try:
        for folder in ("figures", "tables"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot be made a directory ({error.strerror})"
        raise InputError("", problem, source=str(directory)) from error
    for name in sorted(possible - set(files)):  # of an earlier report: it must not pass for this
        (directory / name).unlink(missing_ok=True)
    for name, content in files.items():
        write_atomically(directory / name, content)
    results_csv = summary.attempts.drop(columns=list(_HIDDEN))
    write_atomically(directory / "results.csv", csv_bytes(results_csv))
    write_atomically(directory / "summary.csv", csv_bytes(summary.families))
    write_atomically(directory / "index.html", page.encode())
    attempts = summary.attempts
    return ReportSummary(
        path=directory / "index.html",
        attempts=len(attempts),
        solved=int(attempts["solved"].sum()),
        failed=int(attempts["failed"].sum()),
        unsupported=int(attempts["unsupported"].sum()),
        instances=len(summary.instances),
        proven=int(summary.instances["optimum_ms"].notna().sum()),
        contradictions=len(summary.contradictions),
        tables=summary,
    )


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV, UTF-8; numbers so that they read back exactly, empty where unknown."""
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text.encode()


def render_page(
    summary: Summary,
    drawings: dict[str, Drawing],
    runs: dict[str, Any] | None = None,
    pages: Sequence[InstancePage] = (),
    held_out: Sequence[Study] = (),
    growth: Growth | None = None,
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    summary
        The tables.
    drawings
        Figures by name; those that are missing are left out.
    runs
        ``first`` and ``last`` (when the runs started), ``environments``, ``code_versions``, and
        ``plugins`` with the number of attempts of each; an empty name stands for our own.
    pages
        What the store tells about each instance beside the tables; in their order, or none.
    held_out
        Measurements on held-out traffic.
    growth
        How time and memory grow with size.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for name in ("saving_ratio", "latency_ratio", "gap", "percent_of_optimum", "seconds", "value"):
        environment.filters[name] = getattr(formats, f"{name}_text")
    environment.filters["beaten"] = formats.beaten_text
    environment.filters |= {"count": formats.count_text, "moment": formats.moment_text}
    environment.filters["unbroken"] = _unbroken
    environment.filters["exactly"] = _exactly
    environment.filters |= {"bound": formats.bound_text, "percent": _percent, "few": _few}
    environment.filters |= {"tenths": _tenths, "floor": floor_text, "size": size_text}
    environment.filters |= {"exponent": exponent_text, "per_row": per_row_text}
    environment.globals["plural"] = formats.plural
    script = "".join(_source(f"{name}.js") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    attempts = summary.attempts
    instances = summary.instances
    families = sorted(set(attempts["family"]))
    archive = read_archive()
    published = published_sizes(archive.values())
    sizes = sorted(set(attempts["size"]), key=size_rank)
    index = {
        "family": {name: number for number, name in enumerate(families)},
        "size": {name: number for number, name in enumerate(sizes)},
        "method": {name: number for number, name in enumerate(summary.methods["label"])},
    }
    return environment.get_template("report.html.j2").render(
        style=_source("report.css"),
        script=script,
        script_digest=digest,
        version=metadata.version("moeplace"),
        runs={**_NO_RUNS, **(runs or {})},
        headline=find_headline(summary),
        num_attempts=len(attempts),
        num_unjudged=_count_unjudged(attempts),
        num_families=len(families),
        num_proven=int(instances["optimum_ms"].notna().sum()),
        num_bounded=int((instances["optimum_ms"].isna() & instances["bound_ms"].notna()).sum()),
        num_nothing_to_save=int((instances["optimum_ms"] == 0).sum()),
        wrong_claims=int((attempts["stop_reason"] == StopReason.WRONG_CLAIM).sum()),
        methods=records(summary.methods),
        families=records(summary.families),
        family_names=families,
        instances=records(instances),
        failures=records(summary.failures),
        guarantees=[*records(summary.guarantees), *_not_in_advance(summary)],
        bounds=records(summary.bounds),
        contradictions=records(summary.contradictions),
        ratio_matrix=matrix(summary, "saving_ratio"),
        gap_matrix=matrix(summary, "bound_gap"),
        time_matrix=time_matrix(summary),
        any_certified=bool((summary.methods["certified_gap_count"] > 0).any()),
        any_certificate=bool(instances["certified_ms"].notna().any()),
        any_gap=bool((summary.methods["bound_gap_count"] > 0).any()),
        unmeasured_families=_unmeasured(summary.families),
        some_at_limit=bool((summary.times["at_limit"] > 0).any()),
        drawings=drawings,
        published=published,
        published_sizes=sorted(
            {size for sizes in published.values() for size in sizes}, key=size_rank
        ),
        num_published=len(archive),
        standings=find_standings(summary),
        held_out=[arrange(study) for study in held_out],
        splits=SPLITS,
        growth=growth,
        growth_tables=[] if growth is None else arrange_growth(growth),
        steep=STEEP,
        attempts_of=_by_instance(attempts),
        pages=pages,
        sizes=sizes,
        index=index,
        tables=list(latex_tables(summary)),
        any_known=bool(instances["known_ms"].notna().any()),
        any_over_time=bool((summary.methods["primal_integral_count"] > 0).any()),
        data=page_data(summary, pages),
        tolerance=f"{CLAIM_TOLERANCE:g}",
    )


def _percent(share: float) -> str:
    """Write a share in whole percent, rounded down; a dash where it is unknown."""
    return formats.MISSING if math.isnan(share) else f"{math.floor(100 * share + 1e-9)} %"


def _tenths(share: float) -> str:
    """Write a share in percent with one decimal, rounded down."""
    return f"{math.floor(1e3 * share + 1e-9) / 10:.1f} %"


def _few(names: str) -> str:
    """Cut a long list of names after the first ones."""
    if len(names) <= _MOST_LETTERS:
        return names
    kept = names[:_MOST_LETTERS].rpartition(", ")[0]
    return f"{kept} and others" if kept else names


def _by_instance(attempts: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the runs on each instance, the largest saving first."""
    seeds = ["" if pd.isna(seed) else str(seed) for seed in attempts["seed"]]
    order = attempts.assign(seed=seeds).sort_values(
        ["saving_ms", "label"], ascending=[False, True], kind="stable", na_position="last"
    )
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in records(order):
        runs.setdefault(row["checksum"], []).append(row)
    return runs


def _not_in_advance(summary: Summary) -> list[dict[str, Any]]:
    """Return rows for methods whose guarantee is no number before they have run."""
    labels = summary.attempts.drop_duplicates("label").set_index("label")["algorithm"]
    worst = summary.methods.set_index("label")
    return [
        {
            "label": label,
            "guarantee": f"{guarantee.formula} ({guarantee.scope})",
            "instances": worst.loc[label, "instances"],
            "covered": 0,
            **dict.fromkeys(("claimed_least", "claimed_most", "margin"), math.nan),
            **{"saving_ratio_worst": math.nan, "saving_ratio_worst_on": "", "margin_on": ""},
            "elsewhere_worst": worst.loc[label, "saving_ratio_worst"],
            "elsewhere_worst_on": worst.loc[label, "saving_ratio_worst_on"],
        }
        for label, name in sorted(labels.items())
        if label not in set(summary.guarantees["label"])
        and name in HEURISTICS
        and (guarantee := HEURISTICS.get(name).guarantee) is not None
    ]


def _unbroken(text: str) -> str:
    """Keep a number and its unit on one line."""
    return re.sub(r"(?<=\d) (?=%|(?:µs|ms|s|min|h)\b)", "\N{NO-BREAK SPACE}", text)


def _source(name: str) -> str:
    return (resources.files("bench") / "templates" / name).read_text(encoding="utf-8")


def _exactly(value: float) -> str:
    """Write a number so that it reads back exactly; nothing where it is unknown."""
    return "" if math.isnan(value) else repr(float(value))


def _count_unjudged(attempts: pd.DataFrame) -> int:
    judged = attempts["saving_ratio"].notna() | attempts["bound_gap"].notna()
    return int((attempts["solved"] & ~judged).sum())


def _unmeasured(families: pd.DataFrame) -> list[str]:
    measured = families[["saving_ratio_count", "bound_gap_count"]].sum(axis=1) > 0
    return sorted(set(families["family"]) - set(families.loc[measured, "family"]))


def _describe_runs(store: Store, results: pd.DataFrame) -> dict[str, Any]:
    used = results["environment"].value_counts()
    started = results["started_at"]
    return {
        "first": "" if results.empty else min(started),
        "last": "" if results.empty else max(started),
        "environments": [
            {"facts": environment, "attempts": int(used[number])}
            for number, environment in store.environments().items()
            if number in used.index
        ],
        "code_versions": sorted(set(results["code_version"])),
        "plugins": sorted(Counter(results["plugin"]).items()),
    }


def _draw(store: Store, summary: Summary, trajectories: pd.DataFrame) -> dict[str, Drawing]:
    attempts = summary.attempts
    rated = attempts.assign(optimum_gap=1 - attempts["saving_ratio"])
    made = [draw_gaps(rated, "gap-to-optimum", "optimum_gap"), draw_times(attempts, "time")]
    bounded = rated.loc[rated["bound_gap"].notna(), "checksum"].nunique()
    if bounded > 1:  # of one instance the table tells all
        made.append(draw_gaps(rated, "gap-to-bound", "bound_gap"))
    shown = choose_map(store, summary)
    made += [draw_profile(attempts, "profile"), draw_quantiles(attempts, "quantiles")]
    made.append(draw_gaps_over_time(attempts, summary.instances, trajectories, "gap-over-time"))
    if shown is not None:
        made.append(draw_map(shown, "placement"))
    return {drawing.name: drawing for drawing in made if drawing is not None}


def choose_map(store: Store, summary: Summary) -> PlacementMap | None:
    """Return the best placement of the largest instance, proven optimal where there is one."""
    for row in rank_placements(summary.attempts).to_dict("records"):
        placement = store.placement(row["attempt_id"])
        if placement is not None:
            return map_of(store.instance_record(row["checksum"]), row, placement)
    return None
