import numpy as np
import pytest

from instances.arrays import frozen_array
from instances.errors import InputError
from instances.model import Model


def test_sizes_follow_from_the_array():
    model = Model(name="m", expert_bytes=np.array([[1, 2, 3], [4, 5, 6]]), top_k=2)
    assert (model.layers, model.experts, model.uniform_bytes) == (2, 3, None)
    assert model.expert_bytes.dtype == np.int64


def test_uniform_model():
    model = Model.uniform("m", layers=2, experts=3, top_k=1, expert_bytes=7)
    assert model.uniform_bytes == 7
    np.testing.assert_array_equal(model.expert_bytes, np.full((2, 3), 7))


def test_top_k_becomes_a_plain_int():
    model = Model(name="m", expert_bytes=np.array([[1, 2]]), top_k=np.int64(2))
    assert type(model.top_k) is int


def test_array_is_copied_and_read_only():
    sizes = np.array([[1, 2]])
    model = Model(name="m", expert_bytes=sizes, top_k=1)
    sizes[0, 0] = 9
    assert model.expert_bytes[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        model.expert_bytes[0, 0] = 9


@pytest.mark.parametrize(
    ("sizes", "top_k", "match"),
    [
        ([[1, 2], [3, 0]], 1, r"^expert_bytes\[1\]\[1\]: 0 is not a positive number of bytes$"),
        ([[1, -2]], 1, r"^expert_bytes\[0\]\[1\]: -2 is not"),
        (np.empty((0, 4), int), 1, r"^expert_bytes: shape \(0, 4\) holds no expert"),
        (np.empty((4, 0), int), 1, r"^expert_bytes: shape \(4, 0\) holds no expert"),
        ([1, 2], 1, "^expert_bytes: 1 dimensions where 2 are needed"),
        ([[1.0, 2.0]], 1, "^expert_bytes: values of type float64 where int64 is needed"),
        ([[1, 2]], 0, r"^top_k: 0 is not in 1\.\.2$"),
        ([[1, 2]], 3, r"^top_k: 3 is not in 1\.\.2$"),
    ],
)
def test_refused(sizes, top_k, match):
    with pytest.raises(InputError, match=match):
        Model(name="m", expert_bytes=np.array(sizes), top_k=top_k)


def test_fractional_top_k_is_refused():
    with pytest.raises(TypeError, match="float"):
        Model(name="m", expert_bytes=np.array([[1, 2]]), top_k=1.0)


@pytest.mark.parametrize(
    ("value", "dtype", "match"),
    [
        (np.array([2**31]), np.int32, "^x: 2147483648 is out of range$"),
        (np.array([-(2**31) - 1]), np.int32, "is out of range"),
        (np.array([2**63], dtype=np.uint64), np.int64, "9223372036854775808 is out of range"),
        (np.array([True]), np.int64, "values of type bool where int64 is needed"),
        (np.array([True]), np.float64, "values of type bool where float64 is needed"),
        (np.array(["1"]), np.float64, "values of type <U1"),
        (np.array([1.0]), np.int32, "values of type float64 where int32 is needed"),
    ],
)
def test_casts_that_would_change_a_value_are_refused(value, dtype, match):
    with pytest.raises(InputError, match=match):
        frozen_array(value, dtype, "x", 1)


def test_harmless_casts():
    assert frozen_array([1, 2], np.float64, "x", 1).tolist() == [1.0, 2.0]
    assert frozen_array([], np.int64, "x", 1).dtype == np.int64
    assert frozen_array(np.array([2**31 - 1], dtype=np.uint64), np.int32, "x", 1)[0] == 2**31 - 1
