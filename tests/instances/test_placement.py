from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.errors import InputError
from instances.model import MAX_BYTES, Model
from instances.placement import Placement
from tests.strategies import instances, placements


def test_empty(tiny):
    empty = Placement.empty(tiny)
    assert empty.stored.shape == (2, 6)
    assert empty.num_copies == 0
    assert empty.used_bytes(tiny).tolist() == [0, 0]


def test_of_pairs(tiny):
    placement = Placement.of(tiny, [(0, 1), (1, 5), (0, 1)])
    assert np.argwhere(placement.stored).tolist() == [[0, 1], [1, 5]]
    assert placement.num_copies == 2


@pytest.mark.parametrize("pair", [(-1, 0), (0, -1), (2, 0), (0, 6)])
def test_pairs_that_are_not_there(tiny, pair):
    with pytest.raises(IndexError, match="index"):
        Placement.of(tiny, [pair])


def test_array_is_copied_and_read_only():
    source = np.zeros((1, 2), dtype=np.bool_)
    placement = Placement(source)
    source[0, 0] = True
    assert not placement.stored.any()
    with pytest.raises(ValueError, match="read-only"):
        placement.stored[0, 0] = True


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((2, 6)), r"^stored: float64 array of shape \(2, 6\) is not bool \(N, X\)"),
        (np.zeros((2, 6), dtype=int), "^stored: int64 array"),
        (np.zeros(6, dtype=bool), r"^stored: bool array of shape \(6,\)"),
    ],
)
def test_only_truth_values_in_two_dimensions(array, match):
    with pytest.raises(InputError, match=match):
        Placement(array)


@pytest.mark.parametrize("shape", [(1, 6), (2, 5), (3, 6), (6, 2)])
def test_shape_must_be_that_of_the_instance(tiny, shape):
    placement = Placement(np.zeros(shape, dtype=np.bool_))
    match = rf"^placement: shape \({shape[0]}, {shape[1]}\) is not \(servers, experts\) = \(2, 6\)"
    for method in (placement.check_shape, placement.used_bytes, placement.check_capacity):
        with pytest.raises(InputError, match=match):
            method(tiny)


@given(data=st.data(), instance=instances())
def test_used_bytes_are_summed_over_what_is_stored(data, instance):
    placement = data.draw(placements(instance))
    used = [0] * instance.num_servers
    for n, x in np.argwhere(placement.stored).tolist():
        m, layer, expert = instance.locate(x)
        used[n] += int(instance.models[m].expert_bytes[layer, expert])
    assert placement.used_bytes(instance).tolist() == used
    placement.check_capacity(instance)


def test_capacity_to_the_byte(tiny, tiny_placement):
    tiny_placement.check_capacity(tiny)
    with pytest.raises(
        InputError, match=r"^servers\['far'\]: stores 30 bytes where its capacity is 29$"
    ):
        tiny_placement.check_capacity(replace(tiny, capacity_bytes=[20, 29]))


def test_sums_beyond_the_precision_of_floats(tiny):
    sizes = np.array([[2**61 + 1, 2**61 - 1]])  # 2**62 together, and one byte makes a difference
    model = Model(name="huge", expert_bytes=sizes, top_k=2)
    instance = replace(
        tiny,
        models=(model,),
        capacity_bytes=[MAX_BYTES - 1, MAX_BYTES],
        local_offsets=[0, 0, 0],
        local_experts=[],
        demand_user=[0],
        demand_layer=[0],
        demand_offsets=[0, 1],
        demand_experts=[0],
        demand_rate=[1.0],
    )
    everything = Placement(np.ones((2, 2), dtype=np.bool_))
    assert everything.used_bytes(instance).tolist() == [MAX_BYTES] * 2
    with pytest.raises(InputError, match=rf"^servers\['near'\]: stores {MAX_BYTES} bytes"):
        everything.check_capacity(instance)
