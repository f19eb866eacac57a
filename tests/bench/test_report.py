import base64
import csv
import dataclasses
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import formats
from bench.environment import Environment
from bench.facts import describe_instance
from bench.records import AttemptKey, AttemptRecord, InstanceRecord
from bench.report import FIGURES, TABLES, choose_map, render_page, write_report
from bench.store import Store
from bench.summary import summarise
from bench.terminal import terminal_table
from instances.errors import InputError
from instances.files import placement_to_dict
from instances.placement import Placement
from tests.bench.attempts import (
    archive_of,
    attempt,
    benchmark,
    failure,
    frame,
    optimum,
    unsupported,
)

ENVIRONMENT = Environment(
    python="3.11.0",
    platform="Linux",
    cpu="abacus",
    cores=2,
    memory_bytes=7_000_000_000,
    versions={"a": "1"},
)
FAMILIES = ("mixtral", "switch", "gpt-oss", "mixed")
HOSTILE = """<script>alert('x')</script><img src=x onerror="y">&amp;"""
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Tables by id (rows of (exact value, text)), sections, links and scripts of a page."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.ids, self.links, self.scripts, self.tags = {}, [], [], [], set()
        self.sections, self.text, self.attributes = [], [], set()
        self._open, self._table, self._cell = [], None, None
        self.feed(html)
        self.close()
        assert self._open == [], "unclosed elements"

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.attributes |= set(attrs)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.links += [attrs[name] for name in ("href", "src", "xlink:href") if name in attrs]
        if tag == "section":
            self.sections.append(attrs["id"])
        if tag == "table":
            self._table = self.tables.setdefault(attrs.get("id", f"table {len(self.tables)}"), [])
        if tag == "tr":
            self._table.append([])
        if tag in ("td", "th"):
            self._cell = [attrs.get("data-value"), ""]
            self._table[-1].append(self._cell)
        if tag == "small" and self._cell is not None:
            self._cell[1] += "|"
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data):
        self.text.append(data)
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._cell is not None:
            self._cell[1] += data.strip()

    def rows(self, table):
        """Body rows of a table: those that begin with a heading and hold a value."""
        return [row for row in self.tables[table] if any(value is not None for value, _ in row)]


def fill(path, table, placements=None, trajectories=None):
    """Write made-up attempts into a store, as a run would."""
    with Store.open_for_writing(path) as store:
        environment = store.add_environment(ENVIRONMENT)
        for row in table.to_dict("records"):
            store.add_instance(record_of(row))
            key = AttemptKey(
                checksum=row["checksum"],
                algorithm=row["algorithm"],
                parameters=row["parameters"],
                seed=row["seed"],
                time_limit=row["time_limit"],
                start=row["start"],
            )
            names = ("exact", "status", "stop_reason", "reason", "seconds", "saving_ms")
            names += ("latency_ms", "bound_saving_ms", "guarantee", "guarantee_ratio")
            store.record(
                AttemptRecord(
                    key=key,
                    started_at=f"2026-11-23T04:0{len(row['algorithm']) % 10}:00+00:00",
                    code_version="0.1.0+src.abc",
                    environment=environment,
                    placement=(placements or {}).get((row["checksum"], row["algorithm"])),
                    trajectory=(trajectories or {}).get((row["checksum"], row["algorithm"]), ()),
                    **{name: row[name] for name in names},
                )
            )
    return path


def record_of(row):
    layers, experts = row["layers"], row["experts"] // row["layers"]
    shape = {"name": "m", "layers": layers, "experts": experts, "top_k": row["top_k"]}
    names = ("models", "servers", "users", "layers", "experts", "top_k", "rows", "clauses")
    return InstanceRecord(
        checksum=row["checksum"],
        name=row["instance"],
        family=row["family"],
        size=row["size"],
        seed=row["instance_seed"],
        options={},
        model_shapes=({**shape, "expert_bytes": 10},),
        server_shapes=tuple({"name": f"e{n}", "capacity_bytes": 100} for n in range(3)),
        empty_latency_ms=row["empty_latency_ms"],
        code_version="0.1.0+src.abc",
        **{name: row[name] for name in names},
    )


def report(tmp_path, *rows, **options):
    path = fill(tmp_path / "store.sqlite", frame(*rows), **options)
    with Store.open(path) as store:
        return write_report(store, tmp_path / "out")


def page_of(*rows):
    return Page(render_page(summarise(frame(*rows)), {}))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    table = benchmark(FAMILIES)
    best = table[table["status"] == "optimal"].sort_values("clauses").iloc[-1]
    servers = {"e0": [{"model": "m", "layer": 1, "experts": [0, 7]}], "e1": []}
    placement = {"format": "moeplace/placement", "servers": servers}
    placements = {(best["checksum"], best["algorithm"]): placement}
    path = fill(folder / "store.sqlite", table, placements)
    with pytest.MonkeyPatch.context() as patch, Store.open(path) as store:
        patch.setattr("bench.report.read_archive", lambda: archive_of(table))
        return path, write_report(store, folder / "out")


@pytest.fixture(scope="module")
def page(written):
    return Page(written[1].path.read_text(encoding="utf-8"))


# -- the page says what the tables say ------------------------------------------------------------


@pytest.mark.parametrize(("table", "keys"), [("methods", 1), ("families", 2)])
def test_numbers_of_the_page_are_those_of_the_summary(written, page, table, keys):
    frame_ = getattr(written[1].tables, table)
    rows = page.rows(f"table-{table}")
    assert len(rows) == len(frame_) > 0
    shown = {
        "saving_ratio_mean": formats.saving_ratio_text,
        "saving_ratio_worst": formats.saving_ratio_text,
        "latency_ratio_mean": formats.latency_ratio_text,
        "latency_ratio_worst": formats.latency_ratio_text,
        "bound_gap_mean": formats.gap_text,
        "bound_gap_worst": formats.gap_text,
        "seconds_median": formats.seconds_text,
        "seconds_max": formats.seconds_text,
    }
    columns = ["saving_ratio_count", "saving_ratio_mean", "saving_ratio_worst"]
    columns += ["latency_ratio_mean", "latency_ratio_worst"]
    columns += ["bound_gap_count", "bound_gap_mean", "bound_gap_worst"]
    columns += ["seconds_median", "seconds_max", "solved"]
    for cells, wanted in zip(rows, frame_.to_dict("records"), strict=True):
        names = [wanted.get("family"), wanted["label"]][2 - keys :]
        assert [text.partition("|")[0] for _, text in cells[:keys]] == names
        for (value, text), column in zip(cells[keys:], columns, strict=True):
            number = float(value) if value else math.nan
            assert number == wanted[column] or (math.isnan(number) and math.isnan(wanted[column]))
            if column in shown:
                assert text.partition("|")[0] == shown[column](wanted[column])
                assert text.partition("|")[2] in ("", wanted.get(f"{column}_on"))


def test_instances_of_the_page_are_those_of_the_summary(written, page):
    instances = written[1].tables.instances
    rows = page.rows("table-instances")
    assert [row[0][1] for row in rows] == list(instances["instance_label"])
    for row, optimal in zip(rows, instances["optimum_ms"], strict=True):
        assert row[8][0] == ("" if math.isnan(optimal) else repr(optimal))


@pytest.mark.parametrize(
    ("table", "measures"),
    [
        ("over-time", ["primal_integral", "primal_dual_integral"]),
        ("best-known", ["known_gap", "known_bound_gap"]),
    ],
)
def test_measures_of_the_page_are_those_of_the_summary(written, page, table, measures):
    methods = written[1].tables.methods
    counted = methods[methods[f"{measures[0]}_count"] > 0].to_dict("records")
    rows = page.rows(f"table-{table}")
    assert len(rows) == len(counted) > 0
    for cells, wanted in zip(rows, counted, strict=True):
        assert cells[0][1].partition("|")[0] == wanted["label"]
        columns = [f"{name}_{part}" for name in measures for part in ("count", "mean", "worst")]
        columns = ["known_reached"] * (table == "best-known") + columns
        for (value, text), column in zip(cells[1:], columns, strict=True):
            number = float(value) if value else math.nan
            assert number == pytest.approx(wanted[column], rel=0, abs=0, nan_ok=True)
            if column.endswith(("mean", "worst")):
                assert text.partition("|")[0] == formats.beaten_text(wanted[column])


def test_best_known_values_stand_in_the_tables_and_on_the_pages_of_instances(written, page):
    instances = written[1].tables.instances
    rows = page.rows("table-instances")
    assert 0 < instances["known_ms"].notna().sum() < len(instances)
    for row, wanted in zip(rows, instances.to_dict("records"), strict=True):
        for (value, _), name in zip(
            row[-3:], ("known_ms", "known_gap", "known_bound_gap"), strict=True
        ):
            assert value == ("" if math.isnan(wanted[name]) else repr(wanted[name]))
    text = "".join(page.text)
    assert "from the archive of published instances. The best placement here saves more" in text
    assert "from the archive of published instances. The best placement here misses 1.00 %" in text


STATISTICS = {
    "methods": "a mean over families",
    "standings": "ranks and critical differences",
    "over-time": "for methods that tell nothing before their end",
    "published": "the gap to the best known saving",
}


def test_every_statistic_says_when_not_to_use_it(page, written):
    html = written[1].path.read_text(encoding="utf-8")
    for section, begin in STATISTICS.items():
        part = html.partition(f'<section id="{section}">')[2].partition("</section>")[0]
        assert f"<strong>When not to use it:</strong> {begin}" in part, section
    for name in set(FIGURES) - {"placement"}:
        part = html.partition(f'<figure id="figure-{name}">')[2].partition("</figure>")[0]
        assert "<strong>When not to use it:</strong>" in part, name


def test_csv_files_hold_every_run_and_every_aggregate(written):
    folder = written[1].path.parent
    with open(folder / "results.csv", encoding="utf-8", newline="") as file:
        results = list(csv.DictReader(file))
    with open(folder / "summary.csv", encoding="utf-8", newline="") as file:
        families = list(csv.DictReader(file))
    assert len(results) == written[1].attempts == len(benchmark(FAMILIES))
    assert len(families) == len(written[1].tables.families)
    for row in results:
        if row["optimum_ms"] and row["saving_ms"] and row["optimum_ms"] != "0.0":
            ratio = float(row["saving_ms"]) / float(row["optimum_ms"])
            assert float(row["saving_ratio"]) == ratio
            assert not row["bound_gap"]


def test_the_terminal_shows_the_same_numbers(written):
    console = Console(file=StringIO(), width=200)
    console.print(terminal_table(written[1]))
    lines = console.file.getvalue().splitlines()
    for row in written[1].tables.methods.to_dict("records"):
        (line,) = [line for line in lines if line.startswith(row["label"] + " ")]
        words = line.split()
        assert formats.saving_ratio_text(row["saving_ratio_mean"]) == words[1]
        assert formats.saving_ratio_text(row["saving_ratio_worst"]) == words[2]
        assert f"{row['solved']}/{row['attempts']}" == words[-1]
        assert row["saving_ratio_worst_on"] in line


@pytest.mark.parametrize("by_family", [False, True])
def test_the_terminal_table_fits_eighty_columns(written, by_family):
    console = Console(file=StringIO(), width=80)
    console.print(terminal_table(written[1], by_family=by_family))
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert any(line.startswith("layer-enumeration 1.0000 1.0000") for line in lines)


# -- one file, safe, the same every time ----------------------------------------------------------


def test_the_page_needs_nothing_but_itself(page, written):
    for link in page.links:
        if link.startswith("#") or link.startswith("data:"):
            continue
        assert (written[1].path.parent / link).is_file(), link
    html = written[1].path.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' <)]*", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in html
    assert "link" not in page.tags


def test_links_within_the_page_resolve_and_identifiers_are_unique(page):
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_only_the_script_of_the_report_may_run(page, written):
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = written[1].path.read_text(encoding="utf-8")
    assert f"script-src 'sha256-{digest}'" in html


def test_the_same_store_gives_the_same_bytes(written, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.report.read_archive", lambda: archive_of(benchmark(FAMILIES)))
    with Store.open(written[0]) as store:
        write_report(store, tmp_path)
    first = written[1].path.parent
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert {path.name for path in files} == {
        *("index.html", "results.csv", "summary.csv"),
        *(f"{name}.{suffix}" for name in FIGURES for suffix in ("svg", "pdf")),
        *(f"{name}.tex" for name in TABLES),
    }
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for path in files:
        assert (first / path).read_bytes() == (tmp_path / path).read_bytes(), path


def test_names_cannot_become_markup(tmp_path):
    common = {"family": HOSTILE, "instance": HOSTILE, "size": HOSTILE}
    rows = [optimum(100.0, **common), attempt(saving_ms=120.0, guarantee=HOSTILE, **common)]
    rows += [attempt(algorithm=HOSTILE, **common), failure(seed=5, reason=HOSTILE, **common)]
    rows += [
        attempt(algorithm="dp", parameters=json.dumps({HOSTILE: HOSTILE})),
        attempt(algorithm="dp", seed=1),
    ]
    result = report(tmp_path, *rows)
    page = Page(result.path.read_text(encoding="utf-8"))
    assert len(page.scripts) == 1
    assert "img" not in page.tags
    assert not {name for name in page.attributes if name.startswith("on")}
    assert any(HOSTILE in text for text in page.text)
    console = Console(file=StringIO(), width=300)
    console.print(terminal_table(result))
    assert "alert('x')" in console.file.getvalue()


def test_names_are_not_markup_of_the_terminal(tmp_path):
    result = report(tmp_path, attempt(algorithm="[red]x[/red]"))
    console = Console(file=StringIO(), width=100)
    console.print(terminal_table(result))
    assert "[red]x[/red]" in console.file.getvalue()


# -- what stands out ------------------------------------------------------------------------------


def test_contradictions_come_first_and_are_counted(tmp_path):
    promise = {"guarantee": "F >= OPT / 2", "guarantee_ratio": 0.5}
    other = {"instance": "other", "checksum": "c1"}
    rows = [optimum(100.0), optimum(101.0, algorithm="scip")]
    rows += [optimum(100.0, **other), attempt(saving_ms=40.0, **promise, **other)]
    result = report(tmp_path, *rows)
    assert result.contradictions == 2
    page = Page(result.path.read_text(encoding="utf-8"))
    assert page.sections[0] == "contradictions"
    text = " ".join(page.text)
    assert "2 contradictions: something is wrong" in text
    assert "greedy guarantees 0.5 of the optimum (F >= OPT / 2), but saves 40.0 ms" in text
    assert "No contradictions" not in text
    console = Console(file=StringIO(), width=200)
    console.print(terminal_table(result))
    assert console.file.getvalue().startswith("2 contradictions:")


def test_the_matrix_leaves_perfect_exact_methods_out_and_says_so(page):
    assert "perfect wherever they answer: layer-enumeration (exact)" in " ".join(page.text)


def test_a_clean_report_says_so(page, written):
    assert written[1].contradictions == 0
    assert "contradictions" not in page.sections
    assert "No contradictions:" in " ".join(page.text)


def test_failures_and_guarantees_are_told_with_their_reasons(page):
    text = " ".join(page.text)
    assert "a layer of 32 experts is more than 20" in text
    assert "memory_limit" in text
    assert "F >= OPT / 2 (K = 1)" in text


def test_bounds_stand_beside_ratios_family_by_family():
    promise = {"guarantee": "F >= r OPT", "guarantee_ratio": 0.5}
    other = {"instance": "b", "checksum": "b", "family": "switch"}
    rows = [optimum(100.0), attempt(saving_ms=70.0, **promise), attempt(saving_ms=80.0, **promise)]
    rows += [optimum(100.0, **other), attempt(saving_ms=30.0, **other)]
    page = Page(render_page(summarise(frame(*rows)), {}))
    mixtral, switch = page.rows("table-bounds")
    assert [text for _, text in mixtral[:2]] == ["greedy", "mixtral"]
    assert [float(value) for value, _ in mixtral[2:]] == pytest.approx([0.5, 0.7, 0.75, 0.2, 2])
    assert mixtral[3][1] == "0.7000|mixtral-tiny-s0"
    assert (switch[1][1], switch[2]) == ("switch", ["", "–"])  # noqa: RUF001  (a dash)


def test_a_guarantee_that_is_no_number_in_advance_is_told_too():
    rows = [optimum(100.0), attempt(algorithm="layer-generation", saving_ms=90.0)]
    rows += [attempt(algorithm="random", saving_ms=50.0), attempt(algorithm="not-installed-here")]
    page = Page(render_page(summarise(frame(*rows)), {}))
    (row,) = page.rows("table-guarantees")
    assert row[0][1] == "layer-generation"
    assert row[1][1].startswith("F >= LP - (sum of the N largest layer values)")
    assert [value for value, _ in row[2:]] == ["", "", "", "0.9"]


def test_certified_gaps_have_columns_where_there_are_any():
    claim = attempt(bound_saving_ms=100.0, saving_ms=75.0)
    plain = Page(render_page(summarise(frame(claim)), {}))
    assert "Certified gap" not in " ".join(plain.text)
    certified = Page(render_page(summarise(frame(claim | {"bound_certified": True})), {}))
    assert "Certified gap" in " ".join(certified.text)
    (before,), (row,) = plain.rows("table-methods"), certified.rows("table-methods")
    assert len(row) == len(before) + 3
    assert [float(value) for value, _ in row[9:12]] == [1, 0.25, 0.25]
    (instance,) = certified.rows("table-instances")
    assert instance[11] == ["100.0", "100|greedy"]
    # With an optimum there is a certified bound, but nothing that a gap to it would tell.
    both = Page(render_page(summarise(frame(claim | {"bound_certified": True}, optimum(90.0))), {}))
    assert len(both.rows("table-methods")[0]) == len(before) - 3
    assert both.rows("table-instances")[0][11][0] == "100.0"


def test_limitations_method_versions_and_machine_are_told(page):
    assert {"method", "limitations", "machine", "guarantees", "failures"} <= set(page.sections)
    text = " ".join(page.text)
    for words in ("abacus, 2 cores", "Python 3.11.0", "0.1.0+src.abc", "2026-11-23 04:0"):
        assert words in text


def test_several_versions_of_the_code_are_a_warning():
    runs = {"first": "", "last": "", "environments": [], "code_versions": ["1", "2"]}
    html = render_page(summarise(frame(attempt())), {}, runs)
    assert "The runs come from 2 versions of the code." in html


# -- edges ----------------------------------------------------------------------------------------


def test_an_empty_store_gives_a_page_that_says_so(tmp_path):
    result = report(tmp_path)
    assert (result.attempts, result.contradictions) == (0, 0)
    page = Page(result.path.read_text(encoding="utf-8"))
    assert "The store holds no runs yet." in " ".join(page.text)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    console = Console(file=StringIO())
    console.print(terminal_table(result))
    assert "0 runs on 0 instances" in console.file.getvalue()


@pytest.mark.parametrize(
    "rows",
    [
        [attempt()],
        [failure(), failure(algorithm="dp", stop_reason="memory_limit")],
        [unsupported()],
        [optimum(100.0)],
        [optimum(0.0), attempt(saving_ms=0.0), attempt(algorithm="b", saving_ms=0.0)],
        [attempt(bound_saving_ms=math.inf), attempt(algorithm="b", bound_saving_ms=math.nan)],
        [optimum(200.0), attempt(saving_ms=0.0)],
        [optimum(1e300, empty_latency_ms=1e301), attempt(saving_ms=1, empty_latency_ms=1e301)],
        [attempt(instance_seed=None, seed=None, family="", size="", time_limit=None)],
    ],
    ids=[
        *("one row", "all failed", "unsupported", "exact only", "nothing to save", "no bound"),
        *("optimum takes no time", "huge", "imported"),
    ],
)
def test_odd_stores_give_whole_pages(tmp_path, rows):
    result = report(tmp_path, *rows)
    html = result.path.read_text(encoding="utf-8")
    Page(html)
    assert not re.search(r">\s*(nan|None|inf)\s*<", html)
    assert result.attempts == len(rows)
    Console(file=StringIO(), width=80).print(terminal_table(result))


def test_where_nothing_can_be_saved_the_page_says_what_the_ratio_means():
    text = " ".join(page_of(optimum(0.0), attempt(saving_ms=0.0)).text)
    assert "On 1 instance nothing can be saved (F* = 0)" in text


def test_a_picture_of_bounds_needs_two_instances(tmp_path):
    stopped = {"algorithm": "milp", "exact": True, "bound_saving_ms": 100.0}
    report(tmp_path, attempt(), attempt(**stopped))
    assert not (tmp_path / "out/figures/gap-to-bound.svg").exists()
    other = {"checksum": "b", "instance": "b"}
    (tmp_path / "store.sqlite").unlink()
    report(tmp_path, attempt(), attempt(**stopped), attempt(**other), attempt(**stopped, **other))
    assert (tmp_path / "out/figures/gap-to-bound.svg").exists()


def test_figures_of_an_earlier_report_do_not_stay(tmp_path):
    report(tmp_path, optimum(100.0), attempt())
    assert (tmp_path / "out/figures/gap-to-optimum.svg").exists()
    (tmp_path / "out/figures/mine.svg").write_text("kept")
    (tmp_path / "store.sqlite").unlink()
    report(tmp_path, attempt())
    assert not (tmp_path / "out/figures/gap-to-optimum.svg").exists()
    assert (tmp_path / "out/figures/mine.svg").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=r"out: cannot be made a directory"):
        report(tmp_path, attempt())


def test_counts_for_programs(written):
    facts = written[1].to_dict()
    assert facts["attempts"] == len(benchmark(FAMILIES))
    assert facts["path"].endswith("index.html")
    assert facts["contradictions"] == 0
    assert facts["failed"] + facts["unsupported"] == (~written[1].tables.attempts["solved"]).sum()


# -- the map --------------------------------------------------------------------------------------


def test_the_map_shows_what_is_stored(written):
    with Store.open(written[0]) as store:
        shown = choose_map(store, written[1].tables)
    assert shown is not None
    assert shown.servers == ("e0", "e1", "e2")
    assert shown.optimal
    assert [tuple(pair) for pair in zip(*shown.stored.nonzero(), strict=True)] == [(0, 8), (0, 15)]
    assert list(shown.used_shares) == [0.2, 0.0, 0.0]


def test_the_map_of_a_real_instance(tmp_path, tiny):
    # Models of unequal size and experts of unequal size: the shares of storage must match.
    placement = Placement.of(tiny, [(0, 0), (tiny.num_servers - 1, tiny.num_experts - 1)])
    record = describe_instance(
        tiny, family="tiny", size="tiny", seed=0, options={}, code_version="v"
    )
    with Store.open_for_writing(tmp_path / "s.sqlite") as store:
        store.add_instance(record)
        made = AttemptRecord(
            key=AttemptKey(checksum=record.checksum, algorithm="greedy"),
            exact=False,
            status="feasible",
            stop_reason="completed",
            reason="",
            seconds=0.1,
            started_at="2026-11-23T04:00:00+00:00",
            code_version="v",
            environment=store.add_environment(ENVIRONMENT),
            saving_ms=0.0,
            latency_ms=record.empty_latency_ms,
            placement=placement_to_dict(tiny, placement),
        )
        store.record(made)
        store.record(
            dataclasses.replace(
                made, key=dataclasses.replace(made.key, algorithm="a"), uid="2", placement=None
            )
        )
        shown = choose_map(store, summarise(store.results()))
    assert shown is not None
    assert shown.method == "greedy"  # the other run kept no placement
    assert (shown.stored == placement.stored).all()
    used = placement.used_bytes(tiny) / tiny.capacity_bytes
    assert list(shown.used_shares) == pytest.approx(list(used))


def test_without_placements_there_is_no_map(tmp_path):
    result = report(tmp_path, attempt())
    assert not Path(tmp_path / "out/figures/placement.svg").exists()
    assert "A placement" not in result.path.read_text(encoding="utf-8")
