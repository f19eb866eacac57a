import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from instances.rounding import round_significant


@given(st.lists(st.floats(-1e200, 1e200, allow_subnormal=False), max_size=30), st.integers(1, 12))
def test_rounds_to_the_nearest_decimal_of_that_many_digits(values, digits):
    rounded = round_significant(values, digits)
    assert rounded.shape == (len(values),)
    for value, result in zip(values, rounded.tolist(), strict=True):
        assert result == float(f"{value:.{digits - 1}e}")
        assert abs(result - value) <= 0.51 * abs(value) * 10.0 ** (1 - digits) * 1.0001


def test_keeps_the_shape_and_is_blind_to_the_last_place():
    values = np.array([[1 / 3, 2 / 3], [np.nextafter(1 / 3, 1), 0.0]])
    rounded = round_significant(values, 6)
    assert rounded.tolist() == [[0.333333, 0.666667], [0.333333, 0.0]]
    assert round_significant(np.zeros((0, 3)), 6).shape == (0, 3)
