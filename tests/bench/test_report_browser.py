"""The report in a real browser: Debian's Chromium, driven by Playwright."""

import math
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright import sync_api as playwright

from bench import formats
from bench.anytime import mean_gaps
from bench.incumbent import Step
from bench.report import write_report
from bench.statistics import cost_table, performance_profile, quantile_curves
from bench.store import Store
from bench.summary import aggregate, group_failures, tabulate_times
from tests.bench.attempts import archive_of, attempt, benchmark, failure, frame, optimum
from tests.bench.test_growth import STUDY
from tests.bench.test_report import HOSTILE, fill

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium (on Debian: apt-get install chromium)"
)

FAMILIES = ("mixtral", "switch", "gpt-oss", "mixed")
SERVERS = {"e0": [{"model": "m", "layer": 1, "experts": [0, 6]}], "e1": []}
PLACEMENT = {"format": "moeplace/placement", "servers": SERVERS}
STEPS = tuple(
    Step(seconds=s, saving_ms=f, bound_saving_ms=b, bound_certified=False)
    for s, f, b in ((0.01, math.nan, 90.0), (0.1, 20.0, 90.0), (1.0, 50.0, 70.0))
)
RATINGS = {
    "saving_ratio_count": formats.count_text,
    "saving_ratio_mean": formats.saving_ratio_text,
    "saving_ratio_worst": formats.saving_ratio_text,
    "latency_ratio_mean": formats.latency_ratio_text,
    "latency_ratio_worst": formats.latency_ratio_text,
    "bound_gap_count": formats.count_text,
    "bound_gap_mean": formats.gap_text,
    "bound_gap_worst": formats.gap_text,
    "seconds_median": formats.seconds_text,
    "seconds_max": formats.seconds_text,
}
CELLS = """rows => rows.filter(row => !row.hidden).map(row => [...row.cells]
    .filter(cell => !cell.hidden).map(cell => [cell.dataset.value ?? null,
    cell.firstChild?.textContent.trim() ?? "", cell.querySelector("small")?.textContent ?? ""]))"""


GAPS = """() => {
    const chosen = runs.filter((run) => ticked("family").has(run.family)
        && ticked("size").has(run.size) && ticked("method").has(run.method));
    const { times, curves } = meanGaps(chosen);
    return { times, curves: curves.map((each) => [report.methods[each.method].name, each.gaps]) };
}"""


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    table = benchmark(FAMILIES)
    best = table[table["status"] == "optimal"].sort_values("clauses").iloc[-1]
    key = (best["checksum"], best["algorithm"])
    path = fill(folder / "store.sqlite", table, {key: PLACEMENT}, {key: STEPS})
    with pytest.MonkeyPatch.context() as patch, Store.open(path) as store:
        patch.setattr("bench.report.read_archive", lambda: archive_of(table))
        return write_report(store, folder / "out", growth=STUDY), best


@pytest.fixture
def visit(chromium):
    """Open a page; at the end of the test nothing may have been fetched and nothing complained."""
    opened = []

    def go(path, *, width=1200, height=900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        page = context.new_page()
        seen = []
        page.on("console", lambda message: seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.on("dialog", lambda dialog: seen.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: seen.append(f"request: {request.url}"))
        page.goto(path.as_uri())
        assert seen == [f"request: {path.as_uri()}"]
        opened.append((context, seen))
        return page

    yield go
    for context, seen in opened:
        assert seen[1:] == []
        context.close()


def choose(page, name, values):
    """Tick the boxes of a group that carry these names, and no others."""
    page.evaluate("() => (document.querySelector('.filter-box').open = true)")
    group = page.locator("fieldset", has=page.locator(f"input[name={name}]"))
    group.get_by_role("button", name="none").click()
    for value in values:
        group.get_by_label(value, exact=True).check()


def rows_of(page, table):
    return page.locator(f"#{table} tbody tr").evaluate_all(CELLS)


def number(value):
    return math.nan if not value else float(value)


def chosen_of(written):
    """What the filter of the tests leaves of the runs."""
    attempts = written[0].tables.attempts
    chosen = attempts["family"].isin(["switch", "mixed"]) & attempts["size"].isin(["tiny", "small"])
    return attempts[chosen & (attempts["label"] != "random")]


def filter_page(page, written):
    choose(page, "family", ["switch", "mixed"])
    choose(page, "size", ["tiny", "small"])
    page.get_by_label("random", exact=True).uncheck()
    page.keyboard.press("Escape")
    count = len(chosen_of(written))
    assert page.locator("#filter-status").text_content().startswith(f"{count} of ")


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["methods", "families"])
def test_filtered_tables_of_methods_equal_the_aggregates_of_the_chosen_runs(visit, written, table):
    page = visit(written[0].path)
    filter_page(page, written)
    keys = ["label"] if table == "methods" else ["family", "label"]
    wanted = aggregate(chosen_of(written), [*keys, "exact"])
    wanted = {tuple(row[key] for key in keys): row for row in wanted.to_dict("records")}
    rows = rows_of(page, f"table-{table}")
    assert {tuple(text for _, text, _ in row[: len(keys)]) for row in rows} == set(wanted)
    for row in rows:
        expected = wanted[tuple(text for _, text, _ in row[: len(keys)])]
        cells = row[len(keys) :]
        for (value, text, below), (name, read) in zip(cells, RATINGS.items(), strict=False):
            assert number(value) == pytest.approx(expected[name], rel=1e-12, nan_ok=True), name
            assert text == read(expected[name])
            assert below in ("", expected.get(f"{name}_on"))
        assert cells[-1][1] == f"{expected['solved']} of {expected['attempts']}"


def test_filtered_times_failures_and_matrix_equal_those_of_the_chosen_runs(visit, written):
    page = visit(written[0].path)
    filter_page(page, written)
    chosen = chosen_of(written)
    times = tabulate_times(chosen)
    rows = rows_of(page, "table-times")
    assert {row[0][1] for row in rows} == set(times["label"])
    for row in times.to_dict("records"):
        (cells,) = [cells for cells in rows if cells[0][1] == row["label"]]
        value, text, below = cells[1 + ["tiny", "small"].index(row["size"])]
        assert number(value) == pytest.approx(row["seconds_median"], rel=1e-12)
        assert text == formats.seconds_text(row["seconds_median"])
        assert below.startswith(formats.seconds_text(row["seconds_max"]))
        assert ("stopped" in below) == bool(row["at_limit"])
    failures = group_failures(chosen)
    shown = {(row[0][1], row[1][1], int(row[2][1])) for row in rows_of(page, "table-failures")}
    assert shown == set(failures[["label", "kind", "count"]].itertuples(index=False, name=None))
    ratios = chosen.groupby(["family", "label"])["saving_ratio"].mean().dropna()
    heads = page.locator("#matrix-saving_ratio thead th:not([hidden])").all_text_contents()
    for row in rows_of(page, "matrix-saving_ratio"):
        for head, (value, text, _) in zip(heads[1:], row[1:], strict=True):
            wanted = ratios.get((row[0][1], head), math.nan)
            assert number(value) == pytest.approx(wanted, rel=1e-12, nan_ok=True)
            assert text == ("" if math.isnan(wanted) else formats.saving_ratio_text(wanted))
    assert "random" not in heads


def test_filtered_measures_equal_those_of_the_chosen_runs(visit, written):
    page = visit(written[0].path)
    filter_page(page, written)
    wanted = aggregate(chosen_of(written), ["label", "exact"]).set_index("label")
    for table, names in (
        ("over-time", ["primal_integral", "primal_dual_integral"]),
        ("best-known", ["known_gap", "known_bound_gap"]),
    ):
        rows = rows_of(page, f"table-{table}")
        counted = wanted[wanted[f"{names[0]}_count"] > 0]
        assert {row[0][1] for row in rows} == set(counted.index)
        columns = [f"{name}_{part}" for name in names for part in ("count", "mean", "worst")]
        columns = ["known_reached"] * (table == "best-known") + columns
        for (_, label, _), *cells in rows:
            for (value, _, below), column in zip(cells, columns, strict=True):
                expected = counted.loc[label, column]
                assert number(value) == pytest.approx(expected, rel=1e-12, nan_ok=True), column
                assert below in ("", counted.loc[label].get(f"{column}_on"))


def test_headings_and_captions_say_what_is_filtered_and_what_remains(visit, written):
    page = visit(written[0].path)
    figure = page.locator("#figure-gap-to-optimum")
    heading = figure.locator("h3").text_content()
    filter_page(page, written)
    chosen = chosen_of(written)
    instances = written[0].tables.instances
    left = f"{chosen['checksum'].nunique()} of {len(instances)} instances"
    what = "families mixed, switch; all sizes but medium; all methods but random"
    shown = figure.locator("h3").text_content()
    assert shown == f"Gap of each method, in percent of the largest saving: {what} ({left})"
    runs = f"{len(chosen)} of {written[0].attempts} runs"
    caption = figure.locator("figcaption").inner_text()
    assert caption.startswith(f"Filtered: {what}; {left} and {runs} remain. One point")
    assert "As a file, of all runs: SVG" in caption
    page.evaluate("() => document.getElementById('filter-reset').click()")
    assert figure.locator("h3").text_content() == heading
    assert "iltered" not in figure.locator("figcaption").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_shown_can_be_saved_as_a_drawing(visit, written, scheme, tmp_path):
    page = visit(written[0].path, color_scheme=scheme)
    filter_page(page, written)
    box = page.locator("#figure-time .live")
    box.get_by_role("button", name="greedy", exact=True).click()  # hidden, so not in the drawing
    with page.expect_download() as caught:
        box.get_by_role("button", name="Save what is shown as SVG").click()
    assert (
        caught.value.suggested_filename == "time-of-each-run-against-the-size-of-its-instance.svg"
    )
    caught.value.save_as(tmp_path / "time.svg")
    root = ElementTree.fromstring((tmp_path / "time.svg").read_bytes())
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"successive-dp", "time", "size of the instance, clauses"} <= texts
    assert "greedy" not in texts
    assert all(
        "class" not in element.attrib or "style" in element.attrib for element in root.iter()
    )


def test_gaps_over_time_of_the_page_are_those_of_the_runs(visit, written):
    page = visit(written[0].path)
    filter_page(page, written)
    found = page.evaluate(GAPS)
    chosen = chosen_of(written)
    with Store.open(written[0].path.parent.parent / "store.sqlite") as store:
        told = store.trajectories()
    times, gaps = mean_gaps(chosen, written[0].tables.instances, told)
    assert found["times"] == pytest.approx(times)
    assert {name for name, _ in found["curves"]} == set(gaps)
    for name, values in found["curves"]:
        assert values == pytest.approx(100 * gaps[name], abs=1e-6), name


def test_taking_the_filter_back_gives_every_number_again(visit, written):
    page = visit(written[0].path)
    tables = ["table-methods", "table-families", "table-times", "table-failures"]
    tables += ["matrix-saving_ratio", "matrix-bound_gap", "table-instances", "table-bounds"]
    before = {table: rows_of(page, table) for table in tables}
    filter_page(page, written)
    assert all(rows_of(page, table) != before[table] for table in tables)
    page.evaluate("() => document.querySelector('#filter-reset').click()")
    for table in tables:
        after = rows_of(page, table)
        assert len(after) == len(before[table])
        for new, old in zip(after, before[table], strict=True):
            assert [cell[1:] for cell in new] == [cell[1:] for cell in old]
            for (value, *_), (known, *_) in zip(new, old, strict=True):
                if value != known:
                    assert number(value) == pytest.approx(number(known), rel=1e-12)


def test_pictures_show_the_chosen_runs_and_no_others(visit, written):
    page = visit(written[0].path)
    filter_page(page, written)
    chosen = chosen_of(written)
    shown = page.evaluate(
        """() => Object.fromEntries([...plots].map(([box, plot]) => [box.dataset.figure,
            plot.spec.series.map(({name, points}) => [name, points.map(({x, y}) => [x, y])])]))"""
    )
    solved = chosen[chosen["solved"]]
    assert sum(len(points) for _, points in shown["time"]) == len(solved)
    assert dict(shown["time"]).keys() == set(solved["label"])
    drawn = {name: sorted(x for x, _ in points) for name, points in shown["gap-to-optimum"]}
    judged = chosen[chosen["saving_ratio"].notna()]
    worst = judged[judged["exact"]].groupby("label")["saving_ratio"].min()
    judged = judged[~judged["label"].isin(worst.index[worst >= 1 - 1e-9])]
    for family, group in judged.groupby("family"):
        gaps = sorted(np.maximum(0.0, 100 * (1 - group["saving_ratio"])))
        assert drawn[family] == pytest.approx(gaps, abs=1e-9)
    costs = cost_table(chosen, "seconds")
    profile = performance_profile(costs.to_numpy(), floor=1e-3)
    for name, points in shown["profile"]:
        column = list(costs.columns).index(name)
        for factor, share in points:
            at = profile.at(factor * (1 + 1e-12))[column]
            assert share == pytest.approx(100 * at, abs=1e-9)
    proofs = chosen[chosen["exact"]].copy()
    proofs["status"] = proofs["status"].where(proofs["status"] == "optimal")
    costs = cost_table(proofs, "seconds")
    curves = dict(zip(costs.columns, quantile_curves(costs.to_numpy()), strict=True))
    for name, points in shown["quantiles"]:
        assert [x for x, _ in points] == pytest.approx(list(curves[name]))
        assert [y for _, y in points] == list(range(1, len(points) + 1))


def test_profiles_of_the_page_are_those_of_the_statistics(visit, written):
    page = visit(written[0].path)
    costs = [[1e-4, 5e-4, 2e-3], [2.0, math.inf, 2.0], [math.inf] * 3, [3.0, 1.0, math.inf]]
    profile = performance_profile(costs, floor=1e-3)
    rows = [[cost if math.isfinite(cost) else None for cost in row] for row in costs]
    drawn = page.evaluate(
        """rows => performanceProfile({methods: [0, 1, 2],
            rows: rows.map(row => row.map(cost => cost ?? Infinity))}).map(each => each.corners)""",
        rows,
    )
    for column, corners in enumerate(drawn):
        for factor, shares in zip(profile.factors, profile.shares, strict=True):
            reached = [share for at, share in corners if at <= factor]
            assert reached[-1] == pytest.approx(shares[column])


def test_an_instance_opens_into_its_trajectory_and_map(visit, written):
    page = visit(written[0].path)
    best = written[1]
    page.locator("#instances > details > summary").first.click()
    page.locator("#table-instances a", has_text=best["instance"]).first.click()
    opened = page.locator("details.instance[open]")
    assert opened.count() == 1
    assert best["checksum"] in opened.text_content()
    opened.locator(".trajectory svg").first.wait_for()
    index = int(opened.get_attribute("data-instance"))
    told = page.evaluate("index => report.pages[index].trajectories[0]", index)
    assert told["seconds"] == [0.01, 0.1, 1.0]
    assert told["savings"] == [None, 20.0, 50.0]
    assert told["bounds"] == [90.0, 90.0, 70.0]
    tiles = opened.locator(".layer")
    assert tiles.count() == best["layers"]
    labels = tiles.evaluate_all("tiles => tiles.map(tile => tile.ariaLabel)")
    experts = best["experts"] // best["layers"]
    assert labels[1] == f"layer 1: e0 2, e1 0, e2 0 of {experts} experts"
    assert labels[0] == f"layer 0: e0 0, e1 0, e2 0 of {experts} experts"
    path = tiles.nth(1).locator(".held").get_attribute("d")
    cell = max(3, min(13, 330 // experts))
    assert [part.split("h")[0] for part in path.split("M")[1:]] == ["0 0", f"{6 * cell} 0"]
    tiles.nth(0).focus()
    page.keyboard.press("ArrowRight")
    assert opened.locator(".readout").text_content() == labels[1]


# -- hands and eyes -------------------------------------------------------------------------------


def test_the_keyboard_reaches_filter_plots_and_sorting(visit, written):
    page = visit(written[0].path)
    page.locator("#filter summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    status = page.locator("#filter-status")
    assert "3 of 4 families" in status.text_content()
    page.keyboard.press("Space")
    assert status.text_content().startswith("All ")
    page.keyboard.press("Escape")
    plot = page.locator("[data-figure=time] .plot")
    plot.focus()
    page.keyboard.press("ArrowRight")
    first = plot.locator(".tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert plot.locator(".tip").inner_text() != first
    page.keyboard.press("Escape")
    assert plot.locator(".tip").is_hidden()
    button = page.locator("#table-methods th[data-column='0'] button")
    button.focus()
    page.keyboard.press("Enter")
    names = [row[0][1] for row in rows_of(page, "table-methods")]
    assert names == sorted(names)
    page.keyboard.press("Enter")
    assert [row[0][1] for row in rows_of(page, "table-methods")] == sorted(names, reverse=True)


def test_pointing_tells_dragging_zooms_and_the_legend_switches(visit, written):
    page = visit(written[0].path)
    figure = page.locator("#figure-time")
    figure.scroll_into_view_if_needed()
    box = figure.locator(".plot svg").bounding_box()
    at = page.evaluate(
        """() => { const plot = plots.get(document.querySelector('[data-figure=time]'));
            const {px, py, point} = plot.points[20]; return [px, py, point.text[0]]; }"""
    )
    page.mouse.move(box["x"] + at[0], box["y"] + at[1])
    assert figure.locator(".tip b").inner_text().split("-")[0] == at[2].split("-")[0]
    marks = figure.locator(".plot .mark").count()
    key = figure.locator(".key", has_text="greedy")
    key.click()
    assert key.get_attribute("aria-pressed") == "false"
    assert figure.locator(".plot .mark").count() < marks
    key.click()
    page.mouse.move(box["x"] + 100, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200, steps=3)
    page.mouse.up()
    again = figure.get_by_role("button", name="Show all again")
    assert figure.locator(".plot .mark").count() < marks
    again.click()
    assert figure.locator(".plot .mark").count() == marks


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_sticks_out_and_the_colours_follow_the_reader(visit, written, width, scheme):
    page = visit(written[0].path, width=width, color_scheme=scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => (d.open = true))")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll('.plot svg text')].filter(text => {
            const box = text.getBoundingClientRect();
            return box.width && (box.left < -1 || box.right > innerWidth + 1);
        }).map(text => text.textContent)"""
    )
    assert outside == []
    paper, ink = page.evaluate(
        "() => [getComputedStyle(document.body).backgroundColor, "
        "getComputedStyle(document.querySelector('.plot .name')).fill]"
    )
    lightness = [sum(map(int, colour[4:-1].split(","))) / 3 for colour in (paper, ink)]
    assert (lightness[0] > 200 and lightness[1] < 60) == (scheme == "light")
    assert (lightness[0] < 60 and lightness[1] > 200) == (scheme == "dark")


def test_on_paper_everything_is_open_and_light(visit, written):
    page = visit(written[0].path, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not(.filter-box):not([open])").count() == 0
    assert page.locator(".trajectory svg").first.is_visible()
    assert page.locator("#figure-time .wide").is_visible()
    assert page.locator("#figure-time .live").is_hidden()
    assert page.locator("#filter").is_hidden()
    colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb(255, 255, 255)"


def test_without_scripts_the_page_is_whole(visit, written):
    page = visit(written[0].path, java_script_enabled=False)
    assert page.locator("#filter").is_hidden()
    assert page.locator("#figure-time .wide").is_visible()
    assert page.locator("#table-methods tbody tr").count() == len(written[0].tables.methods)


# -- names ----------------------------------------------------------------------------------------


def test_hostile_names_stay_text_everywhere(visit, tmp_path):
    hostile = HOSTILE + "</template></script>\u2028`${alert(2)}`"
    common = {"family": hostile, "instance": hostile, "size": hostile}
    rows = [optimum(100.0, **common), attempt(algorithm=hostile, guarantee=hostile, **common)]
    rows += [failure(seed=5, reason=hostile, **common), attempt(algorithm="b", **common)]
    steps = {("c0", hostile): STEPS}
    placements = {("c0", "milp-compact"): PLACEMENT}
    path = fill(tmp_path / "store.sqlite", frame(*rows), placements, steps)
    with Store.open(path) as store:
        page = visit(write_report(store, tmp_path / "out").path)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => (d.open = true))")
    page.locator("#filter-reset").click()
    choose(page, "family", [hostile])
    page.locator("[data-figure=time] .plot").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-figure=time] .tip b").text_content() == hostile
    page.locator(".trajectory .key").first.wait_for()
    assert hostile in page.locator(".trajectory .key").all_text_contents()
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 0
    assert page.locator("[onerror]").count() == 0


def test_a_page_without_runs_has_no_filter_and_no_errors(visit, tmp_path):
    path = fill(tmp_path / "store.sqlite", frame())
    with Store.open(path) as store:
        page = visit(write_report(store, tmp_path / "out").path)
    assert page.locator("#filter").count() == 0


def test_filtering_everything_away_leaves_empty_tables_and_plots(visit, written):
    page = visit(written[0].path)
    choose(page, "method", [])
    assert page.locator("#filter-status").text_content().startswith("0 of ")
    for table in ("table-methods", "table-families", "table-times", "table-failures"):
        assert rows_of(page, table) == []
    assert "Nothing chosen to show." in page.locator("#figure-time .plot").text_content()
