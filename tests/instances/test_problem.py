import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from instances.errors import InputError
from instances.model import MAX_BYTES, Model
from instances.problem import ARRAYS, Instance
from tests.strategies import instances


def set_at(array, index, value):
    """Return a copy with one element changed."""
    changed = np.array(array)
    changed[index] = value
    return changed


@pytest.fixture(scope="module")
def two_models(tiny):
    """Bob runs a second model: one layer of two experts of unequal size, K = 1."""
    other = Model(name="small", expert_bytes=np.array([[3, 4]]), top_k=1)
    return replace(
        tiny,
        models=(*tiny.models, other),
        user_model=np.array([0, 1]),
        local_experts=np.array([1]),
        demand_user=np.array([0, 1]),
        demand_layer=np.array([1, 0]),
        demand_offsets=np.array([0, 2, 3]),
        demand_experts=np.array([2, 0, 1]),
        demand_rate=np.array([1.0, 2.0]),
    )


def test_counts(two_models):
    assert two_models.num_servers == 2
    assert two_models.num_users == 2
    assert two_models.num_rows == 2
    assert two_models.num_layers == 3
    assert two_models.num_experts == 8
    assert two_models.top_k == 2


def test_layers_and_experts_are_numbered_across_models(two_models):
    assert two_models.model_layer_offset.tolist() == [0, 2, 3]
    assert two_models.model_expert_offset.tolist() == [0, 6, 8]
    assert two_models.layer_model.tolist() == [0, 0, 1]
    assert two_models.layer_expert_offset.tolist() == [0, 3, 6, 8]
    assert two_models.expert_bytes.tolist() == [10] * 6 + [3, 4]
    assert two_models.layer_experts(1) == slice(3, 6)
    assert two_models.layer_experts(2) == slice(6, 8)
    assert two_models.user_local_experts(0).tolist() == []
    assert two_models.user_local_experts(1).tolist() == [7]


@given(instance=instances(max_models=4))
def test_locate_is_the_inverse_of_the_numbering(instance):
    expected = [
        (m, layer, expert)
        for m, model in enumerate(instance.models)
        for layer in range(model.layers)
        for expert in range(model.experts)
    ]
    assert [instance.locate(x) for x in range(instance.num_experts)] == expected
    sizes = [int(instance.models[m].expert_bytes[layer, e]) for m, layer, e in expected]
    assert instance.expert_bytes.tolist() == sizes
    layers = [instance.layer_experts(g) for g in range(instance.num_layers)]
    assert [x for s in layers for x in range(s.start, s.stop)] == list(range(len(expected)))


@pytest.mark.parametrize("expert", [-1, 8])
def test_locate_refuses_what_is_not_there(two_models, expert):
    with pytest.raises(IndexError, match=rf"expert {expert} is not in 0\.\.7"):
        two_models.locate(expert)


def test_fields_cannot_be_assigned(tiny):
    with pytest.raises(dataclasses.FrozenInstanceError, match="name"):
        tiny.name = "other"


@pytest.mark.parametrize("name", [*ARRAYS, "expert_bytes", "layer_model"])
def test_arrays_are_read_only(tiny, name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(tiny, name)[...] = 0


def test_arrays_are_copied(tiny):
    rate = np.array(tiny.demand_rate)
    instance = replace(tiny, demand_rate=rate)
    rate[:] = 7
    assert instance.demand_rate.tolist() == tiny.demand_rate.tolist()


def test_lists_of_names_become_tuples(tiny):
    instance = replace(tiny, server_names=["near", "far"], user_names=["ann", "bob"])
    assert instance.server_names == ("near", "far")
    assert instance.checksum() == tiny.checksum()


def test_replace_derives_the_offsets_anew(tiny):
    model = Model.uniform("toy", layers=3, experts=3, top_k=2, expert_bytes=10)
    assert replace(tiny, models=(model,)).layer_expert_offset.tolist() == [0, 3, 6, 9]


def test_an_instance_may_have_no_demand(tiny):
    instance = replace(
        tiny,
        demand_user=[],
        demand_layer=[],
        demand_offsets=[0],
        demand_experts=[],
        demand_rate=[],
    )
    assert instance.num_rows == 0


VARIANTS = {
    "name": "other",
    "models": (Model.uniform("toy", layers=2, experts=3, top_k=3, expert_bytes=10),),
    "server_names": ("near", "further"),
    "capacity_bytes": [20, 31],
    "user_names": ("ann", "bert"),
    "latency_ms": [[1.0, 4.0], [6.0, 9.5]],
    "cloud_latency_ms": [10.0, 8.5],
    "local_latency_ms": [0.0, 0.25],
    "local_experts": [1],
    "demand_user": [0, 0, 0, 1, 1, 0],
    "demand_layer": [0, 0, 1, 0, 1, 1],
    "demand_experts": [0, 1, 2, 2, 1, 1, 2, 2, 1],
    "demand_rate": [0.5, 0.25, 1.0, 0.5, 0.125, 0.5],
}


@pytest.mark.parametrize("name", VARIANTS)
def test_checksum_depends_on_every_field(tiny, name):
    assert replace(tiny, **{name: VARIANTS[name]}).checksum() != tiny.checksum()


def test_checksum_depends_on_the_sizes_inside_a_model(tiny):
    sizes = np.full((2, 3), 10)
    sizes[1, 2] = 11
    model = Model(name="toy", expert_bytes=sizes, top_k=2)
    assert replace(tiny, models=(model,)).checksum() != tiny.checksum()


def test_checksum_depends_on_content_alone(tiny):
    wide = {name: np.array(getattr(tiny, name)) for name in ARRAYS}
    for name, array in wide.items():
        wide[name] = array.astype(np.int64 if array.dtype.kind == "i" else np.float64)
    assert replace(tiny, **wide).checksum() == tiny.checksum()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": ""}, "^name: '' is not a name"),
        ({"name": "a\nb"}, r"^name: 'a\\nb' is not a name"),
        ({"name": 7}, "^name: 7 is not a name"),
        ({"models": ()}, "^models: the list is empty"),
        ({"server_names": (), "capacity_bytes": []}, "^servers: the list is empty"),
        ({"user_names": ()}, "^users: the list is empty"),
        ({"server_names": ("a", "a")}, r"^servers\[1\]\.name: 'a' is already .* servers\[0\]$"),
        ({"user_names": ("u", "u")}, r"^users\[1\]\.name: 'u' is already .* users\[0\]$"),
        ({"user_names": ("u", None)}, r"^users\[1\]\.name: null is not a name"),
        ({"capacity_bytes": [1]}, r"^servers\.capacity_bytes: 1 values where 2 are needed"),
        ({"capacity_bytes": [1, -2]}, r"^servers\[1\]\.capacity_bytes: -2 is negative"),
        (
            {"capacity_bytes": [MAX_BYTES + 1, 2]},
            rf"^servers\[0\]\.capacity_bytes: {MAX_BYTES + 1} is more than {MAX_BYTES} bytes",
        ),
        ({"capacity_bytes": [1.0, 2.0]}, r"^servers\.capacity_bytes: values of type float64"),
        ({"user_model": [0]}, r"^users\.model: 1 values where 2 are needed"),
        ({"user_model": [0, 1]}, r"^users\[1\]\.model: 1 is not in 0\.\.0"),
        ({"user_model": [-1, 0]}, r"^users\[0\]\.model: -1 is not in 0\.\.0"),
        ({"latency_ms": [[1.0], [2.0]]}, r"^users\.latency_ms: shape \(2, 1\) .* \(2, 2\)$"),
        ({"latency_ms": [1.0, 2.0]}, r"^users\.latency_ms: 1 dimensions where 2"),
        ({"cloud_latency_ms": [1.0]}, r"^users\.cloud_latency_ms: 1 values where 2"),
        ({"local_latency_ms": [1.0]}, r"^users\.local_latency_ms: 1 values where 2"),
        ({"local_offsets": [0, 1]}, r"^users\.local_experts: offsets do not split 1"),
        ({"local_offsets": [0, 1, 0]}, r"^users\.local_experts: offsets do not split"),
        ({"local_offsets": [1, 1, 1]}, r"^users\.local_experts: offsets do not split"),
        ({"local_offsets": [0, 0, 2]}, r"^users\.local_experts: offsets do not split"),
        ({"local_experts": [6]}, r"^users\[1\]\.local_experts\[0\]: 6 is not an expert .* 'toy'"),
        ({"local_experts": [-1]}, r"^users\[1\]\.local_experts\[0\]: -1 is not an expert"),
        (
            {"local_experts": [4, 5, 5], "local_offsets": [0, 0, 3]},
            r"^users\[1\]\.local_experts\[2\]: \[1, 2\] is repeated or out of ascending order",
        ),
        (
            {"local_experts": [4, 3], "local_offsets": [0, 2, 2]},
            r"^users\[0\]\.local_experts\[1\]: \[1, 0\] is repeated or out of ascending order",
        ),
        ({"demand_user": [0]}, r"^demands\.user: 1 values where 6 are needed"),
        ({"demand_layer": [0]}, r"^demands\.layer: 1 values where 6 are needed"),
        ({"demand_rate": [1.0]}, r"^demands\.user: 6 values where 1 are needed"),
        ({"demand_user": [0, 0, 0, 1, 1, 2]}, r"^demands\.user\[5\]: 2 is not in 0\.\.1"),
        ({"demand_user": [0, -1, 0, 1, 1, 1]}, r"^demands\.user\[1\]: -1 is not in"),
        (
            {"demand_layer": [0, 0, 2, 0, 0, 1]},
            r"^demands\.layer\[2\]: 2 is not in 0\.\.1, the layers of model 'toy'",
        ),
        ({"demand_layer": [0, 0, -1, 0, 0, 1]}, r"^demands\.layer\[2\]: -1 is not in"),
        ({"demand_offsets": [0, 2, 3, 5, 7, 8]}, r"^demands\.experts: offsets do not split 9"),
        (
            {"demand_offsets": [0, 3, 3, 5, 7, 8, 9]},
            r"^demands\.experts\[0\]: 3 experts where the model allows 1\.\.2",
        ),
        (
            {"demand_offsets": [0, 2, 2, 4, 6, 8, 9]},
            r"^demands\.experts\[1\]: 0 experts where the model allows 1\.\.2",
        ),
        (
            {"demand_experts": [0, 1, 2, 2, 3, 1, 2, 2, 0]},
            r"^demands\.experts\[2\]\[1\]: 3 is not in 0\.\.2",
        ),
        (
            {"demand_experts": [0, 1, -1, 2, 1, 1, 2, 2, 0]},
            r"^demands\.experts\[1\]\[0\]: -1 is not in 0\.\.2",
        ),
        (
            {"demand_experts": [0, 1, 2, 2, 1, 1, 1, 2, 0]},
            r"^demands\.experts\[3\]: \[1, 1\] repeats an expert",
        ),
        ({"demand_user": [0, 0, 0, 1, 1, 2**31]}, r"^demands\.user: 2147483648 is out of range"),
    ],
)
def test_refused(tiny, changes, match):
    with pytest.raises(InputError, match=match):
        replace(tiny, **changes)


@pytest.mark.parametrize("value", [-1e-300, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "index", "match"),
    [
        ("latency_ms", (1, 0), r"^users\[1\]\.latency_ms\[0\]: "),
        ("cloud_latency_ms", 1, r"^users\[1\]\.cloud_latency_ms: "),
        ("local_latency_ms", 0, r"^users\[0\]\.local_latency_ms: "),
        ("demand_rate", 4, r"^demands\.rate\[4\]: "),
    ],
)
def test_numbers_are_finite_and_not_negative(tiny, name, index, match, value):
    changed = set_at(getattr(tiny, name), index, value)
    with pytest.raises(InputError, match=rf"{match}{value} is not a finite number >= 0"):
        replace(tiny, **{name: changed})


def test_models_with_one_name(tiny):
    with pytest.raises(InputError, match=r"^models\[1\]\.name: 'toy' is already .* models\[0\]$"):
        replace(tiny, models=tiny.models * 2)


def test_sums_of_sizes_fit_into_int64(tiny):
    half = Model.uniform("half", layers=1, experts=2, top_k=1, expert_bytes=MAX_BYTES // 2)
    assert replace(tiny, models=(tiny.models[0],), capacity_bytes=[MAX_BYTES] * 2).num_servers == 2
    with pytest.raises(InputError, match=r"^models: expert_bytes add up to more than"):
        replace(tiny, models=(*tiny.models, half, replace(half, name="other")))


@pytest.mark.parametrize(
    "changes",
    [
        {"demand_rate": [1e308] * 6},
        {"cloud_latency_ms": [1e308, 1.0], "demand_rate": [100.0] * 6},
        {"local_latency_ms": [0.0, 1e308], "demand_rate": [100.0] * 6},
        {"latency_ms": [[1e308, 0.0]] * 2, "demand_rate": [100.0] * 6},
    ],
)
def test_values_stay_finite(tiny, changes):
    with pytest.raises(InputError, match=r"^demands\.rate: .* add up to infinity"):
        replace(tiny, **changes)


def test_second_model_has_its_own_limits(two_models):
    assert isinstance(two_models, Instance)
    with pytest.raises(InputError, match=r"^demands\.layer\[1\]: 1 is not in 0\.\.0, .* 'small'"):
        replace(two_models, demand_layer=[1, 1])
    with pytest.raises(InputError, match=r"^demands\.experts\[1\]\[0\]: 2 is not in 0\.\.1"):
        replace(two_models, demand_experts=[2, 0, 2])
    with pytest.raises(InputError, match=r"^demands\.experts\[1\]: 2 .* allows 1\.\.1"):
        replace(two_models, demand_experts=[2, 0, 1, 0], demand_offsets=[0, 2, 4])
