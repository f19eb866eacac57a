import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from instances.structure.storage import usable_bytes


@given(st.integers(0, 200), st.lists(st.integers(1, 100), max_size=6))
def test_every_choice_that_fits_fits_into_it(capacity, sizes):
    usable = usable_bytes(capacity, np.array(sizes, dtype=np.int64))
    assert usable <= capacity
    for count in range(len(sizes) + 1):
        for chosen in itertools.combinations(sizes, count):
            assert (sum(chosen) <= capacity) == (sum(chosen) <= usable) or not chosen


def test_a_remainder_is_of_no_use():
    assert usable_bytes(59, np.array([20, 30, 77])) == 50
    assert usable_bytes(59, np.array([77])) == 59
    assert usable_bytes(0, np.array([], dtype=np.int64)) == 0
