"""Router files: round trips, instances made of them, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.errors import InputError
from instances.families import FAMILIES, generate
from instances.routing import CLASSES, FINE_GRAINED, Router
from instances.routing.files import (
    NamedRouter,
    find_router,
    read_router,
    router_from_dict,
    router_to_dict,
    write_router,
)
from tests.mistakes import GONE, anything, edited, nodes, unless_refused

NAMED = NamedRouter(
    name="mine",
    router=Router(user_weight=1.25, token_weight=3.0, bias_sigma=0.5, stickiness=0.2),
    layers=3,
    experts=8,
    top_k=2,
)
DOCUMENT = router_to_dict(NAMED)


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"router{suffix}"
    write_router(path, NAMED)
    assert read_router(path) == NAMED
    assert find_router(str(path)) == NAMED
    before = path.read_bytes()
    write_router(path, read_router(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", CLASSES)
def test_classes_by_name(name):
    named = find_router(name)
    assert named.name == name
    assert named.router == CLASSES[name]
    assert router_from_dict(json.loads(json.dumps(router_to_dict(named)))) == named


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], "moeplace/instance", "format: 'moeplace/instance' is not"),
        (["version"], 2, "version: 2 is not 1"),
        (["name"], "", "name: '' is not a name"),
        (["model", "experts"], 0, "model.experts: 0 is not a positive number"),
        (["model", "layers"], 10**9, "model: 1000000000 layers of 8 experts: more than"),
        (["model", "top_k"], 9, r"model.top_k: 9 is not in 1\.\.8"),
        (["router", "rank"], 2.5, "router.rank: 2.5 is not an integer"),
        (["router", "rank"], 65, r"router.rank: 65 is not in 1\.\.64"),
        (["router", "noise"], "1", "router.noise: '1' is not a number"),
        (["router", "noise"], -1, r"router.noise: -1.0 is not in 0\.\.64"),
        (
            ["router", "stickyness"],
            1,
            "router.stickyness: unknown field; did you mean 'stickiness'",
        ),
        (["router", "stickiness"], GONE, "router.stickiness: the field is missing"),
    ],
)
def test_mistakes_are_named(tmp_path, path, value, message):
    file = tmp_path / "router.json"
    file.write_text(json.dumps(edited(DOCUMENT, path, value)))
    with pytest.raises(InputError, match=f"router.json: {message}"):
        read_router(file)


@given(st.sampled_from(list(nodes(DOCUMENT))), anything | st.just(GONE))
def test_any_edit_is_refused_or_read(path, value):
    changed = edited(DOCUMENT, path, value)
    router = unless_refused(lambda: router_from_dict(changed))
    if router is not None:
        assert router_to_dict(router) == changed


def test_what_is_no_router_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"router: 'fine' is neither a \.json file nor one of fine"
    ):
        find_router("fine")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        find_router(str(tmp_path / "missing.json"))


def test_instances_of_a_router():
    family = FAMILIES.get("gpt-oss")
    same = NamedRouter(
        name="same", router=FINE_GRAINED["linear-router"], layers=24, experts=32, top_k=4
    )
    routed = family.generate_routed("tiny", 3, same, precision="fp8")
    usual = generate("gpt-oss", size="tiny", seed=3, precision="fp8")
    assert routed.name == "gpt-oss-tiny-s3-fp8-same"
    assert np.array_equal(routed.demand_rate, usual.demand_rate)
    assert np.array_equal(routed.demand_experts, usual.demand_experts)
    loose = replace(same, router=replace(same.router, stickiness=0.0))
    assert family.generate_routed("tiny", 3, loose).num_rows == usual.num_rows
    other = family.generate_routed("tiny", 3, NAMED)
    assert not np.array_equal(other.demand_experts, usual.demand_experts)
    assert np.array_equal(other.latency_ms, usual.latency_ms)


def test_families_without_a_router_of_ones_own():
    for name in ("tiny", "mixed", "gpt-oss-independent", "hull-trap"):
        family = FAMILIES.get(name)
        with pytest.raises(InputError, match=f"routing: family '{name}' takes no router"):
            family.generate_routed(family.sizes[0], 0, NAMED)
    with pytest.raises(InputError, match="routing: given twice: 'uniform' and a router"):
        FAMILIES.get("gpt-oss").generate_routed("tiny", 0, NAMED, routing="uniform")
