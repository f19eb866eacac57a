import base64
import json
import math

import numpy as np
import pytest

from bench.incumbent import Step
from bench.instance_pages import describe_pages, thin
from bench.page_data import page_data
from bench.store import Store
from bench.summary import summarise
from tests.bench.attempts import attempt, failure, frame, optimum
from tests.bench.test_report import HOSTILE, fill

PLACEMENT = {
    "format": "moeplace/placement",
    "servers": {"e0": [{"model": "m", "layer": 1, "experts": [0, 7]}], "e2": []},
}


def step(seconds, saving=math.nan, bound=math.inf):
    return Step(seconds=seconds, saving_ms=saving, bound_saving_ms=bound, bound_certified=False)


@pytest.fixture
def told(tmp_path):
    rows = [optimum(100.0), attempt(), failure(algorithm="dead"), attempt(checksum="b")]
    steps = {("c0", "milp-compact"): (step(0.5, bound=120.0), step(2.0, 100.0, 100.0))}
    steps["c0", "greedy"] = tuple(step(float(n), n + 1.0) for n in range(500))
    path = fill(tmp_path / "s.sqlite", frame(*rows), {("c0", "greedy"): PLACEMENT}, steps)
    with Store.open(path) as store:
        summary = summarise(store.results())
        return summary, describe_pages(store, summary)


def test_pages_hold_the_trajectories_of_their_own_attempts(told):
    summary, pages = told
    assert [page.checksum for page in pages] == list(summary.instances["checksum"])
    page = pages[[page.checksum for page in pages].index("c0")]
    names = dict(zip(summary.attempts["attempt_id"], summary.attempts["label"], strict=True))
    assert {names[number] for number in page.trajectories} == {"milp-compact", "greedy"}
    (proof,) = [steps for number, steps in page.trajectories.items() if names[number][0] == "m"]
    assert [each.bound_saving_ms for each in proof] == [120.0, 100.0]
    assert math.isnan(proof[0].saving_ms)


def test_long_trajectories_are_thinned_and_say_so(told):
    _, pages = told
    page = next(page for page in pages if page.checksum == "c0")
    assert page.thinned
    longest = max(page.trajectories.values(), key=len)
    assert len(longest) == 200
    assert (longest[0].seconds, longest[-1].seconds) == (0.0, 499.0)
    assert len(thin(longest, 200)) == 200


def test_many_trajectories_share_the_room_of_the_page(told, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.instance_pages.ALL_STEPS", 100)
    with Store.open(tmp_path / "s.sqlite") as store:
        pages = describe_pages(store, told[0])
    lengths = [len(steps) for page in pages for steps in page.trajectories.values()]
    assert sorted(lengths) == [2, 50]


def test_the_best_placement_that_is_stored_is_shown(told):
    _, pages = told
    page = next(page for page in pages if page.checksum == "c0")
    assert (page.shown.method, page.shown.optimal) == ("greedy", False)
    assert page.shown.stored.sum(axis=1).tolist() == [2, 0, 0]
    assert page.waiting.reason  # the made-up instance cannot be generated
    other = next(page for page in pages if page.checksum == "b")
    assert other.shown is None
    assert other.waiting is None


def test_the_data_of_the_page_reads_back(told):
    summary, pages = told
    data = json.loads(str(page_data(summary, pages)))
    attempts = summary.attempts
    runs = data["runs"]
    assert [data["methods"][m]["name"] for m in runs["method"]] == list(attempts["label"])
    savings = [math.nan if value is None else value for value in runs["saving_ms"]]
    np.testing.assert_array_equal(savings, attempts["saving_ms"])
    index = list(summary.instances["checksum"]).index("c0")
    shown = data["pages"][index]["map"]
    bits = [np.frombuffer(base64.b64decode(row), dtype=np.uint8) for row in shown["stored"]]
    experts = sum(layers * experts for _, layers, experts in shown["models"])
    stored = np.array([np.unpackbits(row, count=experts) for row in bits])
    page = pages[index]
    np.testing.assert_array_equal(stored, page.shown.stored)
    failed = [row for row in runs["failure"] if row is not None]
    assert [summary.failures["label"][row] for row in failed] == ["dead"]


def test_no_name_can_end_the_element_that_holds_the_data():
    hostile = HOSTILE + "</template></script>"
    summary = summarise(frame(attempt(algorithm=hostile, family=hostile, instance=hostile)))
    text = str(page_data(summary, ()))
    assert not set("<>&") & set(text)
    assert json.loads(text)["methods"][0]["name"] == hostile


def test_infinite_ratios_are_written_as_text():
    rows = [optimum(200.0), attempt(saving_ms=0.0)]
    data = json.loads(str(page_data(summarise(frame(*rows)), ())))
    assert "Infinity" in data["runs"]["latency_ratio"]
