import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.headline import find_headline
from bench.report import csv_bytes
from bench.summary import summarise
from instances.errors import InputError
from tests.bench.attempts import attempt, benchmark, failure, frame, optimum, unsupported


def row_of(table, **wanted):
    chosen = table
    for column, value in wanted.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1, wanted
    return chosen.iloc[0]


def kinds(summary):
    return list(summary.contradictions["kind"])


def test_both_ratios_of_a_heuristic_are_taken_to_the_proven_optimum():
    # F = 80 of F* = 100; T = 200 - 80 = 120 against T* = 100.
    summary = summarise(frame(attempt(saving_ms=80.0), optimum(100.0)))
    greedy = row_of(summary.methods, label="greedy")
    assert greedy["saving_ratio_mean"] == 0.8
    assert greedy["latency_ratio_mean"] == 1.2
    assert greedy["bound_gap_count"] == 0
    assert math.isnan(greedy["bound_gap_mean"])


def test_worst_is_the_smallest_saving_ratio_and_the_largest_latency_ratio_each_with_its_instance():
    # a: F/F* = 0.5, T/T* = 950/900; b: F/F* = 0.9, T/T* = 19/10: the two worst runs differ.
    a = {"instance": "a", "checksum": "a", "empty_latency_ms": 1000.0}
    b = {"instance": "b", "checksum": "b", "empty_latency_ms": 100.0}
    summary = summarise(
        frame(
            *(optimum(100.0, **a), attempt(saving_ms=50.0, **a)),
            *(optimum(90.0, **b), attempt(saving_ms=81.0, **b)),
        )
    )
    greedy = row_of(summary.families, label="greedy", family="mixtral")
    assert greedy["saving_ratio_worst"] == 0.5
    assert greedy["saving_ratio_worst_on"] == "a"
    assert greedy["latency_ratio_worst"] == 1.9
    assert greedy["latency_ratio_worst_on"] == "b"
    assert greedy["saving_ratio_mean"] == pytest.approx(0.7, rel=1e-15)


def test_without_a_proven_optimum_there_is_a_gap_to_the_best_bound_and_no_ratio():
    stopped = {"exact": True, "stop_reason": "time_limit"}
    summary = summarise(
        frame(
            attempt(saving_ms=80.0),
            attempt(algorithm="milp", saving_ms=90.0, bound_saving_ms=125.0, **stopped),
            attempt(algorithm="scip", saving_ms=85.0, bound_saving_ms=100.0, **stopped),
            failure(algorithm="lp", exact=True, bound_saving_ms=160.0),
        )
    )
    greedy = row_of(summary.methods, label="greedy")
    assert greedy["saving_ratio_count"] == 0
    assert math.isnan(greedy["saving_ratio_mean"])
    assert greedy["bound_gap_mean"] == 0.2
    instance = summary.instances.iloc[0]
    assert instance["bound_ms"] == 100.0
    assert instance["bound_by"] == "scip"
    assert instance["best_by"] == "milp"
    assert math.isnan(instance["optimum_ms"])


def test_a_bound_of_an_attempt_without_a_placement_counts():
    summary = summarise(
        frame(attempt(saving_ms=80.0), failure("time_limit", algorithm="lp", bound_saving_ms=100.0))
    )
    assert row_of(summary.methods, label="greedy")["bound_gap_mean"] == 0.2


def test_without_any_bound_there_is_neither_ratio_nor_gap():
    summary = summarise(frame(attempt(), attempt(algorithm="lp", bound_saving_ms=math.inf)))
    assert summary.methods["saving_ratio_count"].sum() == 0
    assert summary.methods["bound_gap_count"].sum() == 0
    assert math.isnan(summary.instances.iloc[0]["bound_ms"])
    assert find_headline(summary) is None


@pytest.mark.parametrize(("latency", "ratio"), [(200.0, 1.0)])
def test_where_nothing_can_be_saved_a_placement_that_saves_nothing_has_ratio_one(latency, ratio):
    summary = summarise(frame(attempt(saving_ms=0.0, latency_ms=latency), optimum(0.0)))
    assert kinds(summary) == []
    greedy = row_of(summary.methods, label="greedy")
    assert greedy["saving_ratio_mean"] == ratio
    assert greedy["latency_ratio_mean"] == 1.0


def test_where_the_optimum_takes_no_time_any_latency_is_infinitely_worse():
    rows = [optimum(200.0), attempt(saving_ms=150.0), attempt(algorithm="dp", saving_ms=200.0)]
    summary = summarise(frame(*rows))
    assert row_of(summary.methods, label="greedy")["latency_ratio_worst"] == math.inf
    assert row_of(summary.methods, label="dp")["latency_ratio_worst"] == 1.0


def test_ties_name_every_method_that_reaches_the_best_saving():
    summary = summarise(
        frame(optimum(100.0), attempt(saving_ms=100.0 * (1 - 1e-12)), attempt(algorithm="random"))
    )
    assert summary.instances.iloc[0]["best_by"] == "greedy, milp-compact"
    assert kinds(summary) == []


def test_values_of_any_magnitude_keep_their_ratio():
    for scale in (1e-200, 1e200):
        common = {"empty_latency_ms": 200 * scale}
        summary = summarise(
            frame(optimum(100 * scale, **common), attempt(saving_ms=80 * scale, **common))
        )
        assert row_of(summary.methods, label="greedy")["saving_ratio_mean"] == pytest.approx(0.8)
        assert kinds(summary) == []


def test_methods_that_differ_by_rounding_only_are_in_the_order_of_their_names():
    rows = [optimum(100.0, algorithm=name) for name in ("b", "a")]
    rows.append(optimum(100.0 * (1 + 1e-15), algorithm="c"))
    assert list(summarise(frame(*rows)).methods["label"]) == ["a", "b", "c"]


# -- contradictions -----------------------------------------------------------------------------


def test_two_proven_optima_may_differ_by_rounding_only():
    def optima(other):
        return frame(optimum(100.0), optimum(other, algorithm="scip"), attempt(saving_ms=80.0))

    assert kinds(summarise(optima(100.0 * (1 + 5e-10)))) == []
    summary = summarise(optima(100.0 * (1 + 2e-9)))
    assert kinds(summary) == ["optimum"]
    assert (
        "milp-compact proves that the largest saving is 100.0 ms"
        in (summary.contradictions.iloc[0]["detail"])
    )
    assert row_of(summary.methods, label="greedy")["saving_ratio_count"] == 0
    assert bool(summary.instances.iloc[0]["disputed"])
    assert math.isnan(summary.instances.iloc[0]["optimum_ms"])


def test_a_saving_above_a_proven_optimum_is_a_contradiction():
    summary = summarise(frame(optimum(100.0), attempt(saving_ms=100.0 * (1 + 2e-9))))
    assert kinds(summary) == ["bound"]
    assert summary.contradictions.iloc[0]["label"] == "milp-compact"


@pytest.mark.parametrize(("excess", "found"), [(5e-7, []), (3e-6, ["bound"])])
def test_a_saving_above_the_bound_of_a_stopped_solver_has_the_tolerance_of_solvers(excess, found):
    stopped = attempt(
        algorithm="milp",
        exact=True,
        stop_reason="time_limit",
        saving_ms=90.0,
        bound_saving_ms=100.0,
    )
    summary = summarise(frame(stopped, attempt(saving_ms=100.0 * (1 + excess))))
    assert kinds(summary) == found
    if not found:  # the gap is then 0, not negative
        assert row_of(summary.methods, label="greedy")["bound_gap_mean"] == 0.0


def test_a_bound_without_a_placement_can_be_refuted_too():
    rows = [failure("time_limit", algorithm="lp", bound_saving_ms=50.0), attempt(saving_ms=80.0)]
    assert kinds(summarise(frame(*rows))) == ["bound"]


@pytest.mark.parametrize(("ratio", "found"), [(0.8, []), (0.81, ["guarantee"])])
def test_a_ratio_below_the_guarantee_is_a_contradiction(ratio, found):
    promise = {"guarantee": "F >= r OPT", "guarantee_ratio": ratio}
    summary = summarise(frame(optimum(100.0), attempt(saving_ms=80.0, **promise)))
    assert kinds(summary) == found
    # The optimum is not in doubt, so the ratio stands.
    assert row_of(summary.methods, label="greedy")["saving_ratio_worst"] == 0.8
    assert summary.guarantees.iloc[0]["margin"] == pytest.approx(0.8 - ratio)


def test_a_guarantee_is_refuted_by_a_better_placement_even_when_no_optimum_is_known():
    promise = {"guarantee": "F >= OPT / 2", "guarantee_ratio": 0.5}
    rows = [attempt(saving_ms=40.0, **promise), attempt(algorithm="random", saving_ms=81.0)]
    assert kinds(summarise(frame(*rows))) == ["guarantee"]


def test_a_run_that_was_cut_off_promises_nothing():
    promise = {"guarantee": "F >= OPT", "guarantee_ratio": 1.0, "stop_reason": "time_limit"}
    assert kinds(summarise(frame(optimum(100.0), attempt(saving_ms=40.0, **promise)))) == []


def test_a_guarantee_is_reported_where_it_is_claimed_only():
    promise = {"guarantee": "F >= OPT / 2 (K = 1)", "guarantee_ratio": 0.5}
    other = {"instance": "b", "checksum": "b"}
    rows = [optimum(100.0), attempt(saving_ms=70.0, **promise), optimum(100.0, **other)]
    rows.append(attempt(saving_ms=10.0, **{**promise, "guarantee_ratio": math.nan}, **other))
    (row,) = summarise(frame(*rows)).guarantees.to_dict("records")
    assert (row["covered"], row["instances"]) == (1, 2)
    assert row["saving_ratio_worst"] == 0.7
    assert row["elsewhere_worst"] == 0.1
    assert row["margin"] == pytest.approx(0.2)


def test_a_run_that_was_cut_off_counts_as_unclaimed():
    promise = {"guarantee": "F >= OPT / 2", "guarantee_ratio": 0.5}
    cut = attempt(saving_ms=40.0, stop_reason="time_limit", **promise)
    (row,) = summarise(frame(optimum(100.0), cut)).guarantees.to_dict("records")
    assert (row["covered"], row["elsewhere_worst"]) == (0, 0.4)
    assert math.isnan(row["margin"])


def test_bounds_and_ratios_family_by_family():
    promise = {"guarantee": "F >= r OPT", "guarantee_ratio": 0.5}
    rows = [optimum(100.0), attempt(saving_ms=70.0, **promise)]
    rows.append(attempt(saving_ms=90.0, **{**promise, "guarantee_ratio": 0.8}))
    rows.append(attempt(saving_ms=20.0, stop_reason="time_limit", **promise))
    other = {"instance": "b", "checksum": "b", "family": "switch"}
    rows += [optimum(100.0, **other), attempt(saving_ms=100.0, **other)]
    rows.append(attempt(checksum="c", instance="c", family="tiny"))  # no optimum: not measured
    mixtral, switch = summarise(frame(*rows)).bounds.to_dict("records")
    assert (mixtral["label"], mixtral["family"]) == ("greedy", "mixtral")
    assert (mixtral["claimed_least"], mixtral["claimed_most"]) == (0.5, 0.8)
    assert (mixtral["saving_ratio_worst"], mixtral["saving_ratio_count"]) == (0.2, 3)
    assert mixtral["saving_ratio_mean"] == pytest.approx(0.6)
    assert mixtral["margin"] == pytest.approx(0.1)
    assert (switch["family"], switch["claims"], switch["saving_ratio_mean"]) == ("switch", 0, 1.0)
    assert math.isnan(switch["claimed_least"])


def test_the_gap_to_a_certified_bound_is_told_apart_from_the_gap_to_any_bound():
    rows = [
        attempt(algorithm="lp", exact=True, saving_ms=70.0, bound_saving_ms=90.0),
        attempt(algorithm="sure", bound_saving_ms=100.0, bound_certified=True, saving_ms=60.0),
        attempt(algorithm="rough", bound_saving_ms=120.0, bound_certified=True, saving_ms=60.0),
    ]
    summary = summarise(frame(*rows))
    row = row_of(summary.methods, label="sure")
    assert row["bound_gap_mean"] == pytest.approx(1 - 60 / 90)
    assert row["certified_gap_mean"] == pytest.approx(0.4)
    (instance,) = summary.instances.to_dict("records")
    assert (instance["certified_ms"], instance["certified_by"]) == (100.0, "sure")
    assert (instance["bound_ms"], instance["bound_by"]) == (90.0, "lp")
    # Where the optimum is known, ratios say it better.
    row = row_of(summarise(frame(*rows, optimum(80.0))).methods, label="sure")
    assert row["certified_gap_count"] == 0
    # A store of before certificates were kept.
    old = summarise(frame(*rows).drop(columns="bound_certified"))
    assert row_of(old.methods, label="sure")["certified_gap_count"] == 0


@pytest.mark.parametrize(("certified", "found"), [(False, []), (True, ["bound"])])
def test_a_certified_bound_has_no_tolerance_of_solvers(certified, found):
    claim = failure("time_limit", bound_saving_ms=80.0 * (1 - 1e-8), bound_certified=certified)
    assert kinds(summarise(frame(claim, attempt(saving_ms=80.0)))) == found


# -- grouping -----------------------------------------------------------------------------------


def test_failures_and_unsupported_are_grouped_with_their_reasons():
    rows = [failure(seed=seed) for seed in range(3)]
    rows += [failure(reason="out of memory"), unsupported(algorithm="dp"), attempt(seed=9)]
    summary = summarise(frame(*rows))
    told = summary.failures[["kind", "label", "reason", "count"]].values.tolist()
    assert told == [
        ["failed", "greedy", "killed by signal 9", 3],
        ["failed", "greedy", "out of memory", 1],
        ["unsupported", "dp", "a layer of 32 experts is more than 20", 1],
    ]
    greedy = row_of(summary.methods, label="greedy")
    assert (greedy["attempts"], greedy["solved"], greedy["failed"]) == (5, 1, 4)
    dp = row_of(summary.methods, label="dp")
    assert (dp["solved"], dp["failed"], dp["unsupported"]) == (0, 0, 1)


def test_times_are_medians_by_size_of_runs_with_a_placement():
    rows = [attempt(seed=i, seconds=s) for i, s in enumerate((1.0, 2.0, 9.0))]
    rows += [attempt(size="small", checksum="s", seconds=5.0, stop_reason="time_limit")]
    rows += [failure(seconds=100.0)]
    table = summarise(frame(*rows)).times
    assert table[["size", "runs", "seconds_median", "seconds_max", "at_limit"]].values.tolist() == [
        ["tiny", 3, 2.0, 9.0, 0],
        ["small", 1, 5.0, 5.0, 1],
    ]


def test_sizes_are_ordered_from_tiny_to_real():
    sizes = ("real", "medium", "huge", "tiny", "large", "small")
    rows = [attempt(size=size, checksum=size, instance=size) for size in sizes]
    wanted = ["tiny", "small", "medium", "large", "real", "huge"]
    assert list(summarise(frame(*rows)).times["size"]) == wanted
    assert list(summarise(frame(*rows)).instances["size"]) == wanted


def test_one_algorithm_with_several_settings_is_several_methods():
    stopped = {"status": "feasible", "stop_reason": "time_limit"}
    rows = [
        attempt(),
        attempt(parameters='{"passes": 2, "order": "a"}'),
        attempt(**{**optimum(), "time_limit": 1.0, "start": "none", **stopped}),
        optimum(time_limit=60.0, start="none"),
        optimum(time_limit=60.0, start="auto"),
    ]
    assert set(summarise(frame(*rows)).methods["label"]) == {
        "greedy",
        "greedy, order=a, passes=2",
        "milp-compact, cold start, 1 s",
        "milp-compact, cold start, 60 s",
        "milp-compact, warm start, 60 s",
    }


def test_a_time_limit_that_stopped_no_run_does_not_split_a_method():
    rows = [optimum(time_limit=1.0), optimum(time_limit=9.0)]
    summary = summarise(frame(*rows))
    assert list(summary.methods["label"]) == ["milp-compact"]
    assert list(summary.methods["saving_ratio_count"]) == [2]


def test_a_time_limit_that_differs_between_instances_does_not_split_a_method():
    rows = [optimum(time_limit=1.0), optimum(time_limit=9.0, checksum="b", instance="b")]
    assert list(summarise(frame(*rows)).methods["label"]) == ["milp-compact"]


def test_instances_of_one_name_and_different_content_are_kept_apart():
    rows = [optimum(100.0, checksum="a" * 64), attempt(saving_ms=150.0, checksum="b" * 64)]
    summary = summarise(frame(*rows))
    assert kinds(summary) == []
    assert list(summary.instances["instance_label"]) == [
        "mixtral-tiny-s0 #aaaaaaaa",
        "mixtral-tiny-s0 #bbbbbbbb",
    ]


def test_imported_instances_have_a_family_name_to_show():
    rows = [attempt(family="", size="", instance_seed=None), attempt(family=None, checksum="b")]
    assert set(summarise(frame(*rows)).families["family"]) == {"(no family)"}


def test_no_rows_give_empty_tables():
    summary = summarise(frame())
    for name in (
        "attempts",
        "instances",
        "methods",
        "families",
        "times",
        "failures",
        "guarantees",
        "bounds",
    ):
        assert len(getattr(summary, name)) == 0
    assert kinds(summary) == []
    assert find_headline(summary) is None


def test_all_failed():
    summary = summarise(frame(failure(), failure(algorithm="dp")))
    assert list(summary.methods["solved"]) == [0, 0]
    assert summary.methods["seconds_median"].isna().all()
    assert math.isnan(summary.instances.iloc[0]["best_saving_ms"])


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="results: column 'clauses' is missing"):
        summarise(frame(attempt()).drop(columns="clauses"))


@settings(max_examples=15, deadline=None)  # each builds every table twice
@given(st.randoms(use_true_random=False))
def test_the_order_of_attempts_changes_nothing(random):
    rows = [optimum(100.0), attempt(), failure(), unsupported(algorithm="dp")]
    rows += [attempt(checksum="b", instance="b", seed=None), attempt(seed=3, seconds=0.2)]
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, two = summarise(frame(*rows)), summarise(frame(*shuffled))
    for name in ("attempts", "instances", "methods", "families", "times", "failures"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name))


@settings(max_examples=25, deadline=None)
@given(
    optimal=st.floats(1e-3, 1e3),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    empty=st.floats(1e3, 1e6),
)
def test_means_lie_between_worst_and_best_and_ratios_on_their_side_of_one(optimal, shares, empty):
    rows = [optimum(optimal, empty_latency_ms=empty)]
    rows += [
        attempt(saving_ms=share * optimal, empty_latency_ms=empty, seed=seed)
        for seed, share in enumerate(shares)
    ]
    summary = summarise(frame(*rows))
    greedy = row_of(summary.methods, label="greedy")
    assert greedy["saving_ratio_worst"] <= greedy["saving_ratio_mean"] + 1e-15
    assert greedy["saving_ratio_mean"] <= 1 + 1e-12
    assert greedy["latency_ratio_worst"] >= greedy["latency_ratio_mean"] - 1e-12
    assert greedy["latency_ratio_mean"] >= 1 - 1e-12
    assert kinds(summary) == []


def test_csv_reads_back_exactly():
    summary = summarise(benchmark())
    again = list(csv.DictReader(io.StringIO(csv_bytes(summary.families).decode())))
    assert [row["label"] for row in again] == list(summary.families["label"])
    for column in ("saving_ratio_mean", "latency_ratio_worst", "bound_gap_mean", "seconds_median"):
        read = [float(row[column] or "nan") for row in again]
        np.testing.assert_array_equal(read, summary.families[column])


# -- headline -----------------------------------------------------------------------------------


def test_the_headline_prefers_the_method_that_answers_most():
    rows = []
    for number in range(4):
        common = {"instance": f"i{number}", "checksum": f"c{number}"}
        rows += [optimum(100.0, **common), attempt(saving_ms=90.0, **common)]
    rows.append(attempt(algorithm="picky", saving_ms=99.0, instance="i0", checksum="c0"))
    headline = find_headline(summarise(frame(*rows)))
    assert headline is not None
    assert headline.method == "greedy"
    assert (headline.answered, headline.instances) == (4, 4)
    assert headline.mean == 0.9
    assert (headline.seconds, headline.proof_seconds) == (0.01, 5.0)


def test_the_headline_is_never_an_exact_method():
    assert find_headline(summarise(frame(optimum(100.0)))) is None


def test_the_headline_falls_back_to_bounds_and_says_so():
    stopped = attempt(
        algorithm="milp",
        exact=True,
        stop_reason="time_limit",
        saving_ms=90.0,
        bound_saving_ms=100.0,
    )
    headline = find_headline(summarise(frame(stopped, attempt(saving_ms=80.0))))
    assert headline is not None
    assert headline.to_bound
    assert headline.mean == pytest.approx(0.8)
    assert math.isnan(headline.proof_seconds)


def test_many_seeds_on_one_instance_do_not_outweigh_others_in_the_headline():
    a, b = {"instance": "a", "checksum": "a"}, {"instance": "b", "checksum": "b"}
    rows = [optimum(100.0, **a), optimum(100.0, **b)]
    rows += [attempt(algorithm="lucky", saving_ms=100.0, seed=seed, **a) for seed in range(9)]
    rows += [attempt(algorithm="lucky", saving_ms=0.0, **b)]
    rows += [attempt(saving_ms=80.0, **a), attempt(saving_ms=80.0, **b)]
    headline = find_headline(summarise(frame(*rows)))
    assert headline is not None
    assert headline.method == "greedy"
