import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from bench.formulation_comparison import Row as Run
from bench.peers import (
    certificate,
    closures,
    convolution,
    evaluation,
    exact,
    greedy,
    knapsack,
    startup,
)
from bench.peers.__main__ import MODULES, main, markdown_of, table_of
from bench.peers.document import FORMAT, document
from bench.peers.race import (
    DisagreementError,
    MissingPeerError,
    Race,
    Row,
    Seconds,
    race,
    require_equal,
    require_same,
    titled,
)
from bench.peers.shapes import filled, whole_number_instance, wide_instance
from instances.checker import check as check_exactly
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.result import Outcome, StopReason

SECOND = Seconds(wall=1.0, cpu=1.0)


def rows_of(module: ModuleType) -> list[Row]:
    return list(module.compare("toy"))


# -- every comparison, small -----------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=[module.NAME for module in MODULES])
def test_a_comparison_measures_both_sides(module: ModuleType) -> None:
    rows = rows_of(module)
    measured = [row for row in rows if not row.checked.endswith("is not installed")]
    assert measured
    assert {row.comparison for row in rows} == {module.NAME}
    for row in measured:
        assert row.ours_s is not None
        assert row.peer_s is not None
        assert row.ratio == row.peer_s.wall / row.ours_s.wall > 0.0
        assert row.cpu_ratio == row.peer_s.cpu / row.ours_s.cpu > 0.0
        assert row.finished
        assert row.checked


def test_both_sides_are_called_in_turn() -> None:
    calls: list[str] = []
    result = race(
        lambda: calls.append("ours") or len(calls),
        lambda: calls.append("peer") or len(calls),
        rounds=2,
        calls=2,
    )
    assert calls == ["ours", *["ours", "ours", "peer"] * 2]
    assert (result.ours, result.peer) == (6, 7)
    assert result.ours_s.wall >= 0.0
    assert result.peer_s.cpu >= 0.0


# -- a differing result is an error ----------------------------------------------------------


def test_values_that_differ_are_an_error() -> None:
    assert require_same("value", 1.0, 1.0 + 1e-12) == "same value"
    with pytest.raises(DisagreementError, match=r"value: moeplace says 1.0, the peer 1.00001"):
        require_same("value", 1.0, 1.00001)
    assert require_equal("curve", [1, 2], [1, 2]) == "same curve"
    with pytest.raises(DisagreementError, match=r"curve\[1\]: moeplace says .*2.*3"):
        require_equal("curve", [1, 2], [1, 3])
    with pytest.raises(DisagreementError, match="shapes"):
        require_equal("curve", [1, 2], [1])


def test_a_latency_that_differs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = evaluation.evaluate_by_numpy
    monkeypatch.setattr(evaluation, "evaluate_by_numpy", lambda *a: numpy(*a) * (1 + 1e-8))
    with pytest.raises(DisagreementError, match="latency"):
        rows_of(evaluation)


def test_picks_that_are_not_largest_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = greedy.single_picks
    monkeypatch.setattr(greedy, "single_picks", lambda *a, **k: ours(*a, **k)[::-1])
    with pytest.raises(DisagreementError, match=r"pick 0 of moeplace, .* gains .* is possible"):
        rows_of(greedy)


def test_a_closure_that_differs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = closures.closure_value
    monkeypatch.setattr(closures, "closure_value", lambda *a: flow(*a) + 1)
    with pytest.raises(DisagreementError, match="closure value"):
        rows_of(closures)


def test_a_convolution_that_differs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = convolution.all_pairs
    monkeypatch.setattr(convolution, "all_pairs", lambda f, g: pairs(f, g)[::-1])
    with pytest.raises(DisagreementError, match="both concave, value"):
        rows_of(convolution)


def test_knapsacks_are_checked_for_value_size_and_proof() -> None:
    tiny = knapsack.Knapsack(profit=np.array([3, 4, 5]), size=np.array([1, 2, 3]), capacity=3)
    best = np.array([True, True, False])
    assert knapsack.check(tiny, best, 0.0, 7, finished=True) == "same value"
    assert "not solved" in knapsack.check(tiny, best, 0.0, 5, finished=False)
    for chosen, lost, found, finished, match in (
        (best, 0.0, 8, True, "value"),
        (best, 0.0, 8, False, "has found 8"),
        (best, 0.5, 7, True, "short of the best"),
        (np.ones(3, dtype=np.bool_), 0.0, 12, True, "take 6 of 3"),
    ):
        with pytest.raises(DisagreementError, match=match):
            knapsack.check(tiny, chosen, lost, found, finished=finished)


def run_of(saving: float, *, proven: bool, bound: float = math.inf) -> Run:
    return Run(
        instance="i",
        configuration="c",
        proven=proven,
        seconds=1.0,
        cpu_seconds=1.0,
        saving_ms=saving,
        bound_ms=bound,
        nodes=None,
        note="",
    )


def test_optima_that_differ_are_an_error() -> None:
    ours = run_of(2.0, proven=True)
    assert exact.check(ours, run_of(2.0, proven=True)) == "same optimum"
    for peer in (run_of(math.nan, proven=False), run_of(1.9, proven=False, bound=2.5)):
        assert "no proof" in exact.check(ours, peer)
    for own, peer, match in (
        (ours, run_of(1.9, proven=True), "optimum: moeplace says 2.0, the peer 1.9"),
        (ours, run_of(2.1, proven=False), "where the peer has 2.1"),
        (ours, run_of(1.0, proven=False, bound=1.5), "above the peer's 1.5"),
        (run_of(2.0, proven=False), run_of(2.0, proven=True), "has not solved"),
    ):
        with pytest.raises(DisagreementError, match=match):
            exact.check(own, peer)


def test_a_bound_below_a_placement_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = generate("gpt-oss", size="tiny", seed=0)
    known = certificate.server_set(instance)
    assert known.placement is not None
    saving = evaluate(instance, known.placement).saving_ms

    def bounded(factor: float, *, certified: bool = True) -> Outcome:
        return Outcome(
            stop_reason=StopReason.COMPLETED,
            placement=known.placement,
            proven_optimal=False,
            bound_saving_ms=saving * factor,
            bound_certified=certified,
        )

    monkeypatch.setattr(certificate, "server_set", lambda instance: bounded(0.99))
    with pytest.raises(DisagreementError, match="bound of server-set"):
        certificate.compare_on(instance)
    monkeypatch.setattr(certificate, "server_set", lambda instance: bounded(2.0, certified=False))
    with pytest.raises(DisagreementError, match="not certified"):
        certificate.compare_on(instance)


def test_a_command_that_prints_nothing_is_an_error() -> None:
    assert startup.check("moeplace --help", "usage: solve", ("solve",)) == "complete output"
    with pytest.raises(DisagreementError, match="does not print 'solve'"):
        startup.check("moeplace --help", "", ("solve",))


# -- what is checked by hand -----------------------------------------------------------------


@pytest.mark.parametrize("family", ["tiny", "mixed", "switch"])
def test_numpy_evaluates_as_fractions_do(family: str) -> None:
    # several models, experts on the device, rows of several lengths
    instance = generate(family, size="tiny", seed=1)
    placement = filled(instance)
    exactly = check_exactly(instance, placement)
    assert not exactly.overfull
    assert evaluation.evaluate_by_numpy(instance, placement) == pytest.approx(
        float(exactly.latency_ms), rel=1e-12
    )


def test_closures_of_a_layer_by_hand() -> None:
    # Gains: {0} 4, {1, 2} 3, {0, 1, 2} 1. At a price of 1: {0} gains 3, all three 8 - 3 = 5.
    # At a price of 3: {0} gains 1, all 8 - 9; at 5 nothing is worth it.
    layer = closures.Layer(
        weight=np.array([4, 3, 1]),
        offsets=np.array([0, 1, 3, 6]),
        bits=np.array([0, 1, 2, 0, 1, 2]),
        experts=3,
    )
    assert [closures.closure_value(layer, price, 1) for price in (1, 3, 5)] == [5, 1, 0]
    corners = closures.hull(layer)
    assert corners.experts.tolist() == [0, 1, 3]
    assert corners.gain.tolist() == [0, 4, 8]


def test_gains_of_picks_are_those_of_the_evaluator() -> None:
    instance = whole_number_instance(users=4, servers=3, experts=5)
    picks = greedy.single_picks(instance, most=7)
    gained, largest = greedy.gains(instance, picks)
    assert np.array_equal(gained, largest)
    pairs = [(int(n), int(x)) for n, x in picks]
    savings = [
        evaluate(instance, Placement.of(instance, pairs[:count])).saving_ms for count in range(8)
    ]
    assert np.cumsum([0.0, *gained]).tolist() == savings


def test_picks_in_another_order_count_as_the_same_only_where_gains_tie() -> None:
    instance = whole_number_instance(users=1, servers=2, experts=1)
    latency = np.array([[5.0, 5.0]])
    tied = replace(instance, latency_ms=latency)
    zero, one = np.array([[0, 0]]), np.array([[1, 0]])
    result = Race(ours_s=SECOND, peer_s=SECOND, ours=zero, peer=one)
    assert greedy.check(tied, result) == "same picks up to ties, same value"
    apart = replace(instance, latency_ms=np.array([[5.0, 6.0]]))
    with pytest.raises(DisagreementError, match="pick 0 of peer"):
        greedy.check(apart, result)


class NaiveFunction:
    """Stands for submodlib's functions: greedy by evaluating the value of every set."""

    def __init__(self, n: int) -> None:
        self.n = n

    def value(self, chosen: Sequence[int]) -> float:
        raise NotImplementedError

    def maximize(self, budget: int, optimizer: str, show_progress: bool) -> list[tuple[int, float]]:
        assert optimizer == "LazyGreedy"
        assert not show_progress
        chosen: list[int] = []
        steps = []
        while len(chosen) < budget:
            left = [pair for pair in range(self.n) if pair not in chosen]
            best = max(left, key=lambda pair: self.value([*chosen, pair]))
            steps.append((best, self.value([*chosen, best]) - self.value(chosen)))
            chosen.append(best)
        return steps


class NaiveFacilityLocation(NaiveFunction):
    def __init__(self, n, mode, separate_rep, n_rep, sijs) -> None:
        super().__init__(n)
        assert mode == "dense"
        assert separate_rep
        assert sijs.shape == (n_rep, n)
        self.kernel = sijs

    def value(self, chosen: Sequence[int]) -> float:
        return float(self.kernel[:, chosen].max(axis=1, initial=0.0).sum(dtype=np.float64))


class NaiveSetCover(NaiveFunction):
    def __init__(self, n, cover_set, num_concepts, concept_weights) -> None:
        super().__init__(n)
        assert len(concept_weights) == num_concepts
        self.cover, self.weight = cover_set, np.array(concept_weights)

    def value(self, chosen: Sequence[int]) -> float:
        covered = set().union(*(self.cover[pair] for pair in chosen))
        return float(self.weight[sorted(covered)].sum())


def test_both_forms_handed_to_submodlib_are_the_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(
        FacilityLocationFunction=NaiveFacilityLocation, SetCoverFunction=NaiveSetCover
    )
    monkeypatch.setitem(sys.modules, "submodlib", stand_in)
    monkeypatch.setattr(greedy, "titled", lambda name, title="": f"{title or name} 0")
    rows = rows_of(greedy)
    assert [row.peer.split(": ")[1] for row in rows] == [
        "LazyGreedy, facility location",
        "LazyGreedy, weighted set cover",
        "lazy greedy",
    ]
    assert {row.checked for row in rows} == {"same picks, same value"}


def test_submodlib_itself_picks_the_same() -> None:
    pytest.importorskip("submodlib", reason="only in the extra 'peers'")
    assert {row.checked for row in rows_of(greedy)} == {"same picks, same value"}


# -- table and document ----------------------------------------------------------------------


def test_what_is_not_installed_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingPeerError, match="no-such-peer is not installed"):
        titled("no-such-peer")

    def missing(distribution: str, title: str = "") -> str:
        if distribution == "submodlib-py":
            raise MissingPeerError("submodlib-py is not installed")
        return titled(distribution, title)

    monkeypatch.setattr(greedy, "titled", missing)
    rows = rows_of(greedy)
    assert [row.checked for row in rows[:2]] == ["submodlib-py is not installed"] * 2
    assert math.isnan(rows[0].ratio)
    described = document(rows, "toy")["rows"]
    assert [row["measured"] for row in described] == [False, False, True]
    assert described[0]["ratio"] is described[0]["ours_seconds"] is None
    columns = table_of(rows).columns
    assert list(columns[5].cells)[:2] == ["", ""]
    assert "not installed" in next(iter(columns[6].cells))


def test_ratios_of_peers_that_ran_out_of_time_are_lower_bounds() -> None:
    row = Row(
        comparison="exact",
        case="i",
        ours="a",
        peer="b",
        checked="no proof",
        ours_s=Seconds(wall=0.5, cpu=0.25),
        peer_s=Seconds(wall=60.0, cpu=61.7),
        finished=False,
    )
    cells = [next(iter(column.cells)) for column in table_of([row]).columns]
    assert cells == ["i", "a", "500 ms", "b", "> 60.0 s", "> 120 (> 247)", "no proof"]
    lines = markdown_of([row, row]).splitlines()
    assert lines[0] == "| instance | moeplace | its time | instead | time | ratio (CPU) | checked |"
    assert lines[2] == "| i | a | 500 ms | b | > 60.0 s | > 120 (> 247) | no proof |"
    assert lines[3].startswith("|  | a |")  # an instance is named once


def test_the_document_has_what_the_table_shows(tmp_path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "peers.json"
    words = ["--only", "convolution", "evaluation", "--size", "toy", "--scale", "tiny"]
    assert main([*words, "--json", str(path)]) == 0
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["format"], content["version"], content["size"]) == (FORMAT, 1, "toy")
    assert content["environment"]["versions"]["numpy"] == np.__version__
    rows = content["rows"]
    assert [row["comparison"] for row in rows] == ["evaluation"] * 2 + ["convolution"] * 3
    out = capsys.readouterr().out
    for row in rows:
        assert row["measured"]
        assert row["ratio"] == row["peer_seconds"] / row["ours_seconds"]
        assert row["cpu_ratio"] == row["peer_cpu_seconds"] / row["ours_cpu_seconds"]
        assert row["case"].split()[0] in out
    assert rows[-1]["detail"]["lengths"] == list(convolution.LENGTHS["toy"])


def test_the_program_fails_where_results_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pairs = convolution.all_pairs
    monkeypatch.setattr(convolution, "all_pairs", lambda f, g: pairs(f, g) + 1.0)
    assert main(["--only", "convolution", "evaluation", "--size", "toy"]) == 1
    captured = capsys.readouterr()
    assert "error: results differ: convolution: both concave, value[0]" in captured.err
    assert "maximum.reduceat" in captured.out  # the others are still shown


def test_unknown_comparisons_and_sizes_are_refused(capsys: pytest.CaptureFixture) -> None:
    cases = {"--only speed": "invalid choice: 'speed'", "--scale vast": "invalid choice: 'vast'"}
    for words, match in cases.items():
        with pytest.raises(SystemExit):
            main(words.split())
        assert match in capsys.readouterr().err


def test_exponents_are_slopes() -> None:
    assert convolution.exponent((10, 100, 1000), [1.0, 100.0, 10_000.0]) == pytest.approx(2.0)


def test_instances_have_the_shape_asked_for() -> None:
    wide = wide_instance(layers=2, users=3, servers=4, tokens=5)
    assert (wide.num_layers, wide.num_experts, wide.top_k) == (2, 256, 8)
    whole = whole_number_instance(users=3, servers=2, experts=9)
    product = whole.demand_rate.max() * whole.cloud_latency_ms.max()
    assert product < 2**24  # exact in single precision
    assert np.array_equal(whole.demand_rate, np.rint(whole.demand_rate))
    assert filled(wide).num_copies > 0
