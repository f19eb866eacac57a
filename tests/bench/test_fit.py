"""``moeplace fit`` and ``moeplace sample``: what they print and write, and what they refuse."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bench.formats import MISSING
from bench.routing_page import caption, page, rows
from instances.draws import Draws
from instances.importers import read_recording
from instances.routing import FINE_GRAINED, UNIFORM
from instances.routing import fit as fitting
from instances.routing.comparison import compare, sample_routes
from instances.routing.files import NamedRouter, read_router
from instances.routing.statistics import FIGURES
from instances.traces import read_routes


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Make a fit a matter of a second."""
    for name, value in {
        "REPLICAS": 1,
        "MOST_TOKENS": 2000,
        "RANKS": (),
        "RANDOM_STARTS": 1,
        "_MOST_STEPS": 1,
    }.items():
        monkeypatch.setattr(fitting, name, value)


@pytest.fixture
def trace(call, tmp_path):
    """Return a trace of 6 users of 200 tokens, 2 layers of 32 experts, K = 4."""
    path = tmp_path / "trace.npz"
    words = "--users", 6, "--tokens", 200, "--layers", 2, "-o", path
    assert call("sample", "fine-grained", *words)[0] == 0
    return path


def refused(call, *words):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    return err


def test_sample_is_a_trace_that_can_be_read(call, tmp_path, trace):
    routes = read_routes(trace)
    assert routes.experts.shape == (1200, 2, 4)
    assert routes.offsets.tolist() == list(range(0, 1201, 200))
    drawn = sample_routes(
        FINE_GRAINED["linear-router"],
        Draws("sample", 0),
        lengths=np.full(6, 200),
        layers=2,
        experts=32,
        top_k=4,
    )
    assert np.array_equal(routes.experts, drawn.experts)
    again = tmp_path / "again.npz"
    words = ("sample", "fine-grained", "--users", 6, "--tokens", 200, "--layers", 2, "-o", again)
    assert call(*words)[0] == 0
    assert again.read_bytes() == trace.read_bytes()
    code, out, _ = call(*words, "--seed", 1, "--json")
    assert code == 0
    assert json.loads(out) == {
        "path": str(again),
        "router": "fine-grained",
        "requests": 6,
        "tokens": 1200,
        "layers": 2,
        "experts": 32,
        "top_k": 4,
    }
    assert again.read_bytes() != trace.read_bytes()
    code, out, _ = call(
        "sample", "mixtral-like", "--model", "olmoe-1b-7b", "--users", 1, "--tokens", 2, "-o", again
    )
    assert code == 0
    assert "2 of each of 1 user" in out
    assert "16 layers of 64 experts, 8 at once" in out


def test_fit_writes_a_router_a_page_and_the_drawn_data(call, tmp_path, trace):
    router, report, routes = (tmp_path / name for name in ("r.json", "r.html", "r.npz"))
    words = ("fit", trace, "-o", router, "--report", report, "--routes", routes)
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    named = read_router(router)
    assert (named.name, named.layers, named.experts, named.top_k) == ("trace", 2, 32, 4)
    assert "1,200 tokens of 6 requests, 2 layers of 32 experts, 4 at once" in out
    assert "lift of pairs, 99 %" in out
    drawn = read_recording(routes)
    assert drawn.experts.shape == (1200, 2, 4)
    # The page has the numbers of the comparison, row by row.
    comparison = compare(named.router, read_routes(trace), experts=32)
    assert np.array_equal(comparison.routes.experts, drawn.experts)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", report.read_text(encoding="utf-8"))
    table = [tuple(cells[5 * i : 5 * i + 5]) for i in range(len(FIGURES))]
    assert [(row[0].replace("&#39;", "'"), *row[1:]) for row in table] == [
        (row.label, row.trace, row.layers, row.drawn, row.deviation) for row in rows(comparison)
    ]
    # And JSON those behind them; the same again for the same seed.
    code, out, _ = call(*words, "--json")
    content = json.loads(out)
    assert code == 0
    assert content["router"]["token_weight"] == named.router.token_weight
    assert read_router(router) == named
    for figure in FIGURES:
        found = content["statistics"][figure.name]
        assert found["drawn"] == comparison.drawn.values[figure.name]
        assert found["deviation"] == pytest.approx(found["drawn"] / found["trace"] - 1)
    assert content["trace"]["tokens"] == content["drawn"]["tokens"] == 1200


def test_a_fitted_router_makes_instances_and_traces(call, tmp_path, trace):
    router, instance = tmp_path / "r.json", tmp_path / "i.json"
    assert call("fit", trace, "--name", "mine", "-o", router)[0] == 0
    words = ("generate", "gpt-oss", "--routing", router, "-o", instance, "--json")
    code, out, _ = call(*words)
    assert (code, json.loads(out)["instance"]) == (0, "gpt-oss-tiny-s0-mine")
    assert call("sample", router, "--users", 1, "--tokens", 9, "-o", tmp_path / "s.npz")[0] == 0
    assert read_routes(tmp_path / "s.npz").experts.shape == (9, 2, 4)
    assert "family 'mixed' takes no router of one's own" in refused(
        call, "generate", "mixed", "--routing", router, "-o", instance
    )


def test_comparing_without_fitting(call, tmp_path, trace):
    code, out, _ = call("fit", trace, "--router", "fine-grained", "--json")
    assert code == 0
    content = json.loads(out)
    assert content["router"]["noise"] == FINE_GRAINED["linear-router"].noise
    assert abs(content["statistics"]["lift_95"]["deviation"]) < 0.3
    report = tmp_path / "r.md"
    assert call("fit", trace, "--router", "uniform", "--report", report)[0] == 0
    lines = report.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Routing of uniform"
    assert sum(line.count("|") == 6 for line in lines) == len(FIGURES) + 2
    (row,) = [line for line in lines if "in 1000 random tokens" in line]
    assert "**+" in row


def test_names_cannot_break_a_page():
    routes = sample_routes(
        UNIFORM, Draws("page"), lengths=np.array([20]), layers=1, experts=4, top_k=2
    )
    comparison = compare(UNIFORM, routes, experts=4)
    named = NamedRouter(name="<b>|x", router=UNIFORM, layers=1, experts=4, top_k=2)
    html, markdown = (page(comparison, named, "<i>|y", html=html) for html in (True, False))
    for text in (html, markdown):
        assert "<b>" not in text
        assert "<i>" not in text
    assert "\\|x" in markdown
    assert "http" not in html  # nothing from elsewhere
    assert "without any structure it is 0.667" in caption(comparison.trace)
    # One request of one layer: no users to compare, and no next layer.
    missing = [row.label for row in rows(comparison) if row.trace == MISSING]
    assert "cosine of two users" in missing
    assert "next layer's experts guessed" in missing


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--experts", 3], "--experts: 3 is less than the 4 of one token"),
        (["--experts", 20], r"trace.npz: experts\[\d+\]\[\d\]\[\d\]: \d+ is not in 0..19"),
        (["--experts", 9, "--model", "gpt-oss-20b"], "--experts: cannot be used together"),
        (["--experts", 10**12], "--experts: 2 layers of 1000000000000 experts: more than"),
        (["--model", "gpt-oss-20"], "'gpt-oss-20'"),
        (["--model", "gpt-oss-20b"], "trace.npz: experts: 2 layers, but gpt-oss-20b has 24"),
        (["--router", "magic"], "router: 'magic' is neither a .json file nor one of"),
        (["--router", "uniform", "-o", "r.json"], "--router: is compared, not fitted"),
        (["-o", "r.txt"], "r.txt: cannot be written: the name must end in .json"),
        (["--report", "r.pdf"], "r.pdf: cannot be written: the name must end in .html, .md"),
        (["--routes", "r.csv"], "r.csv: cannot be written: the name must end in .npz"),
        (["--name", "two\nlines"], "--name: 'two.*lines' is not a name"),
        (["--seed", "-1"], "'-1' is not a whole number"),
    ],
)
def test_fit_refuses_in_one_line(call, trace, words, message):
    assert re.search(message, refused(call, "fit", trace, *words))


def test_counts_carry_no_sets(call, tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("layer,expert,count\n0,0,5\n0,1,7\n")
    assert f"{path}: holds counts of experts without the sets" in refused(call, "fit", path)
    assert "cannot be read" in refused(call, "fit", tmp_path / "missing.npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fine-grained", "--users", 0], "--users: 0 is not at least 1"),
        (["fine-grained", "--tokens", 0], "--tokens: 0 is not at least 1"),
        (["fine-grained", "--top-k", 33], "--top-k: 33 is not in 1..32"),
        (["fine-grained", "--layers", 0], "model.layers: 0 is not a positive number"),
        (["fine-grained", "--tokens", 10**15], "--tokens: needs"),
        (["fine-grained", "--model", "nobody"], "'nobody'"),
        (["finegrained"], "router: 'finegrained' is neither"),
    ],
)
def test_sample_refuses_in_one_line(call, tmp_path, words, message):
    target = Path(tmp_path / "s.npz")
    assert message in refused(call, "sample", *words, "-o", target)
    assert not target.exists()
