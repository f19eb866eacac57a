"""Frozen arrays: nobody can write to them, and what is frozen already is not copied."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from instances.arrays import frozen_array


def frozen(value, dtype=np.int64):
    return frozen_array(value, dtype, "x", np.asarray(value).ndim)


@given(
    arrays.arrays(
        dtype=st.sampled_from([np.int32, np.int64, np.float64]),
        shape=arrays.array_shapes(min_dims=1, max_dims=3, min_side=0),
        elements=st.integers(-(2**31), 2**31 - 1),
    )
)
def test_the_same_values_in_memory_that_cannot_change(source):
    result = frozen(source, source.dtype)
    assert result.dtype == source.dtype
    assert result.shape == source.shape
    assert np.array_equal(result, source)
    assert result.flags.c_contiguous
    assert result.flags.aligned
    with pytest.raises(ValueError, match="WRITEABLE"):
        result.setflags(write=True)
    assert frozen(result, source.dtype) is result


def test_what_others_could_write_to_is_copied():
    source = np.arange(6)
    view = source[:]
    view.setflags(write=False)  # and yet it changes with the source
    held = frozen(view)
    source[0] = 99
    assert held.tolist() == list(range(6))
    assert frozen(np.frombuffer(bytearray(16), dtype=np.int64)).base is not None
    buffer = bytearray(16)
    held = frozen(np.frombuffer(buffer, dtype=np.int64))
    buffer[0] = 1
    assert held.tolist() == [0, 0]


@pytest.mark.parametrize(
    "layout",
    [
        np.frombuffer(bytes(64), dtype=np.int64)[::2],
        np.frombuffer(bytes(64), dtype=np.int64).reshape(2, 4).T,
        np.frombuffer(bytes(65), dtype=np.int64, offset=1),
        np.frombuffer(bytes(64), dtype=">i8"),
        np.frombuffer(bytes(64), dtype=np.int32),
    ],
    ids=["strided", "transposed", "misaligned", "other order of bytes", "other width"],
)
def test_what_kernels_cannot_use_is_copied(layout):
    result = frozen(layout)
    assert result is not layout
    assert result.dtype == np.int64
    assert result.dtype.isnative
    assert result.flags.c_contiguous
    assert result.flags.aligned
    assert np.array_equal(result, layout)
    assert frozen(result) is result
