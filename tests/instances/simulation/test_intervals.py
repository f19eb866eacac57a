import math

import numpy as np
import pytest

from instances.simulation.intervals import (
    BATCHES,
    batched,
    clustered,
    independent,
    student_quantile,
)


@pytest.mark.parametrize(
    ("degrees", "table"),  # Abramowitz and Stegun, table 26.10, column 0.995
    [
        *((1, 63.657), (2, 9.925), (3, 5.841), (4, 4.604), (5, 4.032), (10, 3.169)),
        *((30, 2.750), (60, 2.660), (120, 2.617), (1_000_000, 2.576)),
    ],
)
def test_quantiles_are_those_of_the_tables(degrees, table):
    assert student_quantile(degrees) == pytest.approx(table, abs=6e-4)


def test_by_hand():
    # mean 3, standard deviation sqrt(10 / 4), four degrees of freedom
    interval = independent(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert interval.mean == 3
    assert interval.half_width == pytest.approx(4.604095 * math.sqrt(2.5 / 5), rel=1e-6)
    assert 4.9 in interval
    assert -0.5 not in interval
    scaled = interval.scaled(2)
    assert (scaled.mean, scaled.half_width) == (6, 2 * interval.half_width)


def test_clusters_of_one_are_independent_values():
    values = np.random.default_rng(0).exponential(size=50)
    assert clustered(values, np.arange(50)) == independent(values)


def test_clusters_that_agree_inside_are_one_value_each():
    means = np.random.default_rng(0).exponential(size=20)
    wide = clustered(np.repeat(means, 7), np.repeat(np.arange(20), 7))
    assert wide.half_width == pytest.approx(independent(means).half_width, rel=1e-9)


def test_one_cluster_falls_back_on_batches():
    values = np.random.default_rng(0).exponential(size=640)
    assert clustered(values, np.zeros(640)) == batched(values)


@pytest.mark.parametrize("make", [independent, batched])
def test_too_few_values_tell_nothing(make):
    assert make(np.array([2.0])).half_width == math.inf
    assert make(np.array([2.0])).mean == 2
    assert math.isnan(make(np.empty(0)).mean)


def test_equal_values_round():
    interval = independent(np.full(1000, 0.1))
    assert 0.1 in interval
    assert interval.half_width < 1e-12
    assert batched(np.full(1000, 0.1)).batch_correlation == 0


def test_what_does_not_fill_the_batches_is_in_the_mean_only():
    values = np.arange(2 * BATCHES + 1, dtype=float)
    interval = batched(values)
    assert interval.mean == values.mean()
    assert interval.half_width == pytest.approx(batched(values[1:]).half_width, rel=1e-9)


def coverage(make, draw, mean, repeats=2000):
    rng = np.random.default_rng(0)
    return sum(mean in make(draw(rng)) for _ in range(repeats)) / repeats


# 0.99 within four standard deviations of a share of 2000
LOW, HIGH = 0.99 - 4 * math.sqrt(0.99 * 0.01 / 2000), 0.99 + 4 * math.sqrt(0.99 * 0.01 / 2000)


def test_independent_values_are_covered_as_often_as_it_says():
    assert LOW < coverage(independent, lambda rng: rng.normal(5, 2, 12), 5) < HIGH


def test_clusters_are_covered_as_often_as_it_says():
    cluster = np.repeat(np.arange(40), np.arange(10, 50))

    def draw(rng):
        return rng.normal(size=40)[cluster] + rng.normal(size=cluster.size)

    assert LOW - 0.005 < coverage(lambda v: clustered(v, cluster), draw, 0) < HIGH
    # and values that are taken as independent are not
    assert coverage(independent, draw, 0) < 0.6


def test_a_correlated_sequence_is_covered_as_often_as_it_says():
    def draw(rng):
        noise = rng.normal(size=BATCHES * 100 + 50)
        return np.convolve(noise, 0.8 ** np.arange(40), mode="valid")

    assert coverage(batched, draw, 0, repeats=1000) > LOW - 0.01
    assert coverage(independent, draw, 0, repeats=1000) < 0.8
    short = np.cumsum(np.random.default_rng(0).normal(size=2000))
    assert batched(short).batch_correlation > 0.5
