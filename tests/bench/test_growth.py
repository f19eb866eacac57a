import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.environment import Environment
from bench.growth import __main__ as command
from bench.growth import measurement, study
from bench.growth.document import End, Growth, Measured, Point, read_growth, to_dict, write_growth
from bench.growth.fit import fit_exponent
from bench.growth.measurement import Cost, Failure, Made
from bench.growth.plot import draw_growth
from bench.growth.shapes import AXES, LARGEST_ROWS, SHAPES, build, sizes_of
from bench.growth.study import Plan
from bench.growth.table import arrange, terminal_tables
from bench.growth.tasks import STEPS, UnsupportedSize, find_tasks, half_full, prepare
from bench.report import render_page
from bench.store import Store
from bench.summary import summarise
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.files import read_instance
from instances.result import Outcome, StopReason
from tests.bench.test_report import Page
from tests.damage import damaged_documents

ENVIRONMENT = Environment(
    python="3.11.0",
    platform="Linux",
    cpu="abacus",
    cores=2,
    memory_bytes=7_000_000_000,
    versions={"numpy": "1"},
)


def point(size, cpu_s, **changes):
    values = {
        **{"axis": "rows", "shape": "wide", "task": "greedy", "size": size, "rows": size},
        **{"layers": 48, "experts": 128, "top_k": 8, "users": 32, "servers": 8},
        **{"instance_bytes": 1000, "cpu_s": cpu_s, "clock_s": cpu_s, "repetitions": 1},
        "peak_bytes": 100 * size,
    }
    return Point(**{**values, **changes})


def growth(points=(), ends=(), **changes):
    tasks = (
        Measured(name="greedy", kind="heuristic", complexity="O(P log P)"),
        Measured(name="evaluate", kind="step", complexity="O(R K)"),
        Measured(name="cp-sat", kind="exact", complexity="exponential in the worst case"),
    )
    values = {
        **{"code_version": "0.1.0+src.abc", "commit": "1f2e3d", "environment": ENVIRONMENT},
        **{"started_at": "2026-11-23T04:00:00+00:00", "time_limit_s": 60.0, "complete": True},
        **{"memory_limit_bytes": 8_000_000_000, "tasks": tasks},
        **{"points": tuple(points), "ends": tuple(ends)},
    }
    return Growth(**{**values, **changes})


SIZES = (1_000, 10_000, 100_000, 1_000_000)
STUDY = growth(
    [
        *(point(size, 1e-9 * size**1.5) for size in SIZES),
        *(point(size, 1e-6 * size, task="evaluate", peak_bytes=0) for size in SIZES),
        point(8, 0.5, axis="servers", rows=8192, servers=8),
        point(16, 2.0, axis="servers", rows=8192, servers=16),
    ],
    [
        End(axis="rows", shape="narrow", task="cp-sat", size=830, reason="longer than 60 s"),
        End(axis="servers", shape="wide", task="greedy", size=32, reason="it is <b>bold</b>"),
    ],
)


# -- exponents ------------------------------------------------------------------------------------


@given(
    exponent=st.floats(-2, 3),
    factor=st.floats(1e-6, 1e3),
    sizes=st.lists(st.integers(1, 99), min_size=2, max_size=6, unique=True),
)
def test_a_power_is_found_exactly(exponent, factor, sizes):
    fit = fit_exponent(sizes, [factor * size**exponent for size in sizes])
    assert fit.exponent == pytest.approx(exponent, abs=1e-6)
    assert fit.spread == pytest.approx(1.0, abs=1e-6)
    assert fit.points == len(sizes)
    assert math.isnan(fit.error) if len(sizes) == 2 else fit.error < 1e-6


def test_the_error_is_that_of_least_squares():
    sizes, values = [1.0, 10.0, 100.0], [1.0, 20.0, 80.0]
    fit = fit_exponent(sizes, values)
    (slope, _), covariance = np.polyfit(np.log(sizes), np.log(values), 1, cov=True)
    assert fit.exponent == pytest.approx(slope)
    assert fit.error == pytest.approx(math.sqrt(covariance[0, 0]))
    assert 1.0 < fit.spread < 2.0


def test_small_sizes_and_zeros_do_not_count():
    assert fit_exponent([1, 10, 100, 1000], [9.0, 1.0, 10.0, 100.0]).points == 3
    assert fit_exponent([1, 10, 100, 1000], [9.0, 1.0, 10.0, 100.0]).exponent == pytest.approx(1)
    assert fit_exponent([10, 100, 1000], [0.0, 1.0, 10.0]).points == 2
    assert fit_exponent([10, 100], [0.0, 1.0]) is None
    assert fit_exponent([1, 1000], [1.0, 1.0]) is None
    assert fit_exponent([], []) is None


# -- instances ------------------------------------------------------------------------------------

SMALL = [
    pytest.param(size, id=f"{size.axis}-{size.shape}-{size.value}")
    for axis in AXES
    for shape in SHAPES
    for size in sizes_of(axis, shape, largest_rows=20_000)
    if size.servers <= 100
]


@pytest.mark.parametrize("size", SMALL)
def test_sizes_are_what_they_say(size):
    instance = build(size)
    assert instance.num_users == size.users
    assert instance.num_servers == size.servers
    assert instance.num_experts == size.layers * size.experts
    assert instance.top_k == size.top_k
    if size.axis == "rows":
        assert instance.num_rows == pytest.approx(size.value, rel=0.1)
    else:
        assert getattr(size, size.axis) == size.value
        assert instance.num_rows == size.users * size.layers * size.rows_each
        pairs = instance.demand_user * size.layers + instance.demand_layer
        assert set(np.bincount(pairs)) == {size.rows_each}


@pytest.mark.parametrize("axis", AXES)
def test_three_decades_and_the_same_rows(axis):
    sizes = sizes_of(axis, "wide")
    values = [size.value for size in sizes]
    assert values == sorted(values)
    assert values[-1] / values[0] >= (500 if axis == "rows" else 1000)
    if axis != "rows":
        assert len({size.users * size.layers * size.rows_each for size in sizes}) == 1
    assert max(s.value for s in sizes_of("rows", "wide")) <= LARGEST_ROWS
    assert sizes_of("rows", "wide", largest_rows=10_000_000)[-1].value == 10_000_000


def test_too_few_different_rows_are_an_error():
    size = dataclasses.replace(sizes_of("servers", "wide")[0], tokens=2)
    with pytest.raises(ValueError, match="rows of some user in some layer"):
        build(size)


def test_the_placement_that_is_evaluated_fills_servers(tiny):
    placement = half_full(tiny)
    evaluation = evaluate(tiny, placement)
    assert evaluation.feasible
    free = tiny.capacity_bytes - evaluation.used_bytes
    for server, bytes_ in enumerate(free):
        assert placement.stored[server].all() or bytes_ < tiny.expert_bytes.max()


# -- tasks ----------------------------------------------------------------------------------------


def test_every_step_and_method_is_a_task():
    tasks = {task.name: task for task in find_tasks(("steps", "heuristics", "exact", "bounds"))}
    assert set(STEPS) < set(tasks)
    assert tasks["greedy"].kind == "heuristic"
    assert tasks["server-set"].kind == "bound"
    assert tasks["cp-sat"].kind == "exact"
    assert all(task.complexity for task in tasks.values())
    assert [task.name for task in find_tasks(("check", "greedy", "check"))] == ["check", "greedy"]
    with pytest.raises(InputError, match="'magic' is not one of"):
        find_tasks(("magic",))


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    size = sizes_of("servers", "narrow")[1]
    return size, measurement.make(size, tmp_path_factory.mktemp("growth"))


def test_instances_are_made_in_another_process(smallest):
    size, made = smallest
    instance = build(size)
    assert read_instance(made.path).checksum() == instance.checksum()
    assert (made.rows, made.users, made.servers) == (instance.num_rows, size.users, size.servers)
    assert made.num_bytes > instance.demand_experts.nbytes


@pytest.mark.parametrize("name", [*STEPS, "popularity", "server-set"])
def test_tasks_do_their_work(smallest, name):
    size, made = smallest
    (task,) = find_tasks((name,))
    assert prepare(task, size, made.path)() == ""


@pytest.mark.parametrize(
    ("name", "proven", "placed", "bound", "useful"),
    [
        ("popularity", False, True, math.inf, True),
        ("server-set", False, False, 5.0, True),
        ("server-set", False, False, math.inf, False),
        ("milp-compact", False, True, 5.0, False),
        ("milp-compact", True, True, 5.0, True),
    ],
)
def test_an_exact_method_must_prove(smallest, monkeypatch, name, proven, placed, bound, useful):
    size, made = smallest

    def answer(algorithm, instance, *, rng):
        return Outcome(
            stop_reason=StopReason.COMPLETED,
            placement=half_full(instance) if placed else None,
            bound_saving_ms=bound,
            proven_optimal=proven,
            reason="no luck",
        )

    monkeypatch.setattr("bench.growth.tasks.run", answer)
    (task,) = find_tasks((name,))
    assert prepare(task, size, made.path)() == ("" if useful else "no luck")


def test_a_method_that_does_not_take_the_instance_says_why(smallest):
    size, made = smallest
    (task,) = find_tasks(("continuous-greedy",))
    with pytest.raises(UnsupportedSize, match="K = 1"):
        prepare(task, size, made.path)


def measured(monkeypatch, smallest, work, time_limit_s=30.0, memory_bytes=2**30):
    """Measure work of our own: the process inherits what is patched here."""
    size, made = smallest
    (task,) = find_tasks(("evaluate",))
    monkeypatch.setattr(measurement, "prepare", lambda *_: work)
    return measurement.measure(task, size, made, time_limit_s, memory_bytes)


def test_memory_is_what_the_work_takes(monkeypatch, smallest):
    def work():
        assert np.ones(40_000_000 // 8).sum() > 0
        return ""

    cost = measured(monkeypatch, smallest, work)
    assert 40_000_000 <= cost.peak_bytes < 60_000_000
    nothing = measured(monkeypatch, smallest, lambda: "")
    assert nothing.peak_bytes < 2_000_000
    assert nothing.repetitions == measurement.MOST_REPETITIONS


def test_time_is_that_of_the_fastest_run(monkeypatch, smallest):
    naps = iter((0.2, 0.01, 0.05))

    def work():
        time.sleep(next(naps))
        return ""

    monkeypatch.setattr(measurement, "ENOUGH_S", 0.205)
    cost = measured(monkeypatch, smallest, work)
    assert cost.repetitions == 2
    assert 0.01 <= cost.clock_s < 0.2
    assert cost.cpu_s < cost.clock_s


def out_of_memory():
    return str(np.ones(2**28).sum())


def unsupported(*_):
    raise UnsupportedSize("only on Sundays")


def test_programs_of_a_solver_are_killed_with_it(monkeypatch, smallest, tmp_path):
    def work():
        program = subprocess.Popen(["sleep", "60"])
        (tmp_path / "pid").write_text(str(program.pid))
        program.wait()
        return ""

    assert measured(monkeypatch, smallest, work, time_limit_s=1.0) == Failure("longer than 1 s")
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/status")
    assert not status.exists() or "zombie" in status.read_text()


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (lambda: time.sleep(60) or "", "longer than 0.5 s"),
        (lambda: "no proof", "no proof"),
        (lambda: os._exit(3), "ended with code 3"),
        (lambda: os.kill(os.getpid(), 9), "killed by SIGKILL"),
        (out_of_memory, "more memory than it may have"),
    ],
)
def test_failures_say_why(monkeypatch, smallest, work, reason):
    assert measured(monkeypatch, smallest, work, time_limit_s=0.5) == Failure(reason)


def test_a_size_that_is_not_supported(monkeypatch, smallest):
    size, made = smallest
    monkeypatch.setattr(measurement, "prepare", unsupported)
    (task,) = find_tasks(("greedy",))
    assert measurement.measure(task, size, made, 1.0, 2**30) == Failure("only on Sundays")


# -- the study ------------------------------------------------------------------------------------


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """A study without instances: costs come from a table; calls are noted."""
    calls = []

    def pretend_to_measure(task, size, made, time_limit_s, memory_bytes):
        calls.append((task.name, size.shape, size.value))
        if task.name == "continuous-greedy" and size.shape != "single":
            return Failure("only for K = 1")
        seconds = 1e-4 * size.value
        return Cost(cpu_s=seconds, clock_s=seconds, peak_bytes=size.value, repetitions=1)

    def pretend_to_make(size, folder):
        return Made(path=folder, rows=size.value, users=size.users, servers=8, num_bytes=1)

    monkeypatch.setattr(study, "measure", pretend_to_measure)
    monkeypatch.setattr(study, "make", pretend_to_make)
    monkeypatch.setattr(study, "_warm", lambda tasks: None)
    return calls


def plan(*names, **changes):
    values = {
        **{"tasks": find_tasks(names), "axes": ("rows",), "largest_rows": 1_000_000, "every": 1},
        **{"time_limit_s": 50.0, "memory_limit_bytes": 10**9, "budget_s": None},
    }
    return Plan(**{**values, **changes})


def test_tasks_grow_until_they_take_too_long(pretended):
    mine = plan("evaluate", "continuous-greedy", "cp-sat", time_limit_s=20.0)
    kept = []
    grown = study.grow(mine, study.begin(mine), kept.append)
    assert grown.complete
    assert kept[-1] == grown
    sizes = {
        name: [(p.shape, p.size) for p in grown.points if p.task == name]
        for name in ("evaluate", "continuous-greedy", "cp-sat")
    }
    assert [size for _, size in sizes["evaluate"]] == [
        *(1_500, 4_600, 14_000, 43_000, 130_000, 360_000)
    ]
    assert {shape for shape, _ in sizes["continuous-greedy"]} == {"single"}
    assert {shape for shape, _ in sizes["cp-sat"]} == {"narrow"}
    reasons = {(end.task, end.shape): end.reason for end in grown.ends}
    assert reasons["evaluate", "wide"] == "longer than 20 s"
    assert reasons["continuous-greedy", "wide"] == "only for K = 1"
    assert ("continuous-greedy", "wide", 4_600) not in pretended


def test_one_point_is_no_growth(pretended, monkeypatch):
    def pretend_to_measure(task, size, made, time_limit_s, memory_bytes):
        if size.shape == "wide" and size.value > 1_500:
            return Failure("too wide")
        return Cost(cpu_s=1.0, clock_s=1.0, peak_bytes=1, repetitions=1)

    monkeypatch.setattr(study, "measure", pretend_to_measure)
    mine = plan("popularity")
    grown = study.grow(mine, study.begin(mine), lambda _: None)
    assert [p.size for p in grown.points if p.shape == "wide"] == [1_500]
    assert {p.shape for p in grown.points} == {"wide", "narrow"}
    ((row,),) = (table.rows for table in arrange(grown))
    assert row.shape == SHAPES["narrow"]
    assert row.end == "wide layers, K > 1: too wide"


def test_programs_count_too(monkeypatch, smallest):
    spin = "import time\nwhile time.process_time() < 0.3: pass"

    def work():
        subprocess.run([sys.executable, "-c", spin], check=True)
        return ""

    assert measured(monkeypatch, smallest, work).cpu_s >= 0.3


def test_every_second_size_keeps_the_largest(pretended):
    mine = plan("evaluate", every=2, largest_rows=130_000)
    grown = study.grow(mine, study.begin(mine), lambda _: None)
    assert [p.size for p in grown.points] == [1_500, 14_000, 130_000]


def test_a_study_goes_on_where_it_stopped(pretended):
    class Interrupted(Exception):
        pass

    kept = []

    def keep(now):
        kept.append(now)
        if len(kept) == 5:
            raise Interrupted

    mine = plan("evaluate", "popularity")
    with pytest.raises(Interrupted):
        study.grow(mine, study.begin(mine), keep)
    before = list(pretended)
    grown = study.grow(mine, study.resume(mine, kept[-1]), lambda _: None)
    assert len(before) == 5
    assert len(set(pretended)) == len(pretended) == len(grown.points)
    whole = study.grow(mine, study.begin(mine), lambda _: None)
    assert sorted(map(str, grown.points)) == sorted(map(str, whole.points))


def test_more_tasks_join_a_study(pretended):
    first = plan("evaluate")
    earlier = study.grow(first, study.begin(first), lambda _: None)
    more = plan("popularity")
    grown = study.grow(more, study.resume(more, earlier), lambda _: None)
    assert [task.name for task in grown.tasks] == ["evaluate", "popularity"]
    assert {p.task for p in grown.points} == {"evaluate", "popularity"}


def test_a_study_of_other_code_is_not_continued(pretended):
    mine = plan("evaluate")
    other = dataclasses.replace(study.begin(mine), code_version="0.0.1")
    with pytest.raises(InputError, match="code_version: differs from that of this run"):
        study.resume(mine, other)
    with pytest.raises(InputError, match="time_limit_s: differs"):
        study.resume(plan("evaluate", time_limit_s=1.0), study.begin(mine))


def test_a_budget_ends_the_study(pretended, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(study.time, "monotonic", lambda: next(clock))
    mine = plan("evaluate", "popularity", budget_s=4.0)
    grown = study.grow(mine, study.begin(mine), lambda _: None)
    assert not grown.complete
    assert 0 < len(grown.points) < 5


# -- files ----------------------------------------------------------------------------------------


def test_files_come_back_as_they_were(tmp_path):
    write_growth(tmp_path / "g.json", STUDY)
    assert read_growth(tmp_path / "g.json") == STUDY
    write_growth(tmp_path / "again.json", read_growth(tmp_path / "g.json"))
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "g.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="x"), "format: 'x' is not 'moeplace/growth'"),
        (lambda c: c.update(version=2), "version: 2 is not 1"),
        (lambda c: c.update(version=True), "version: true is not 1"),
        (lambda c: c.pop("points"), "points: the field is missing"),
        (lambda c: c.update(complete=1), "complete: 1 is neither true nor false"),
        (lambda c: c.update(started_at="today"), "started_at: 'today' is not a moment"),
        (lambda c: c.update(started_at="2026-11-23"), "'2026-11-23' is not a moment"),
        (lambda c: c["environment"].update(cpu=""), r"environment\.cpu: '' is not a name"),
        (
            lambda c: c["environment"]["versions"].update(numpy=2),
            r"environment\.versions\.numpy: 2 is not a name",
        ),
        (lambda c: c["tasks"][0].update(kind="magic"), r"tasks\[0\]\.kind: 'magic' is not one of"),
        (lambda c: c["tasks"].append(c["tasks"][0]), r"tasks\[3\]\.name: 'greedy' occurs twice"),
        (lambda c: c["points"][0].update(axis="time"), r"points\[0\]\.axis: 'time' is not one of"),
        (lambda c: c["points"][1].update(task="x"), r"points\[1\]\.task: 'x' is none of the tasks"),
        (lambda c: c["points"][1].update(size=0), r"points\[1\]\.size: 0 is not between 1 and"),
        (lambda c: c["points"][1].update(rows=2.5), r"points\[1\]\.rows: 2.5 is not an integer"),
        (lambda c: c["points"][1].update(rows=10**16), r"rows: 10000000000000000 is not between"),
        (lambda c: c["points"][1].update(cpu_s=0), r"points\[1\]\.cpu_s: 0.0 s is not between"),
        (lambda c: c["points"][1].update(cpu_s=1e300), r"cpu_s: 1e\+300 s is not between"),
        (lambda c: c["points"][1].update(peak_bytes=-1), r"peak_bytes: -1 is not between 0 and"),
        (lambda c: c["points"].append(c["points"][0]), r"points\[10\]: the same task and size"),
        (lambda c: c["ends"][0].update(reason=""), r"ends\[0\]\.reason: '' is not a name"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    content = json.loads(json.dumps(to_dict(STUDY)))
    change(content)
    path = tmp_path / "g.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        read_growth(path)
    assert str(caught.value).startswith(str(path))


@settings(max_examples=150)
@given(content=damaged_documents(json.loads(json.dumps(to_dict(STUDY)))))
def test_whatever_is_taken_can_be_shown(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(json.dumps(content))
    try:
        taken = read_growth(path)
    except InputError:
        return
    assert json.loads(json.dumps(to_dict(taken))) == content
    terminal_tables(taken)


def test_the_largest_numbers_of_a_file_can_be_drawn():
    odd = growth(
        [
            point(10**15, 1e9, peak_bytes=10**15),
            point(1, 1e-9, peak_bytes=0),
            point(5, 3.0, axis="users"),
        ]
    )
    assert [drawing.name for drawing in draw_growth(odd)] == ["growth-rows", "growth-users"]


# -- tables and the page --------------------------------------------------------------------------


def test_tables_have_exponents_and_mark_steep_ones():
    rows, servers = arrange(STUDY)
    assert (rows.axis, servers.axis) == ("rows", "servers")
    assert [row.task.name for row in rows.rows] == ["evaluate", "greedy", "cp-sat"]
    evaluation, greedy, exact = rows.rows
    assert evaluation.time.exponent == pytest.approx(1.0)
    assert evaluation.memory is None
    assert greedy.time.exponent == pytest.approx(1.5)
    assert greedy.memory.exponent == pytest.approx(1.0)
    assert rows.steep == (greedy,)
    assert (exact.points, exact.end) == ((), "layers of few experts, K = 2: longer than 60 s")
    assert servers.steep == ()  # 2.0 in servers is shown, and not measured by rows
    assert servers.rows[0].end == "it is <b>bold</b>"
    memory = growth([point(size, 1e-6 * size, peak_bytes=size**2) for size in SIZES])
    assert [row.task.name for row in arrange(memory)[0].steep] == ["greedy"]
    little = [dataclasses.replace(p, instance_bytes=10**13) for p in memory.points]
    assert arrange(growth(little))[0].steep == ()
    assert arrange(growth()) == []


def page_of(tmp_path, study_):
    with Store.open_for_writing(tmp_path / "s.sqlite") as store:
        summary = summarise(store.results())
    drawings = {drawing.name: drawing for drawing in draw_growth(study_)}
    return render_page(summary, drawings, growth=study_)


def test_the_page_shows_the_study(tmp_path):
    html = page_of(tmp_path, STUDY)
    page = Page(html)
    assert "growth" in page.sections
    shown = {row[0][1]: row for row in page.rows("table-growth-rows")}
    assert set(shown) == {"evaluate", "greedy|above 1.2", "cp-sat"}
    greedy = shown["greedy|above 1.2"]
    assert float(greedy[2][0]) == arrange(STUDY)[0].rows[1].time.exponent
    assert [text for _, text in greedy[2:8]] == [
        *("1.50 ± 0.00", "1.00 ± 0.00", "1,000,000", "1.00 s", "100 MB", "100 B")
    ]
    steep = html.partition('<ul id="growth-steep">')[2].partition("</ul>")[0]
    assert "O(P log P)" in steep
    assert "evaluate" not in steep
    assert "it is &lt;b&gt;bold&lt;/b&gt;" in html
    assert 'id="figure-growth-rows"' in html
    assert 'id="figure-growth-servers"' in html
    assert 'data-figure="growth' not in html
    assert "cut short" not in html


def test_a_study_that_was_cut_short_says_so(tmp_path):
    assert "cut short" in page_of(tmp_path, dataclasses.replace(STUDY, complete=False))


def test_without_a_study_there_is_no_section(tmp_path):
    with Store.open_for_writing(tmp_path / "s.sqlite") as store:
        html = render_page(summarise(store.results()), {})
    assert 'id="growth"' not in html


def test_the_report_takes_the_file(call, tmp_path):
    store = tmp_path / "s.sqlite"
    with Store.open_for_writing(store):
        pass
    write_growth(tmp_path / "g.json", STUDY)
    words = ("report", "--store", store, "-o", tmp_path / "r", "--growth")
    code, _, err = call(*words, tmp_path / "g.json")
    assert (code, err.count("\n")) == (1, 1)  # no attempts: the report is there, and says so
    assert (tmp_path / "r" / "figures" / "growth-rows.svg").exists()
    assert 'id="growth"' in (tmp_path / "r" / "index.html").read_text()
    code, _, err = call("report", "--store", store, "-o", tmp_path / "r")
    assert not (tmp_path / "r" / "figures" / "growth-rows.svg").exists()
    (tmp_path / "bad.json").write_text('{"format": "moeplace/growth"}')
    code, out, err = call(*words, tmp_path / "bad.json")
    assert (code, out) == (2, "")
    assert "bad.json: version: the field is missing" in err
    assert err.count("\n") == 1


# -- the command ----------------------------------------------------------------------------------


def test_the_command_measures_and_goes_on(tmp_path, capsys):
    path = tmp_path / "g.json"
    words = ["--algorithms", "evaluate,popularity", "--axes", "rows", "--largest", "4600"]
    assert command.main([*words, "-o", str(path)]) == 0
    first = read_growth(path)
    assert [(p.task, p.rows // 1000) for p in first.points] == [
        *(("evaluate", 1), ("popularity", 1), ("evaluate", 4), ("popularity", 4))
    ]
    assert all(p.size == p.rows and p.cpu_s > 0 and p.instance_bytes > 0 for p in first.points)
    assert "growth with demand rows" in capsys.readouterr().out
    assert command.main([*words, "--resume", "-o", str(path)]) == 0
    assert read_growth(path) == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--algorithms", "magic"], "method: 'magic' is not one of"),
        (["-o", "g.csv"], "cannot be written: the name must end in .json"),
        (["--resume"], "not JSON"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.json").write_text("x")
    assert command.main(["-o", "g.json", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
