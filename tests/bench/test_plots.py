import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.drawing import SERIES, VARIABLES, shorten, spread, text_width
from bench.placement_map import PlacementMap, cell_colour, draw_map
from bench.plots import draw_gaps, draw_times, family_looks
from bench.summary import summarise
from tests.bench.attempts import attempt, benchmark, failure, frame, optimum

SVG = "{http://www.w3.org/2000/svg}"
FAMILIES = ("mixtral", "mixtral-independent", "switch-independent", "gpt-oss", "fine-grained")
HOSTILE = '<script>alert("1")</script> & $\\frac{1}{0}$ #0072b2'


def rated(*rows):
    table = summarise(frame(*rows) if rows else benchmark(FAMILIES)).attempts
    return table.assign(optimum_gap=1 - table["saving_ratio"])


def placement_map(servers=3, models=(("mixtral-8x7b", 4, 8),), **changes):
    experts = sum(layers * size for _, layers, size in models)
    stored = np.arange(servers * experts).reshape(servers, experts) % 3 == 0
    values = {
        "instance": "mixtral-small-s0",
        "method": "layer-enumeration",
        "optimal": True,
        "servers": tuple(f"edge-{n}" for n in range(servers)),
        "used_shares": np.full(servers, 0.987),
        "models": models,
        "stored": stored,
    }
    return PlacementMap(**{**values, **changes})


def drawings():
    table = rated()
    yield draw_gaps(table, "gap-to-optimum", "optimum_gap")
    yield draw_gaps(table, "gap-to-bound", "bound_gap")
    yield draw_times(table, "time")
    yield draw_map(placement_map(), "few")
    two = (("mixtral-8x7b", 32, 8), ("switch-base-64", 12, 64))
    yield draw_map(placement_map(servers=12, models=two), "many")
    yield draw_map(placement_map(servers=200, models=(("grok-1", 64, 8),)), "tall")


@pytest.fixture(scope="module")
def all_drawings():
    return list(drawings())


def texts(svg):
    """Yield (text, left, right, middle, font size) of each text, as the layout measured it."""
    root = ET.fromstring(svg)
    for element in root.iter(f"{SVG}text"):
        style = element.get("style")
        size = float(re.search(r"font-size: ([\d.]+)px", style).group(1))
        width = text_width(element.text, size)
        # Without an anchor the place of the text would hang on the measure of our font.
        anchor = re.search(r"text-anchor: (\w+)", style).group(1)
        x = float(element.get("x")) - {"start": 0, "middle": width / 2, "end": width}[anchor]
        yield element.text, x, x + width, float(element.get("y")) - 0.35 * size, size


def test_no_text_overlaps_another_or_leaves_the_drawing(all_drawings):
    for drawing in all_drawings:
        for svg in (drawing.wide, drawing.narrow, drawing.file):
            _, _, width, height = map(float, ET.fromstring(svg).get("viewBox").split())
            placed = list(texts(svg))
            assert placed
            for text, left, right, middle, size in placed:
                assert left >= -0.5, (drawing.name, text)
                if not svg.startswith("<?xml") or text not in drawing.title:
                    assert right <= width + 0.5, (drawing.name, text)
                assert size / 2 - 1 <= middle <= height - size / 2 + 1, (drawing.name, text)
            for number, (text, left, right, middle, size) in enumerate(placed):
                for other, left2, right2, middle2, size2 in placed[:number]:
                    apart = abs(middle - middle2) >= 0.45 * (size + size2)
                    assert apart or right <= left2 or right2 <= left, (drawing.name, text, other)


def test_the_same_data_give_the_same_bytes(all_drawings):
    table = rated()
    assert draw_gaps(table, "gap-to-bound", "bound_gap") == all_drawings[1]
    assert draw_map(placement_map(), "few") == all_drawings[3]


def test_the_order_of_rows_does_not_matter():
    table = rated()
    backwards = rated(*reversed(benchmark(FAMILIES).to_dict("records")))
    assert draw_times(table, "time") == draw_times(backwards, "time")


def test_identifiers_are_unique_to_a_drawing_and_all_references_resolve(all_drawings):
    seen = set()
    for drawing in all_drawings:
        for svg in (drawing.wide, drawing.narrow):
            identifiers = re.findall(r'\bid="([^"]*)"', svg)
            assert len(identifiers) == len(set(identifiers))
            assert not seen & set(identifiers)
            seen |= set(identifiers)
            used = re.findall(r'xlink:href="#([^"]*)"', svg) + re.findall(r"url\(#([^)]*)\)", svg)
            assert set(used) <= set(identifiers)


def test_inline_drawings_take_their_colours_from_the_page(all_drawings):
    for drawing in all_drawings:
        for colour, variable in VARIABLES.items():
            assert f": {colour}" not in drawing.wide, variable
        assert "var(--fig-ink)" in drawing.wide
        assert "<style" not in drawing.wide
        assert "var(" not in drawing.file
        assert drawing.file.startswith("<?xml")


def test_every_run_is_a_point():
    rows = [optimum(100.0)] + [attempt(saving_ms=90.0 - seed, seed=seed) for seed in range(5)]
    counts = []
    for kept in (rows, rows[:-1]):
        drawing = draw_gaps(rated(*kept), "gap", "optimum_gap")
        counts.append(drawing.wide.count("<use"))
    assert counts[0] - counts[1] == 1


def test_nothing_to_draw():
    assert draw_gaps(rated(attempt()), "gap", "optimum_gap") is None
    assert draw_times(rated(failure()), "time") is None


def test_exact_methods_without_any_gap_are_left_out_and_named():
    rows = [optimum(100.0), attempt(saving_ms=98.0)]
    drawing = draw_gaps(rated(*rows), "gap", "optimum_gap")
    assert "milp-compact" not in drawing.wide
    assert "no gap anywhere: milp-compact" in drawing.caption
    stopped = {"checksum": "b", "instance": "b", "status": "feasible", "bound_saving_ms": 120.0}
    rows += [optimum(90.0, **stopped), optimum(100.0, algorithm="scip", checksum="b", instance="b")]
    drawing = draw_gaps(rated(*rows), "gap", "optimum_gap")
    assert "milp-compact" in drawing.wide
    assert "no gap anywhere: scip" in drawing.caption


def test_titles_say_what_is_seen():
    rows = [optimum(100.0), attempt(saving_ms=98.0), attempt(algorithm="random", saving_ms=10.0)]
    title = draw_gaps(rated(*rows), "gap", "optimum_gap").title
    assert title == "greedy stays within 2.00 % of the optimum; random misses 90.00 % on average"
    exact = draw_gaps(rated(optimum(100.0)), "gap", "optimum_gap").title
    assert exact == "milp-compact reaches the optimum on every run"
    one = draw_map(placement_map(servers=1), "map").title
    assert one == "1 server holds 11 of 32 experts, in 11 copies"


@pytest.mark.parametrize("saving", [0.0, 1e-300, 100.0, 100.0 * (1 + 5e-10)])
def test_extreme_gaps_are_drawn(saving):
    drawing = draw_gaps(rated(optimum(100.0), attempt(saving_ms=saving)), "gap", "optimum_gap")
    ET.fromstring(drawing.file)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e6])
def test_extreme_times_are_drawn(seconds):
    drawing = draw_times(rated(attempt(seconds=seconds, clauses=0)), "time")
    ET.fromstring(drawing.file)


def test_names_are_text_and_nothing_else():
    names = {"algorithm": HOSTILE, "family": HOSTILE}
    table = rated(optimum(100.0, family=HOSTILE), attempt(**names))
    made = [
        draw_gaps(table, "gap", "optimum_gap"),
        draw_times(table, "time"),
        draw_map(placement_map(models=((HOSTILE, 2, 4), ("b", 2, 4)), servers=1), "map"),
    ]
    for drawing in made:
        for svg in (drawing.wide, drawing.narrow, drawing.file):
            root = ET.fromstring(svg)
            assert not list(root.iter(f"{SVG}script"))
            assert any("<script" in (element.text or "") for element in root.iter(f"{SVG}text"))


def test_letters_that_the_measuring_font_lacks_are_no_trouble():
    table = rated(optimum(100.0), attempt(algorithm="専門家配置", family="混合"))
    assert "専門家配置" in draw_gaps(table, "gap", "optimum_gap").wide


def test_large_clouds_become_a_picture():
    rows = [attempt(seed=seed, saving_ms=50.0 + seed / 1000) for seed in range(5000)]
    drawing = draw_gaps(rated(optimum(100.0), *rows), "gap", "optimum_gap")
    assert "data:image/png;base64" in drawing.wide
    assert len(drawing.wide) < 300_000


def test_twins_share_their_colour_and_others_do_not():
    looks = family_looks([f"f{n}" for n in range(9)] + ["f1-independent"])
    assert looks["f1"][:2] == looks["f1-independent"][:2]
    assert looks["f1"][2]
    assert not looks["f1-independent"][2]
    shown = [looks[f"f{n}"] for n in range(9)]
    assert len(set(shown)) == 9
    assert len({colour for colour, _, _ in shown}) == len(SERIES)


def test_shares_of_a_layer_are_counted_within_its_own_model():
    stored = np.zeros((2, 2 * 2 + 3), dtype=bool)
    stored[0, [0, 1, 2]] = True  # both experts of layer 0, one of layer 1
    stored[1, [5, 6]] = True  # two of the three of the second model
    shown = placement_map(servers=2, models=(("a", 2, 2), ("b", 1, 3)), stored=stored)
    np.testing.assert_array_equal(shown.layer_shares(), [[1, 0.5, 0], [0, 0, 2 / 3]])


def test_more_stored_is_a_stronger_colour():
    strengths = [cell_colour(share)[3] for share in (0.01, 0.3, 0.6, 1.0)]
    assert strengths == sorted(strengths)
    assert cell_colour(0.0)[:3] != cell_colour(0.01)[:3]


def test_a_server_without_storage_shows_no_share():
    shown = placement_map(servers=2, used_shares=np.array([math.nan, 0.9999]))
    words = {text for text, *_ in texts(draw_map(shown, "map").wide)}
    assert {"edge-0", "edge-1  99 %"} <= words


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.5, 5))
def test_spread_keeps_order_distance_and_range(wanted, distance):
    placed = spread(sorted(wanted), distance, 100.0)
    assert len(placed) == len(wanted)
    assert all(b - a >= distance - 1e-6 for a, b in pairwise(placed))
    assert placed[0] >= -1e-6
    assert placed[-1] <= 100 + 1e-6


@given(st.text(max_size=30), st.integers(1, 20))
def test_shortened_names_fit(name, letters):
    short = shorten(name, letters)
    assert len(short) <= max(letters, 1)
    assert short == name or short.endswith("…")
