import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.documents import placement_to_dict
from instances.errors import InputError
from instances.fields import decode_json
from instances.parsing import placement_from_dict
from tests.mistakes import GONE, anything, edited, nodes, unless_refused
from tests.strategies import instances, placements


@pytest.fixture
def stored(tiny, tiny_placement):
    return placement_to_dict(tiny, tiny_placement)


@given(data=st.data(), instance=instances(max_models=3))
def test_placement_that_is_written_is_read(data, instance):
    placement = data.draw(placements(instance))
    read = placement_from_dict(placement_to_dict(instance, placement), instance)
    np.testing.assert_array_equal(read.stored, placement.stored)


def test_servers_left_out_store_nothing(tiny, stored):
    del stored["servers"]["far"]
    placement = placement_from_dict(stored, tiny)
    assert np.argwhere(placement.stored).tolist() == [[0, 0], [0, 4]]


def test_experts_are_a_set_in_any_order(tiny, stored, tiny_placement):
    stored["servers"]["far"].reverse()
    stored["servers"]["far"][0]["experts"].reverse()
    read = placement_from_dict(stored, tiny)
    np.testing.assert_array_equal(read.stored, tiny_placement.stored)


FAR = ("servers", "far")  # [{layer 0, experts [1]}, {layer 1, experts [0, 2]}]


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("format",), "moeplace/instance", r"^format: 'moeplace/instance' is not 'moeplace/plac"),
        (("version",), "1", r"^version: '1' is not 1"),
        (("instance",), "tiny", r"^instance: 'tiny' is not 'tiny-by-hand', the name of the inst"),
        (("instance",), 5, r"^instance: 5 is not 'tiny-by-hand'"),
        (("instance",), GONE, r"^instance: the field is missing$"),
        (("note",), "x", r"^note: unknown field"),
        (("servers",), [], r"^servers: a list of 0 is not an object$"),
        (("servers", "fra"), [], r"^servers\['fra'\]: 'fra' is not the name of a .* 'far'\?$"),
        (FAR, {}, r"^servers\['far'\]: an object of 0 is not a list$"),
        ((*FAR, 0), 3, r"^servers\['far'\]\[0\]: 3 is not an object$"),
        ((*FAR, 0, "expert"), 3, r"^servers\['far'\]\[0\]\.expert: unknown .* 'experts'\?$"),
        ((*FAR, 0, "layer"), GONE, r"^servers\['far'\]\[0\]\.layer: the field is missing$"),
        ((*FAR, 0, "model"), "toi", r"^servers\['far'\]\[0\]\.model: 'toi' is not the name of a"),
        ((*FAR, 0, "layer"), 2, r"^servers\['far'\]\[0\]\.layer: 2 is not in 0\.\.1, the layers"),
        ((*FAR, 0, "layer"), -1, r"^servers\['far'\]\[0\]\.layer: -1 is not in 0\.\.1"),
        ((*FAR, 0, "layer"), 0.0, r"^servers\['far'\]\[0\]\.layer: 0\.0 is not an integer$"),
        ((*FAR, 0, "layer"), 1, r"^servers\['far'\]\[1\]: layer 1 of model 'toy' was already in"),
        ((*FAR, 1, "experts"), [0, 3], r"^servers\['far'\]\[1\]\.experts\[1\]: 3 is not in 0\.\.2"),
        ((*FAR, 1, "experts"), [-1], r"^servers\['far'\]\[1\]\.experts\[0\]: -1 is not in"),
        ((*FAR, 1, "experts"), [2**40], r"^servers\['far'\]\[1\]\.experts\[0\]: \d+ is not in"),
        ((*FAR, 1, "experts"), [2, 0, 2], r"^servers\['far'\]\[1\]\.experts\[2\]: 2 is repeated$"),
        ((*FAR, 1, "experts"), [True], r"^servers\['far'\]\[1\]\.experts\[0\]: true is not an"),
        (
            (*FAR, 1, "experts"),
            [0, 1, 2],
            r"^servers\['far'\]: stores 40 bytes where its capacity is 30$",
        ),
    ],
)
def test_placement_refused(tiny, stored, path, value, match):
    with pytest.raises(InputError, match=match):
        placement_from_dict(edited(stored, path, value), tiny)


def test_repeated_server(tiny, stored):
    text = json.dumps(stored).replace('"far": [', '"far": [], "far": [')
    with pytest.raises(InputError, match=r"^servers\.far: the field occurs twice$"):
        placement_from_dict(decode_json(text.encode()), tiny)


@given(data=st.data(), instance=instances())
def test_any_value_anywhere_in_a_placement(data, instance):
    document = placement_to_dict(instance, data.draw(placements(instance)))
    path = data.draw(st.sampled_from(list(nodes(document))))
    changed = edited(document, path, data.draw(anything))
    read = unless_refused(lambda: placement_from_dict(changed, instance))
    if read is not None:
        read.check_capacity(instance)
