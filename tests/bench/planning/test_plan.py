import json
import re
import shutil
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.planning.comparison import token_shares
from bench.planning.inputs import read_inputs
from bench.planning.search import Finder
from formulations.brute_force import BRUTE_FORCE
from instances.architecture_file import read_architecture
from instances.checker import check
from instances.evaluation import evaluate
from instances.files import read_instance, read_placement, write_placement
from instances.moves import moved_bytes
from instances.physical_map import read_physical_map
from instances.placement import Placement
from instances.placement_csv import read_placement_csv
from instances.problem import Instance
from instances.registry import run
from tests.bench.planning.conftest import EXPERT_BYTES, Files

ROOT = Path(__file__).parents[3]
REAL_TRACE = ROOT.parent / "shared" / "traces" / "gpt-oss-20b" / "routes.npz"


class Page(HTMLParser):
    """Text of a page, its cells by row, and everything that could be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.text = ""
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self._is_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [v or "" for name, v in attributes if name in ("src", "href", "data")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._is_cell:
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        """Return the first row whose heading begins with this."""
        return next(row for row in self.rows if row and row[0].startswith(name))


@pytest.fixture(scope="module")
def instance(files: Files) -> Instance:
    return read_inputs(files.request()).instance


@pytest.fixture
def made(files: Files, call: Any) -> dict[str, Any]:
    """The plan with everything that can be written; made once."""
    store = files.folder / "made.json"
    if not store.exists():
        code, out, err = call(
            *files.words(),
            *("--page", files.folder / "plan.html", "--csv", files.folder / "plan.csv"),
            *("--physical-map", files.folder / "map.json"),
            *("--instance", files.folder / "instance.npz"),
            *("--more-storage", EXPERT_BYTES, "--json"),
        )
        assert (code, err) == (0, "")
        store.write_text(out)
    content: dict[str, Any] = json.loads(store.read_text())
    return content


def test_the_plan_is_proven_and_worth_what_it_says(
    made: dict[str, Any], files: Files, instance: Instance
) -> None:
    placement = read_placement(files.folder / "placement.json", instance)
    exact = check(instance, placement)
    assert made["saving_ms"] == pytest.approx(float(exact.saving_ms), rel=1e-12)
    assert made["latency_ms"] + made["saving_ms"] == pytest.approx(made["empty_latency_ms"])
    assert made["certified"] is True
    assert Fraction(made["bound_saving_ms"]) >= exact.saving_ms
    assert 0 <= made["gap"] < 0.05
    assert read_instance(files.folder / "instance.npz").checksum() == made["checksum"]
    assert made["least_latency_ms"] <= made["latency_ms"]
    order = [made["alternatives"][name] for name in ("everywhere", "plan", "popularity", "cloud")]
    assert order == sorted(order)


def test_users_add_up_to_the_mean(made: dict[str, Any], instance: Instance) -> None:
    shares = [user["token_share"] for user in made["users"]]
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])
    for name, latency in made["alternatives"].items():
        users = [user["latency_ms"][name] for user in made["users"]]
        assert users[3] is None  # no tokens
        assert sum(s * t for s, t in zip(shares[:3], users[:3], strict=True)) == pytest.approx(
            latency
        )
    cloud = [user["latency_ms"]["cloud"] for user in made["users"][:3]]
    assert cloud == pytest.approx([60.0, 45.0, 75.0])  # three layers


def test_servers_and_replicas_are_those_of_the_placement(
    made: dict[str, Any], files: Files, instance: Instance
) -> None:
    placement = read_placement(files.folder / "placement.json", instance)
    used = placement.used_bytes(instance)
    for n, server in enumerate(made["servers"]):
        assert server["used_bytes"] == used[n]
        assert server["experts"] * EXPERT_BYTES == used[n] <= server["capacity_bytes"]
        more = server["more_storage"]
        assert more["extra_bytes"] == EXPERT_BYTES
        assert 0 <= more["found_ms"] <= more["at_most_ms"] + 1e-9
    served = sum(server["served"] for server in made["servers"])
    assert served + made["served_by_cloud"] + made["served_by_device"] == pytest.approx(1.0)
    twice = np.flatnonzero(placement.stored.sum(axis=0) > 1)
    assert len(made["replicated"]) == twice.size > 0
    for replica in made["replicated"]:
        flat = replica["layer"] * 6 + replica["expert"]
        assert flat in twice
        for copy in replica["copies"]:
            n = instance.server_names.index(copy["server"])
            assert placement.stored[n, flat]
            stored = placement.stored.copy()
            stored[n, flat] = False
            lost = made["saving_ms"] - evaluate(instance, Placement(stored)).saving_ms
            assert copy["loss_ms"] == pytest.approx(lost, abs=1e-9)


def test_the_exports_hold_the_same_placement(
    made: dict[str, Any], files: Files, instance: Instance
) -> None:
    placement = read_placement(files.folder / "placement.json", instance)
    table = read_placement_csv(files.folder / "plan.csv", instance)
    np.testing.assert_array_equal(table.stored, placement.stored)
    physical = read_physical_map(files.folder / "map.json", instance)
    assert physical.num_empty == 0
    assert physical.copies().all()
    slots = physical.experts.reshape(3, 3, -1)  # layer, server, slot
    for server, flat in np.argwhere(placement.stored).tolist():
        assert flat % 6 in slots[flat // 6, server]
    (note,) = made["notes"]
    needed = physical.slots_per_server * 3 * EXPERT_BYTES
    assert f"{physical.slots_per_server} or {needed // 1000} kB" in note
    assert ("they fit" in note) == bool((instance.capacity_bytes >= needed).all())


def test_the_page_stands_alone_and_says_the_same(made: dict[str, Any], files: Files) -> None:
    text = (files.folder / "plan.html").read_text()
    page = Page(text)
    assert not [target for target in page.fetched if not target.startswith("#")]
    assert "script" not in page.tags
    assert "@import" not in text
    assert re.search(r"url\((?!#)", text) is None
    latency = float(page.row("This plan")[1])
    assert latency == pytest.approx(made["latency_ms"], abs=0.06)
    assert float(page.row("By popularity")[1]) == pytest.approx(
        made["alternatives"]["popularity"], abs=0.06
    )
    assert "ann <b>" in page.text  # escaped in the source, whole for the reader
    assert "<b>&" not in text
    assert page.row("hall & b")[3] == str(made["servers"][1]["experts"])
    assert page.row("ann <b>")[1:2] != []
    assert "--more-storage 30000" in page.text
    assert made["checksum"] in page.text


def test_moves_stay_within_the_budget(
    made: dict[str, Any], files: Files, instance: Instance, call: Any
) -> None:
    old = Placement.of(instance, [(0, 17), (0, 16), (1, 15), (2, 14), (2, 13), (2, 12)])
    old_path = files.folder / "old.json"
    write_placement(old_path, instance, old)
    document = json.loads(old_path.read_text())
    document["instance"] = "of last month"  # whatever it was made for
    old_path.write_text(json.dumps(document))
    budget = 4 * EXPERT_BYTES
    words = [*files.words()[:-1], str(files.folder / "next.json")]
    words += ["--minimise-moves-from", str(old_path)]
    page = files.folder / "moves.html"
    code, out, err = call(*words, "--move-budget", f"{budget}", "--page", page, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    new = read_placement(files.folder / "next.json", instance)
    loaded = int(moved_bytes(instance, old, new).sum())
    assert loaded == found["moves"]["loaded_bytes"] <= budget
    before, after = evaluate(instance, old).saving_ms, evaluate(instance, new).saving_ms
    assert before <= after <= found["moves"]["bound_saving_ms"] <= found["bound_saving_ms"]
    assert found["alternatives"]["now"] == pytest.approx(evaluate(instance, old).latency_ms)
    curve = found["moves"]["trade_off"]
    assert curve[0]["loaded_bytes"] == 0
    assert [p["saving_ms"] for p in curve] == sorted(p["saving_ms"] for p in curve)
    assert "Getting there" in Page(page.read_text()).text

    code, out, _ = call(*words)  # the trade-off decides
    assert code == 0
    assert re.search(r"moves +\d+ kB to load", out)


def test_nothing_moves_where_nothing_is_better(
    made: dict[str, Any], files: Files, instance: Instance, call: Any
) -> None:
    now = files.folder / "placement.json"
    page = files.folder / "still.html"
    words = [*files.words()[:-1], str(files.folder / "still.json")]
    words += ["--minimise-moves-from", str(now), "--with", "popularity", "--page", str(page)]
    code, out, _ = call(*words)
    assert code == 0
    assert "none: nothing was found that is better" in out
    assert "Nothing was found that is better" in Page(page.read_text()).text
    kept = read_placement(files.folder / "still.json", instance)
    np.testing.assert_array_equal(kept.stored, read_placement(now, instance).stored)


def test_counts_give_a_plan_and_say_what_they_lack(files: Files, call: Any) -> None:
    words = files.words()
    at = words.index("--trace")
    words[at : at + 4] = ["--counts", str(files.counts)]
    code, out, err = call(*words, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["certified"] is True
    assert "carry no sets" in found["assumptions"][0]


def test_a_method_of_ones_choice(files: Files, call: Any) -> None:
    code, out, _ = call(*files.words(), "--with", "popularity", "--json")
    assert code == 0
    found = json.loads(out)
    assert [stage["method"] for stage in found["stages"]] == ["popularity", "server-set"]
    assert found["latency_ms"] <= found["alternatives"]["popularity"]


def test_shares_of_tokens_count_the_busiest_layer(tiny: Instance) -> None:
    """Ann: 0.75 in layer 0 and 1 in layer 1; Bob: 0.625 and 0.25."""
    assert token_shares(tiny).tolist() == [1.0, 0.625]


def test_the_bound_holds_against_every_placement(tiny: Instance) -> None:
    finder = Finder(tiny, time_limit=60.0, memory_bytes=None, seed=0)
    found = finder.find(None, gap=0.0, extra_bytes=10)
    best = run(BRUTE_FORCE, tiny, rng=np.random.default_rng(0)).placement
    assert best is not None
    optimum = check(tiny, best).saving_ms
    assert Fraction(found.bound_ms) >= optimum
    assert found.saving_ms == pytest.approx(float(optimum))
    assert found.gap == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--model", "gpt-oss-20"), "did you mean 'gpt-oss-20b'"),
        (("--model", "missing.toml"), "missing.toml: cannot be read"),
        (("--precision", "fp7"), "precision: 'fp7' is not one of"),
        (("--network", "missing.toml"), "missing.toml: cannot be read"),
        (("--trace", "missing.npz"), "missing.npz: cannot be read"),
        (("--with", "improved"), "did you mean 'improve'"),
        (("--with", "lp"), "--with: 'lp' makes no placement"),
        (("--gap", "1.5"), "--gap: 1.5 is not in 0..1"),
        (("--move-budget", "2GB"), "--move-budget: needs --minimise-moves-from"),
        (("--minimise-moves-from", "missing.json"), "missing.json: cannot be read"),
        (("-o", "placement.txt"), "placement.txt: cannot be written"),
        (("--page", "missing/plan.html"), "missing/plan.html: cannot be written"),
        (("--page", "plan.pdf"), "plan.pdf: cannot be written"),
        (("--more-storage", "1 parsec"), "'1 parsec' is not a number of bytes"),
        (("--time-limit", "0"), "'0' is not a positive number of seconds"),
    ],
)
def test_mistakes_are_one_line(
    files: Files, call: Any, change: tuple[str, str], message: str
) -> None:
    words = files.words()
    option, value = change
    if option in words:
        words[words.index(option) + 1] = value
    else:
        words += change
    code, out, err = call(*words)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_files_that_do_not_fit_are_named(files: Files, call: Any, tmp_path: Path) -> None:
    model = tmp_path / "wide.toml"
    model.write_text(files.model.read_text().replace("moe_layers = 3", "moe_layers = 4"))
    words = files.words()
    words[words.index("--model") + 1] = str(model)
    code, _, err = call(*words)
    assert (code, str(files.trace) in err, err.count("\n")) == (2, True, 1)

    network = tmp_path / "boxes.toml"
    network.write_text(files.network.read_text().replace("latency_ms = [1.0, 3.0, 5.0]\n", "", 1))
    words = files.words()
    words[words.index("--network") + 1] = str(network)
    code, _, err = call(*words)
    assert (code, str(network) in err, err.count("\n")) == (2, True, 1)

    words = files.words()
    at = words.index("--trace")
    words[at : at + 4] = ["--trace", str(files.counts)]
    code, _, err = call(*words)
    assert code == 2
    assert "counts.csv: --trace: it holds counts" in err
    words[at : at + 2] = ["--counts", str(files.trace)]
    code, _, err = call(*words)
    assert code == 2
    assert "routes.npz: --counts: it holds the experts of each token" in err

    old = tmp_path / "old.json"
    old.write_text('{"format": "moeplace/placement", "version": 1, "instance": "x", "servers": []}')
    code, _, err = call(*files.words(), "--minimise-moves-from", old)
    assert code == 2
    assert "old.json: servers: a list of 0 is not an object" in err


def test_architecture_files_and_names_give_the_same_model(files: Files) -> None:
    assert read_architecture(files.model).model().uniform_bytes == EXPERT_BYTES


@pytest.mark.skipif(not REAL_TRACE.is_file(), reason="needs the trace beside the project")
def test_five_boxes_and_a_real_trace(call: Any, tmp_path: Path) -> None:
    """The done-when of plan: one command, a certificate, a page."""
    network = ROOT / "docs" / "examples" / "five-boxes.toml"
    shutil.copy(network, tmp_path / "five-boxes.toml")
    code, out, err = call(
        *("plan", "--model", "gpt-oss-20b", "--network", tmp_path / "five-boxes.toml"),
        *("--trace", REAL_TRACE, "-o", tmp_path / "placement.json"),
        *("--page", tmp_path / "plan.html", "--json", "--time-limit", "60"),
    )
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["certified"] is True
    assert found["gap"] < 0.01
    assert found["latency_ms"] < 0.5 * found["alternatives"]["popularity"]
    assert "on 5 boxes" in (tmp_path / "plan.html").read_text()
