import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.errors import InputError
from instances.model import Model
from instances.physical_map import (
    PhysicalMap,
    read_physical_map,
    to_physical_map,
    to_placement,
    write_physical_map,
)
from instances.placement import Placement
from instances.placement_csv import read_placement_csv, write_placement_csv
from instances.problem import Instance


@pytest.fixture
def roomy(tiny):
    return replace(tiny, capacity_bytes=np.array([60, 60]))


def test_slots_by_hand(tiny, tiny_placement):
    found = to_physical_map(tiny, tiny_placement)
    assert found.slots_per_server == 2  # far stores experts 0 and 2 of layer 1
    assert found.experts.tolist() == [[0, -1, 1, -1], [1, -1, 0, 2]]
    assert found.num_empty == 3
    assert found.copies().tolist() == [[1, 1, 0], [1, 1, 1]]


def test_filled_by_hand(tiny, tiny_placement):
    # layer 0: expert 2 is on no server and takes the first of two equally empty servers; far
    # repeats its own expert; layer 1 misses nothing, so near repeats its own
    filled = to_physical_map(tiny, tiny_placement).filled()
    assert filled.experts.tolist() == [[0, 2, 1, 1], [1, 1, 0, 2]]
    assert filled.num_empty == 0


def test_a_server_without_experts_takes_those_with_fewest_copies(tiny):
    placement = Placement.of(tiny, [(1, 0), (1, 1), (1, 2)])
    found = to_physical_map(tiny, placement)
    assert found.experts[0].tolist() == [-1, -1, -1, 0, 1, 2]
    assert found.filled().experts[0].tolist() == [0, 1, 2, 0, 1, 2]


def test_too_few_slots_for_all_experts(tiny):
    found = to_physical_map(tiny, Placement.of(tiny, [(0, 0)]))
    with pytest.raises(InputError, match=r"\[0\]: 2 experts are on no server, and 1 slots.* 2 slo"):
        found.filled()
    assert to_physical_map(tiny, Placement.empty(tiny), slots_per_server=2).filled()


@st.composite
def placements(draw: st.DrawFn) -> tuple[Instance, Placement]:
    layers, experts = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    servers = draw(st.integers(1, 4))
    bits = draw(st.lists(st.booleans(), min_size=servers * layers * experts, max_size=60))
    stored = np.resize(np.array(bits, dtype=bool), (servers, layers * experts))
    instance = Instance(
        name="drawn",
        models=(Model.uniform("m", layers=layers, experts=experts, top_k=1, expert_bytes=7),),
        server_names=tuple(f"s{n}" for n in range(servers)),
        capacity_bytes=stored.sum(axis=1) * 7,
        user_names=("u",),
        user_model=np.zeros(1, int),
        latency_ms=np.ones((1, servers)),
        cloud_latency_ms=np.array([2.0]),
        local_latency_ms=np.zeros(1),
        local_offsets=np.zeros(2, int),
        local_experts=np.zeros(0, int),
        demand_user=np.zeros(1, int),
        demand_layer=np.zeros(1, int),
        demand_offsets=np.array([0, 1]),
        demand_experts=np.zeros(1, int),
        demand_rate=np.ones(1),
    )
    return instance, Placement(stored)


@given(placements())
def test_a_map_leads_back_to_the_placement(case):
    instance, placement = case
    found = to_physical_map(instance, placement)
    assert np.array_equal(to_placement(instance, found).stored, placement.stored)
    per_layer = placement.stored.reshape(instance.num_servers, found.num_layers, -1)
    assert np.array_equal(found.copies(), per_layer.sum(axis=0))


@given(placements())
def test_filled_keeps_what_is_there_and_misses_nothing(case):
    instance, placement = case
    found = to_physical_map(instance, placement, slots_per_server=5)
    filled = found.filled()
    assert filled.num_empty == 0
    assert (filled.copies() > 0).all()
    held = found.experts >= 0
    assert np.array_equal(filled.experts[held], found.experts[held])
    shape = (found.num_layers, instance.num_servers, -1)
    was_missing = found.copies() == 0
    for layer in range(found.num_layers):
        for before, after in zip(
            found.experts.reshape(shape)[layer], filled.experts.reshape(shape)[layer], strict=True
        ):
            new = set(after.tolist()) - set(before.tolist())
            # a server that stores something gets nothing that others store
            assert (before < 0).all() or all(was_missing[layer, x] for x in new)


def test_sglang_file(tmp_path, roomy, tiny_placement):
    """What SGLang reads: one field, all layers, every expert somewhere, no -1."""
    filled = to_physical_map(roomy, tiny_placement).filled()
    path = tmp_path / "map.json"
    write_physical_map(path, filled, dense_layers=[0])
    content = json.loads(path.read_text())
    assert content == {
        "physical_to_logical_map": [[0, 1, 2, 0], [0, 2, 1, 1], [1, 1, 0, 2]],
    }
    again = read_physical_map(path, roomy, dense_layers=[0])
    assert np.array_equal(again.experts, filled.experts)
    stored = to_placement(roomy, again).stored
    assert (stored >= tiny_placement.stored).all()


def test_a_map_with_holes_is_refused_by_sglang_and_read_by_us(tmp_path, tiny, tiny_placement):
    found = to_physical_map(tiny, tiny_placement)
    path = tmp_path / "map.json"
    write_physical_map(path, found)
    assert set(json.loads(path.read_text())) == {"format", "servers", "physical_to_logical_map"}
    assert np.array_equal(read_physical_map(path, tiny).experts, found.experts)


def test_a_map_that_misses_an_expert_is_refused_by_sglang(tmp_path):
    lacking = PhysicalMap(experts=np.array([[0, 0]]), num_servers=2, num_experts=2)
    write_physical_map(tmp_path / "map.json", lacking)
    assert "format" in json.loads((tmp_path / "map.json").read_text())


def test_several_models(tiny):
    two = replace(
        tiny,
        models=(*tiny.models, Model.uniform("b", layers=1, experts=4, top_k=1, expert_bytes=5)),
    )
    placement = Placement.of(two, [(0, 2), (1, 6), (1, 9)])
    found = to_physical_map(two, placement, model="b")
    assert found.experts.tolist() == [[-1, -1, 0, 3]]
    back = to_placement(two, found, model="b")
    assert np.argwhere(back.stored).tolist() == [[1, 6], [1, 9]]
    with pytest.raises(InputError, match=r"model: there are several.*toy, b"):
        to_physical_map(two, placement)
    with pytest.raises(InputError, match=r"model: 'c' is not one of toy, b"):
        to_physical_map(two, placement, model="c")


def test_placements_that_do_not_fit(tiny, tiny_placement):
    with pytest.raises(InputError, match=r"1 is less than the 2 experts of layer 1 on .*'far'"):
        to_physical_map(tiny, tiny_placement, slots_per_server=1)
    full = PhysicalMap(
        experts=np.tile(np.arange(3), (2, 2)).reshape(2, 6), num_servers=2, num_experts=3
    )
    with pytest.raises(InputError, match="stores 60 bytes where its capacity is 20"):
        to_placement(tiny, full)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experts": np.array([[0, 1, 2]])}, "3 slots do not share out to 2 servers"),
        ({"experts": np.array([[0, 3]])}, r"\[0\]\[1\]: 3 is not in 0..2"),
        ({"experts": np.array([[-2, 0]])}, r"\[0\]\[0\]: -2 is not in 0..2"),
        ({"num_servers": 0}, "share out to 0 servers"),
    ],
)
def test_wrong_maps(change, message):
    good = {"experts": np.array([[0, 1]]), "num_servers": 2, "num_experts": 3}
    with pytest.raises(InputError, match=message):
        PhysicalMap(**(good | change))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "a list of 0 is not an object"),
        ('{"physical_to_logical_map": [[0, 1], [0]]}', r"map\[1\]: 1 slots where others are"),
        ('{"physical_to_logical_map": [[0, 1]]}', "1 layers where 2 are needed"),
        ('{"physical_to_logical_map": []}', "0 layers where 2 are needed"),
        ('{"physical_to_logical_map": [[0, 1.5], [0, 1]]}', r"map\[0\]\[1\]: 1.5 is not an int"),
        ('{"physical_to_logical_map": [[0, 5], [0, 1]]}', r"map\[0\]\[1\]: 5 is not in 0..2"),
        ('{"logical_count": [[1]]}', "logical_count: unknown field"),
        (
            '{"format": "x", "servers": 2, "physical_to_logical_map": [[0, 1]]}',
            "format: 'x' is not 'moeplace/physical-map'",
        ),
        (
            '{"format": "moeplace/physical-map", "servers": 1, "physical_to_logical_map": [[0]]}',
            "servers: 1 is not 2",
        ),
    ],
)
def test_wrong_files(tmp_path, tiny, content, message):
    path = tmp_path / "map.json"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"map\.json.*{message}"):
        read_physical_map(path, tiny)


def test_wrong_dense_layers(tmp_path, tiny, tiny_placement):
    found = to_physical_map(tiny, tiny_placement)
    with pytest.raises(InputError, match=r"dense_layers: 4 is not in 0\.\.2"):
        write_physical_map(tmp_path / "m.json", found, dense_layers=[4])
    with pytest.raises(InputError, match=r"dense_layers: 1 is repeated"):
        write_physical_map(tmp_path / "m.json", found, dense_layers=[1, 1])
    with pytest.raises(InputError, match=r"must end in \.json"):
        write_physical_map(tmp_path / "m.json.gz", found)


def test_fits_only_its_own_instance(tiny):
    other = PhysicalMap(experts=np.zeros((2, 3), int), num_servers=3, num_experts=3)
    with pytest.raises(InputError, match="3 servers where 2 are needed"):
        to_placement(tiny, other)


def test_csv_by_hand(tmp_path, tiny, tiny_placement):
    path = tmp_path / "placement.csv"
    write_placement_csv(path, tiny, tiny_placement)
    assert path.read_text() == (
        "server,model,layer,expert,bytes\n"
        "near,toy,0,0,10\n"
        "near,toy,1,1,10\n"
        "far,toy,0,1,10\n"
        "far,toy,1,0,10\n"
        "far,toy,1,2,10\n"
    )
    assert np.array_equal(read_placement_csv(path, tiny).stored, tiny_placement.stored)


def test_csv_of_awkward_names(tmp_path, tiny, tiny_placement):
    odd = replace(tiny, server_names=('a "b", c', "é"))
    path = tmp_path / "placement.csv"
    write_placement_csv(path, odd, tiny_placement)
    assert np.array_equal(read_placement_csv(path, odd).stored, tiny_placement.stored)


def test_csv_refuses_what_is_too_much(tmp_path, tiny):
    with pytest.raises(InputError, match="stores 60 bytes"):
        write_placement_csv(tmp_path / "p.csv", tiny, Placement(np.ones((2, 6), bool)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", r"line 1: '' is not the heading"),
        ("server,model,layer,expert\n", "line 1: .* is not the heading"),
        ("H\nnear,toy,0\n", "line 2: 3 values where 5 are needed"),
        ("H\nneer,toy,0,0,10\n", "line 2, server: 'neer' is not in the instance; did you mean"),
        ("H\nnear,to,0,0,10\n", "line 2, model: 'to' is not in the instance"),
        ("H\nnear,toy,2,0,10\n", r"line 2, layer: '2' is not in 0\.\.1"),
        ("H\nnear,toy,0,-1,10\n", r"line 2, expert: '-1' is not in 0\.\.2"),
        ("H\nnear,toy,0,0,11\n", "line 2, bytes: '11' is not 10"),
        ("H\nnear,toy,0,0,10\nnear,toy,0,0,10\n", "line 3: the server stores that expert already"),
        ("H\nnear,toy,0,0,10\nnear,toy,0,1,10\nnear,toy,0,2,10\n", "stores 30 bytes"),
        ('H\n"near,toy', "not a CSV table"),
    ],
)
def test_wrong_csv(tmp_path, tiny, lines, message):
    path = tmp_path / "p.csv"
    path.write_text(lines.replace("H\n", "server,model,layer,expert,bytes\n"))
    with pytest.raises(InputError, match=rf"p\.csv.*{message}"):
        read_placement_csv(path, tiny)
