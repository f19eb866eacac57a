import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.rounding_up import MOST_ROUNDINGS, grown, round_up, sum_up

doubles = st.floats(0.0, 1e300, allow_subnormal=True)
normal = st.floats(1e-30, 1e6)


@given(st.fractions())
def test_the_smallest_double_above(value):
    found = round_up(value)
    assert Fraction(found) >= value
    assert Fraction(math.nextafter(found, -math.inf)) < value


def test_beyond_the_largest_double():
    assert round_up(Fraction(10) ** 400) == math.inf
    assert round_up(-(Fraction(10) ** 400)) == -math.inf


@given(st.lists(doubles, max_size=40))
def test_sums_are_not_below_the_exact_ones(values):
    exact = sum(map(Fraction, values), Fraction())
    found = sum_up(values)
    assert Fraction(found) >= exact
    assert found == round_up(exact)


def test_a_speck_counts():
    assert sum_up([1.0, 2.0**-1074]) == 1.0 + 2.0**-52
    assert sum_up([1.0, -(2.0**-1074)]) == 1.0
    assert sum_up([1.0, math.inf]) == math.inf


@given(st.lists(st.tuples(normal, normal), min_size=1, max_size=60))
def test_grown_covers_the_roundings_of_a_loop(pairs):
    value, exact = 0.0, Fraction()
    for a, b in pairs:
        value += a * b
        exact += Fraction(a) * Fraction(b)
    found = grown(value, len(pairs) + 1)  # the first product: itself, then every addition
    assert Fraction(found) >= exact
    assert found <= value * (1.0 + 1e-13)


def test_one_rounding_that_goes_all_the_way_down():
    # 1 + (2^-53 and a bit less) rounds to 1: the largest relative error there is
    exact = Fraction(1) + Fraction(1, 2**53)
    assert Fraction(1.0) < exact <= Fraction(grown(1.0, 1))


@pytest.mark.parametrize("roundings", [-1, MOST_ROUNDINGS + 1])
def test_roundings_out_of_range(roundings):
    with pytest.raises(ValueError, match=f"{roundings} roundings are not in 0"):
        grown(1.0, roundings)
