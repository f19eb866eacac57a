import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from bench.algorithms import GROUPS
from bench.audit import Line, Measured, audit
from bench.cli import main
from bench.summary import summarise
from heuristics import HEURISTICS
from instances.files import read_instance
from instances.registry import Algorithm
from tests.bench import liars
from tests.bench.attempts import attempt, failure, frame, optimum, unsupported

Call = Callable[..., tuple[int, str, str]]
GREEDY = HEURISTICS.get("greedy")
HEAD = ["family", "bound", "smallest", "mean", "instances", "runs", "smallest", "on"]
CLAIM = {"guarantee": "F >= 1/2 OPT", "guarantee_ratio": 0.5}


@pytest.fixture
def registered() -> Iterator[None]:
    before = dict(HEURISTICS._specs)  # noqa: SLF001  (a registry has no way to forget)
    for liar in (liars.LIAR, liars.SUBTLE, liars.OVERFULL):
        HEURISTICS.register(liar)
    yield
    HEURISTICS._specs.clear()  # noqa: SLF001
    HEURISTICS._specs.update(before)  # noqa: SLF001


def line_of(attempts: pd.DataFrame, label: str, *known: Algorithm) -> Line:
    (line,) = (each for each in audit(summarise(attempts), known).lines if each.label == label)
    return line


def on(name: str, **changes: object) -> dict[str, object]:
    return {"instance": name, "checksum": name, **changes}


# -- the table --------------------------------------------------------------------------------


def test_the_smallest_ratio_and_the_closest_one_are_told_apart_with_their_bounds() -> None:
    # a: 60 of 100, bound 0.5; b: 75 of 100, bound 0.74; c: 10 of 100 where nothing is claimed;
    # d: no optimum; e: cut off, so nothing is promised; f: a bound of 0 is no claim.
    attempts = frame(
        *(optimum(100.0, **on(name)) for name in "abcef"),
        attempt(saving_ms=60.0, **on("a", **CLAIM)),
        attempt(saving_ms=75.0, **on("b", guarantee="F >= 1/2 OPT", guarantee_ratio=0.74)),
        attempt(saving_ms=10.0, **on("c")),
        attempt(saving_ms=1.0, **on("d", **CLAIM)),
        attempt(saving_ms=55.0, stop_reason="time_limit", **on("e", **CLAIM)),
        attempt(saving_ms=20.0, **on("f", guarantee="F >= 1/2 OPT", guarantee_ratio=0.0)),
    )
    line = line_of(attempts, "greedy", GREEDY)
    assert line.worst == Measured(0.6, "a", 0.5)
    assert line.closest == Measured(0.75, "b", 0.74)
    assert line.closest.margin == pytest.approx(0.01)
    assert line.worst_unclaimed is not None
    assert (line.worst_unclaimed.ratio, line.worst_unclaimed.instance) == (0.1, "c")
    assert math.isnan(line.worst_unclaimed.bound)
    assert (line.claims, line.measured) == (2, 5)
    assert line.formula == "F >= 1/2 OPT"
    assert line.scope == "K = 1, all experts of one size"


def test_a_bound_of_1_is_claimed_but_never_the_closest() -> None:
    sure = {"guarantee": "F >= OPT", "guarantee_ratio": 1.0}
    attempts = frame(
        optimum(100.0, **on("a")),
        optimum(100.0, **on("b")),
        attempt(saving_ms=100.0, **on("a", **sure)),
        attempt(saving_ms=70.0, **on("b", **CLAIM)),
    )
    line = line_of(attempts, "greedy", GREEDY)
    assert line.claims == 2
    assert line.closest == line.worst == Measured(0.7, "b", 0.5)


def test_exact_methods_claim_what_they_proved() -> None:
    attempts = frame(
        optimum(100.0, **on("a")),
        optimum(100.0, **on("b")),
        attempt(
            algorithm="milp-compact",
            exact=True,
            stop_reason="time_limit",
            saving_ms=40.0,
            **on("b"),
        ),
    )
    attempts.loc[1, "algorithm"] = "layer-enumeration"
    line = line_of(attempts, "milp-compact", *GROUPS["exact"])
    assert line.formula == "F = OPT when it completes"
    assert line.worst == Measured(1.0, "a", 1.0)
    assert line.worst_unclaimed is not None
    assert line.worst_unclaimed.ratio == 0.4
    assert line.claims == 1


def test_methods_that_never_ran_and_methods_that_are_not_known_have_a_line() -> None:
    attempts = frame(
        optimum(100.0),
        attempt(algorithm="theirs", saving_ms=90.0, guarantee="F >= 0.8 OPT", guarantee_ratio=0.8),
        unsupported(algorithm="other"),
        failure(algorithm="another"),
    )
    lines = audit(summarise(attempts), [GREEDY]).lines
    assert [line.label for line in lines] == [
        *("another", "other", "theirs", "milp-compact", "greedy")
    ]
    theirs = lines[2]
    assert (theirs.formula, theirs.scope) == ("F >= 0.8 OPT", "")
    assert theirs.worst == Measured(0.9, "mixtral-tiny-s0", 0.8)
    greedy = lines[-1]
    assert (greedy.claims, greedy.measured, greedy.worst) == (0, 0, None)
    assert audit(summarise(frame()), []).lines == []


def test_near_tight_families_with_what_was_measured_there() -> None:
    attempts = frame(
        optimum(100.0, **on("a", family="coverage-tight")),
        optimum(100.0, **on("b", family="coverage-tight")),
        attempt(saving_ms=51.0, **on("a", family="coverage-tight", **CLAIM)),
        attempt(saving_ms=56.0, **on("b", family="coverage-tight", **CLAIM)),
    )
    near_tight = line_of(attempts, "greedy", GREEDY).near_tight
    assert near_tight["coverage-tight"] == 0.51
    assert math.isnan(near_tight["density-trap"])
    assert line_of(attempts, "milp-compact").near_tight == {}


def test_methods_without_a_family_of_their_own_are_shown_on_those_of_others() -> None:
    attempts = frame(
        optimum(100.0, **on("a", family="order-trap")),
        optimum(100.0, **on("b", family="mixtral")),
        attempt(algorithm="theirs", saving_ms=80.0, **on("a", family="order-trap", **CLAIM)),
        attempt(algorithm="theirs", saving_ms=70.0, **on("b", family="mixtral")),
    )
    line = line_of(attempts, "theirs")
    assert line.near_tight == {}
    assert line.hardest == Measured(0.8, "a", 0.5)


def test_what_runs_prove_of_themselves_by_their_own_bound() -> None:
    attempts = frame(
        attempt(saving_ms=90.0, bound_saving_ms=100.0, **on("a")),  # no optimum is needed
        attempt(saving_ms=80.0, bound_saving_ms=160.0, **on("b")),
        attempt(saving_ms=80.0, **on("c")),
        attempt(saving_ms=0.0, bound_saving_ms=1e-9, **on("d")),  # nothing but rounding
        failure(bound_saving_ms=100.0, **on("e")),
    )
    line = line_of(attempts, "greedy", GREEDY)
    assert line.certificate is not None
    assert (line.certificate.ratio, line.certificate.instance) == (0.5, "b")
    assert math.isnan(line.certificate.bound)
    nothing = line_of(attempts[2:4], "greedy").certificate
    assert nothing is not None
    assert (nothing.ratio, nothing.instance) == (1.0, "d")


def test_upper_bounds_are_held_against_optima() -> None:
    attempts = frame(
        *(optimum(100.0, **on(name)) for name in "ab"),
        failure("completed", algorithm="lp", bound_saving_ms=104.0, **on("a")),
        failure("completed", algorithm="lp", bound_saving_ms=120.0, **on("b")),
        failure("completed", algorithm="lp", bound_saving_ms=99.0, **on("c")),  # no optimum
    )
    lines = audit(
        summarise(attempts), [dataclasses.replace(GREEDY, name="lp", guarantee=None)], ["lp"]
    )
    (line,) = (each for each in lines.lines if each.label == "lp")
    assert line.formula == "U >= OPT, U its upper bound"
    assert line.bound is not None
    assert (line.bound.ratio, line.bound.instance) == (1.04, "a")
    refuted = frame(optimum(100.0), failure("completed", algorithm="lp", bound_saving_ms=90.0))
    assert list(audit(summarise(refuted), []).contradictions["kind"]) == ["bound"]


def test_family_by_family() -> None:
    attempts = frame(
        *(optimum(100.0, **on(name, family="switch")) for name in "abc"),
        optimum(100.0, **on("d", family="mixtral")),
        attempt(saving_ms=60.0, **on("a", family="switch", **CLAIM)),
        attempt(
            saving_ms=90.0,
            **on("b", family="switch", guarantee="F >= 1/2 OPT", guarantee_ratio=0.7),
        ),
        attempt(saving_ms=90.0, seed=1, **on("b", family="switch")),
        attempt(saving_ms=30.0, **on("d", family="mixtral")),
    )
    mixtral, switch = line_of(attempts, "greedy", GREEDY).families
    assert (mixtral.family, mixtral.instances, mixtral.runs, mixtral.mean) == ("mixtral", 1, 1, 0.3)
    assert math.isnan(mixtral.bound)
    assert (switch.family, switch.instances, switch.runs, switch.bound) == ("switch", 2, 3, 0.5)
    assert switch.least == Measured(0.6, "a", 0.5)
    assert switch.mean == pytest.approx(0.8)


def test_the_audit_has_the_contradictions_of_the_report() -> None:
    attempts = frame(optimum(100.0), attempt(saving_ms=49.0, **CLAIM))
    summary = summarise(attempts)
    found = audit(summary, [GREEDY]).contradictions
    assert found is summary.contradictions
    assert list(found["kind"]) == ["guarantee"]


# -- the command ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "results.sqlite"
    words = ["run", "--families", "coverage-tight", "density-trap", "--sizes", "tiny"]
    methods = ["--with", "greedy", "popularity", "milp-compact"]
    assert main([*words, *methods, "--store", str(path)]) == 0
    return path


def test_an_honest_store_passes(store: Path, call: Call) -> None:
    code, out, err = call("audit", "--store", store)
    assert (code, err) == (0, "")
    block = out[out.index("\ngreedy\n") : out.index("\npopularity\n")]
    assert "F >= 1/2 OPT, for: K = 1, all experts of one size" in block
    assert "on coverage-tight-tiny-s0, where the bound is 0.5; claimed and measured on 1" in block
    assert "on density-trap-tiny-s0, where nothing is claimed" in block
    assert "coverage-tight (0.5" in block
    assert "coactivation-trap (–)" in block  # noqa: RUF001  (the dash of tables)
    assert "F = OPT when it completes" in out
    assert "successive-dp" in out  # never ran, but known
    assert "smallest on" not in out
    code, out, _ = call("audit", "--store", store, "--families")
    assert code == 0
    block = out[out.index("\ngreedy\n") : out.index("\npopularity\n")]
    head, tight, trap = block.splitlines()[-3:]
    assert head.split() == HEAD
    assert tight.split()[:2] == ["coverage-tight", "0.5"]
    assert tight.split()[-1] == "coverage-tight-tiny-s0"
    assert trap.split()[:2] == ["density-trap", "–"]  # noqa: RUF001  (the dash of tables)


def test_the_same_for_programs(store: Path, call: Call) -> None:
    code, out, _ = call("audit", "--store", store, "--json")
    assert code == 0
    content = json.loads(out)
    assert content["ok"] is True
    assert content["contradictions"] == []
    lines = {line["label"]: line for line in content["algorithms"]}
    greedy = lines["greedy"]
    assert greedy["guarantee"]["formula"] == "F >= 1/2 OPT"
    assert greedy["worst"]["instance"] == "coverage-tight-tiny-s0"
    assert greedy["worst"]["bound"] == 0.5
    assert 0.5 <= greedy["worst"]["ratio"] < 0.6
    assert greedy["near_tight"]["coactivation-trap"] is None
    assert lines["random"]["guarantee"] is None
    assert lines["milp-compact"]["worst"]["ratio"] == 1.0


@pytest.mark.usefixtures("registered")
def test_a_liar_fails_the_audit_of_a_store(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "lies.sqlite"
    words = ["run", "--families", "coverage-tight", "--sizes", "tiny", "--store", path]
    assert call(*words, "--with", "liar", "milp-compact")[0] == 0
    code, out, err = call("audit", "--store", path)
    assert code == 1
    (alarm,) = err.splitlines()
    assert alarm.startswith("moeplace: GUARANTEE BROKEN: coverage-tight-tiny-s0: liar guarantees")
    assert "1.0 of the optimum (F >= OPT (a lie)), but saves 0.0 ms" in alarm
    assert "0.0000 on coverage-tight-tiny-s0, where the bound is 1" in out
    code, out, _ = call("audit", "--store", path, "--json")
    assert code == 1
    content = json.loads(out)
    assert content["ok"] is False
    assert [row["kind"] for row in content["contradictions"]] == ["guarantee"]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("liar", "text"),
    [
        ("liar", "GUARANTEE BROKEN: {path}: liar guarantees 1.0 of the optimum"),
        ("overfull-liar", "ERROR: overfull-liar on {path}: server"),
    ],
)
def test_a_liar_fails_the_search(liar: str, text: str, tmp_path: Path, call: Call) -> None:
    words = ["audit", "--search", "0.1", "--with", liar, "greedy", "-o", tmp_path / "worst"]
    code, _, err = call(*words)
    assert code == 1
    path = tmp_path / "worst" / f"worst-{liar}-claimed.json"
    assert f"moeplace: {text.format(path=path)}" in err
    assert read_instance(path).name == f"worst-{liar}-claimed"
    assert "greedy" not in err


def test_a_search_writes_the_worst_instances_which_can_be_measured_again(
    tmp_path: Path, call: Call
) -> None:
    directory = tmp_path / "worst"
    words = ["--with", "greedy", "--seed", "1", "-o", directory, "--json"]
    code, out, _ = call("audit", "--search", "0.5", *words)
    assert code == 0
    content = json.loads(out)
    assert content["ok"] is True
    claimed, unclaimed = content["search"]
    assert claimed["bound"] == 0.5
    assert 0.5 <= claimed["ratio"] <= 1
    assert unclaimed["bound"] is None
    # the store confirms what the search says
    store = tmp_path / "s.sqlite"
    files = [claimed["path"], unclaimed["path"]]
    call("run", "--instances", *files, "--with", "greedy", "milp-compact", "--store", store)
    code, out, _ = call("audit", "--store", store, "--json")
    assert code == 0
    (line,) = (line for line in json.loads(out)["algorithms"] if line["label"] == "greedy")
    assert line["worst"]["instance"] == "worst-greedy-claimed"
    assert line["worst"]["ratio"] == pytest.approx(claimed["ratio"], rel=1e-9)
    assert line["worst_unclaimed"]["ratio"] == pytest.approx(unclaimed["ratio"], rel=1e-9)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "audit: give --store FILE, --search SECONDS, or both"),
        (["--store", "x", "--with", "greedy"], "--with: belongs to --search SECONDS"),
        (["--store", "x", "-o", "y"], "--output: belongs to --search SECONDS"),
        (["--store", "x", "--seed", "0"], "--seed: belongs to --search SECONDS"),
        (["--search", "1", "--families"], "--families: belongs to --store FILE"),
        (["--store", "no-such-file"], "no such store"),
        (["--search", "0"], "'0' is not a positive number of seconds"),
        (["--search", "1", "--with", "greddy"], "did you mean 'greedy'?"),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], text: str, call: Call) -> None:
    code, out, err = call("audit", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert text in err


def test_a_store_without_a_known_ratio_is_no_answer(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "s.sqlite"
    call("run", "--families", "tiny", "--sizes", "tiny", "--with", "greedy", "--store", path)
    code, _, err = call("audit", "--store", path)
    assert code == 1
    assert "no ratio is known" in err


# -- conformance ------------------------------------------------------------------------------


def test_conformance_of_one_of_ours(call: Call) -> None:
    code, out, err = call("conformance", "popularity")
    assert (code, err) == (0, "")
    assert "keeps its guarantee" in out
    assert "BROKEN" not in out


@pytest.mark.usefixtures("registered")
def test_conformance_of_a_liar(call: Call) -> None:
    code, out, err = call("conformance", "liar", "--json")
    assert code == 1
    content = json.loads(out)
    assert content["ok"] is False
    assert content["rules"]["keeps its guarantee"] is False
    assert content["rules"]["is feasible"] is True
    assert len(content["findings"]) == err.count("moeplace: keeps its guarantee: ") >= 25
    code, out, _ = call("conformance", "overfull-liar")
    assert code == 1
    assert out.count("BROKEN") >= 2


def test_conformance_of_nothing(call: Call) -> None:
    code, _, err = call("conformance", "greddy")
    assert code == 2
    assert "did you mean 'greedy'?" in err
