import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from instances.documents import (
    instance_text,
    instance_to_dict,
    placement_text,
    placement_to_dict,
)
from instances.errors import InputError
from instances.model import Model
from instances.placement import Placement
from tests.strategies import instances

TEXT = """\
{
  "format": "moeplace/instance",
  "version": 1,
  "name": "tiny-by-hand",
  "models": [
    {"name": "toy", "layers": 2, "experts": 3, "top_k": 2, "expert_bytes": 10}
  ],
  "servers": [
    {"name": "near", "capacity_bytes": 20},
    {"name": "far", "capacity_bytes": 30}
  ],
  "users": [
    {"name": "ann", "model": "toy", "latency_ms": [1.0, 4.0], "cloud_latency_ms": 10.0, \
"local_latency_ms": 0.0},
    {"name": "bob", "model": "toy", "latency_ms": [6.0, 9.0], "cloud_latency_ms": 8.0, \
"local_experts": [[0, 2]], "local_latency_ms": 0.5}
  ],
  "demands": {
    "user": [0, 0, 0, 1, 1, 1],
    "layer": [0, 0, 1, 0, 0, 1],
    "experts": [[0, 1], [2], [2, 1], [1, 2], [2], [0]],
    "rate": [0.5, 0.25, 1.0, 0.5, 0.125, 0.25]
  }
}
"""

PLACEMENT_TEXT = """\
{
  "format": "moeplace/placement",
  "version": 1,
  "instance": "tiny-by-hand",
  "servers": {
    "near": [{"model": "toy", "layer": 0, "experts": [0]}, \
{"model": "toy", "layer": 1, "experts": [1]}],
    "far": [{"model": "toy", "layer": 0, "experts": [1]}, \
{"model": "toy", "layer": 1, "experts": [0, 2]}]
  }
}
"""


def test_text_of_an_instance(tiny):
    assert instance_text(tiny) == TEXT


def test_text_of_a_placement(tiny, tiny_placement):
    assert placement_text(tiny, tiny_placement) == PLACEMENT_TEXT


@given(instance=instances())
def test_text_is_the_content(instance):
    assert json.loads(instance_text(instance)) == instance_to_dict(instance)


def test_content_is_plain_python(tiny, tiny_placement):
    def check(value):
        assert type(value) in (dict, list, str, int, float)
        for inner in value.values() if isinstance(value, dict) else value:
            if not isinstance(inner, str | int | float):
                check(inner)

    check(instance_to_dict(tiny))
    check(placement_to_dict(tiny, tiny_placement))


def test_sizes_are_one_number_where_they_agree(tiny):
    sizes = np.array([[10, 10, 10], [10, 10, 11]])
    unequal = replace(tiny, models=(Model(name="toy", expert_bytes=sizes, top_k=2),))
    assert instance_to_dict(tiny)["models"][0]["expert_bytes"] == 10
    assert instance_to_dict(unequal)["models"][0]["expert_bytes"] == sizes.tolist()


def test_numbers_are_the_shortest_that_read_back(tiny):
    instance = replace(tiny, demand_rate=[0.1, 1 / 3, 1e-9, 5e22, 2.0, 5e-324])
    assert '"rate": [0.1, 0.3333333333333333, 1e-09, 5e+22, 2.0, 5e-324]' in instance_text(instance)


def test_names_are_written_as_they_are(tiny):
    assert '"name": "Gerät 7 \\"neu\\""' in instance_text(
        replace(tiny, user_names=("ann", 'Gerät 7 "neu"'))
    )


def test_nothing_stored_is_an_empty_list(tiny):
    content = placement_to_dict(tiny, Placement.empty(tiny))
    assert content["servers"] == {"near": [], "far": []}


def test_experts_of_the_second_model(tiny):
    other = Model.uniform("other", layers=2, experts=4, top_k=1, expert_bytes=1)
    instance = replace(tiny, models=(*tiny.models, other))
    content = placement_to_dict(instance, Placement.of(instance, [(1, 5), (1, 10), (1, 13)]))
    assert content["servers"]["far"] == [
        {"model": "toy", "layer": 1, "experts": [2]},
        {"model": "other", "layer": 1, "experts": [0, 3]},
    ]


def test_placement_of_another_shape(tiny):
    with pytest.raises(InputError, match=r"^placement: shape \(2, 5\)"):
        placement_to_dict(tiny, Placement(np.zeros((2, 5), dtype=np.bool_)))
