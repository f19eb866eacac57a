import pytest

from bench.curves import draw_profile, draw_quantiles
from bench.summary import summarise
from tests.bench.attempts import attempt, benchmark, failure, frame, optimum


def runs(*rows):
    return summarise(frame(*rows)).attempts


def test_the_title_of_the_profile_names_the_fastest():
    rows = [attempt(algorithm="slow", seconds=2.0), attempt(algorithm="quick", seconds=1.0)]
    rows += [attempt(algorithm="slow", seconds=1.0, checksum="b", instance="b")]
    rows += [attempt(algorithm="quick", seconds=0.5, checksum="b", instance="b")]
    drawing = draw_profile(runs(*rows), "profile")
    assert drawing.title == "quick is the fastest, or no slower, on 100 % of instances"
    assert drawing.paper.startswith(b"%PDF")
    assert "slow" in drawing.wide


def test_the_quantile_plot_counts_proofs_only():
    rows = [optimum(1.0), optimum(1.0, checksum="b", instance="b")]
    rows += [attempt(algorithm="stopped", exact=True), failure(algorithm="dead", exact=True)]
    drawing = draw_quantiles(runs(*rows), "quantiles")
    assert drawing.title == "milp-compact proves the most optima: 2 of 2 instances"
    assert "stopped" not in drawing.wide


@pytest.mark.parametrize("rows", [[], [attempt()], [failure(), failure(algorithm="b")]])
def test_nothing_to_draw(rows):
    assert draw_profile(runs(*rows), "profile") is None
    assert draw_quantiles(runs(*rows), "quantiles") is None


def test_times_that_are_all_the_same_still_have_an_axis():
    rows = [optimum(1.0, seconds=1.0), attempt(seconds=1.0), attempt(algorithm="b", seconds=0.0)]
    assert draw_profile(runs(*rows), "profile") is not None
    assert draw_quantiles(runs(*rows), "quantiles") is not None


def test_the_same_runs_give_the_same_bytes():
    attempts = summarise(benchmark(("mixtral",))).attempts
    one, two = (draw_profile(attempts, "profile") for _ in range(2))
    assert one == two
