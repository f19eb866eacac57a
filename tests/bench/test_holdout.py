import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from bench.algorithms import find_algorithms
from bench.held_out import study, synthetic_traffic
from bench.held_out_file import read_studies, to_dict, write_studies
from bench.held_out_table import arrange
from bench.report import render_page
from bench.store import Store
from bench.summary import summarise
from heuristics import HEURISTICS
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.files import write_instance
from instances.simulation.held_out import hold_out
from instances.simulation.queueing import Queueing
from instances.simulation.simulator import simulate

QUICK = ("popularity", "successive-hull", "greedy-enumeration")


@pytest.fixture(scope="module")
def traffic():
    return synthetic_traffic("gpt-oss", "tiny", 0)


@pytest.fixture(scope="module")
def measured(traffic):
    instance, routes, words = traffic
    return study(
        instance,
        routes,
        None,
        traffic=words,
        synthetic=True,
        splits=("requests", "users"),
        methods=find_algorithms(QUICK),
        seed=0,
        time_limit_s=5.0,
    )


def test_numbers_are_those_of_the_evaluator(traffic, measured):
    instance, routes, _ = traffic
    part = hold_out(instance, routes, None, "requests")
    solve = HEURISTICS.get("successive-hull").solve
    planned, hindsight = (
        solve(one, rng=np.random.default_rng(0)) for one in (part.planned, part.measured)
    )
    first = measured.measurements[0]
    plan = next(plan for plan in first.plans if plan.method == "successive-hull")
    assert plan.promised_ms == evaluate(part.planned, planned).latency_ms
    assert plan.measured_ms == evaluate(part.measured, planned).latency_ms
    assert plan.hindsight_ms == evaluate(part.measured, hindsight).latency_ms
    loaded = simulate(
        part.measured, planned, part.replay, queueing=Queueing(service_share=measured.load_share)
    )
    assert plan.load_factor == loaded.mean.mean / loaded.alone_ms > 1
    assert first.cloud_ms == evaluate(part.measured, planned).empty_latency_ms


def test_nothing_is_better_than_the_best_and_nothing_below_the_bound(measured):
    assert [part.split for part in measured.measurements] == ["requests", "users"]
    for part in measured.measurements:
        times = [plan.measured_ms for plan in part.plans] + [p.hindsight_ms for p in part.plans]
        known = [time for time in times if not math.isnan(time)]
        assert part.best_ms == min(known)
        assert part.bound_ms <= part.best_ms * (1 + 1e-12)
        assert part.bound_ms > 0.5 * part.best_ms
        assert [cache.policy for cache in part.caches] == ["lru", "lfu"]
        assert all(part.best_ms * 0.5 < c.measured_ms <= part.cloud_ms for c in part.caches)
        assert part.share(part.best_ms) == 1
        assert part.share(part.cloud_ms) == 0


def test_a_method_that_cannot_says_why(measured):
    plan = next(p for p in measured.measurements[0].plans if p.method == "greedy-enumeration")
    assert math.isnan(plan.measured_ms)
    assert "the method is for K = 1" in plan.reason
    table = arrange(measured)
    assert [row.name for row in table.plans] == ["successive-hull", "popularity"]
    assert table.silent == (("greedy-enumeration", plan.reason),)


def test_synthetic_traffic_is_the_same_each_time():
    first, same, other = (synthetic_traffic("switch", "tiny", seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first.experts, same.experts)
    assert not np.array_equal(first.experts, other.experts)


def test_nothing_to_save_is_all_saved(measured):
    part = replace(measured.measurements[0], best_ms=5.0, cloud_ms=5.0)
    assert part.share(5.0) == 1


def test_files_come_back_as_they_were(measured, tmp_path):
    path = tmp_path / "held-out.json"
    write_studies(path, [measured])
    (again,) = read_studies(path)
    assert to_dict([again]) == to_dict([measured])  # NaN differs from itself
    assert again.measurements[0].plans[0] == measured.measurements[0].plans[0]
    write_studies(tmp_path / "again.json", [again])
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="x"), "format: 'x' is not 'moeplace/held-out'"),
        (lambda c: c.update(version=2), "version: 2 is not 1"),
        (lambda c: c.pop("studies"), "studies: the field is missing"),
        (lambda c: c["studies"][0].update(user=1), r"studies\[0\].user: unknown field"),
        (lambda c: c["studies"][0].update(users=1.5), r"studies\[0\].users: 1.5 is not an integer"),
        (lambda c: c["studies"][0].update(synthetic=1), r"synthetic: 1 is neither true nor false"),
        (lambda c: c["studies"][0].update(time_limit_s=None), r"time_limit_s: null is not a numb"),
        (
            lambda c: c["studies"][0]["measurements"][1]["plans"][0].update(measured_ms="fast"),
            r"studies\[0\].measurements\[1\].plans\[0\].measured_ms: 'fast' is not a number",
        ),
        (
            lambda c: c["studies"][0]["measurements"][0].update(split="weeks"),
            r"measurements\[0\].split: 'weeks' is not one of requests, time, users",
        ),
    ],
)
def test_damaged_files_are_refused(measured, tmp_path, change, message):
    content = to_dict([measured])
    change(content)
    path = tmp_path / "held-out.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        read_studies(path)
    assert str(caught.value).startswith(str(path))


class Cells(HTMLParser):
    """Cells of the first held-out table: method -> numbers."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.inside, self.head = {}, False, None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "table":
            self.inside = attributes.get("id") == "table-held-out-1"
        elif self.inside and tag == "th" and attributes.get("scope") == "row":
            self.head = ""
        elif self.inside and tag == "td" and attributes.get("data-value"):
            self.rows[self.head].append(float(attributes["data-value"]))

    def handle_data(self, data):
        if self.inside and self.head == "" and data.strip():
            self.head = data.strip()
            self.rows[self.head] = []


def test_the_report_shows_the_table(measured, tmp_path):
    with Store.open_for_writing(tmp_path / "s.sqlite") as store:
        summary = summarise(store.results())
    plain = render_page(summary, {})
    assert 'id="held-out"' not in plain
    html = render_page(summary, {}, held_out=[measured])
    assert 'id="held-out"' in html
    assert "This traffic is synthetic" in html
    rows = Cells(html).rows
    for name in ("popularity", "successive-hull"):
        expected = []
        for part in measured.measurements:
            plan = next(plan for plan in part.plans if plan.method == name)
            expected += [plan.promised_ms, plan.measured_ms, plan.hindsight_ms]
            expected += [part.share(plan.measured_ms), plan.load_factor]
        assert rows[name] == expected
    assert rows["Cloud only"] == [part.cloud_ms for part in measured.measurements]
    assert rows["No placement is below"] == [part.bound_ms for part in measured.measurements]
    assert rows["LRU caches"][0] == measured.measurements[0].caches[0].measured_ms
    assert "greedy-enumeration: " in html
    recorded = render_page(summary, {}, held_out=[replace(measured, synthetic=False)])
    assert "This traffic is synthetic" not in recorded


@pytest.fixture
def files(tmp_path):
    instance, routes, _ = synthetic_traffic("mixtral", "tiny", 1)
    write_instance(tmp_path / "i.json", instance)
    np.savez(tmp_path / "routes.npz", experts=routes.experts, offsets=routes.offsets)
    return tmp_path / "i.json", tmp_path / "routes.npz"


def test_a_recorded_trace(call, files, tmp_path):
    output = tmp_path / "out.json"
    options = ("--with", "popularity", "greedy", "--splits", "time", "-o", output)
    code, out, _ = call("holdout", *files, *options)
    assert code == 0
    assert "mixtral-tiny-s1: 24 requests recorded in" in out
    assert "time: the later half of each user's tokens is held out" in out
    assert "no placement is below" in out
    assert f"written to {output}" in out
    (one,) = read_studies(output)
    assert not one.synthetic
    assert [plan.method for plan in one.measurements[0].plans] == ["popularity", "greedy"]
    code, printed, _ = call("holdout", *files, *options, "--users", 3, "--json")
    assert code == 0
    assert json.loads(printed)["studies"][0]["requests"] == 24


def test_the_report_takes_the_file(call, files, tmp_path):
    output = tmp_path / "out.json"
    call("holdout", *files, "--with", "popularity", "-o", output)
    store = tmp_path / "s.sqlite"
    call("run", "--families", "tiny", "--sizes", "tiny", "--with", "popularity", "--store", store)
    code, _, err = call("report", "--store", store, "--held-out", output, "-o", tmp_path / "r")
    assert (code, err) == (0, "")
    assert 'id="held-out"' in (tmp_path / "r" / "index.html").read_text()
    code, _, err = call("report", "--store", store, "--held-out", files[0], "-o", tmp_path / "r")
    assert code == 2
    assert "i.json: " in err


def test_no_answer_at_all(call, files):
    code, _, err = call("holdout", *files, "--with", "continuous-greedy", "--splits", "time")
    assert code == 1
    assert "no method gave a placement" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["FILE"], "ROUTES: is missing"),
        (["--users", "2"], "--users: needs ROUTES"),
        (["FILE", "TRACE", "--splits", "weeks"], "split: 'weeks' is not one of"),
        (["FILE", "TRACE", "--with", "magic"], "method: 'magic' is not one of"),
        (["FILE", "TRACE", "-o", "x.csv"], "cannot be written: the name must end in .json"),
    ],
)
def test_mistakes_are_one_line(call, files, options, message):
    known = dict(zip(("FILE", "TRACE"), files, strict=True))
    code, out, err = call("holdout", *(known.get(word, word) for word in options))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
