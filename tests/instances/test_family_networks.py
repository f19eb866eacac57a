"""Options of the families that change their networks."""

import itertools

import numpy as np
import pytest

from instances.errors import InputError
from instances.families import FAMILIES, generate
from instances.families.networks import NETWORK_OPTIONS, hidden_state, network_spec
from instances.network_spec import URBAN_MICRO

DEFAULTS = {name: values[0] for name, values in NETWORK_OPTIONS.items()}
CLASSES = [family for family in FAMILIES if "backhaul" in family.options]
SAME = ("capacity_bytes", "expert_bytes", "demand_rate", "demand_experts", "demand_user")


def test_the_defaults_are_todays():
    assert network_spec(DEFAULTS) == URBAN_MICRO
    assert hidden_state(DEFAULTS) == ("bf16", "bf16")


def test_all_classes_of_architectures_have_them():
    assert len(CLASSES) == 12
    for family in CLASSES:
        assert {name: family.options[name] for name in NETWORK_OPTIONS} == NETWORK_OPTIONS


@pytest.mark.parametrize("family", list(FAMILIES), ids=lambda family: family.name)
def test_no_two_options_share_the_name_of_a_value(family):
    values = list(itertools.chain.from_iterable(family.options.values()))
    assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in NETWORK_OPTIONS.items() for v in values[1:]]
)
def test_an_option_changes_the_latencies_alone(name, value):
    base = generate("mixtral", size="medium", seed=0)
    instance = generate("mixtral", size="medium", seed=0, **{name: value})
    assert instance.name == f"mixtral-medium-s0-{value}"
    for field in SAME:
        assert np.array_equal(getattr(instance, field), getattr(base, field))
    assert not np.array_equal(instance.latency_ms, base.latency_ms)
    assert np.all(np.isfinite(instance.latency_ms))
    if name == "band":
        assert np.all(instance.latency_ms >= base.latency_ms)
    if name == "hidden":
        assert np.all(instance.latency_ms < base.latency_ms)
        assert np.all(instance.cloud_latency_ms < base.cloud_latency_ms)


def test_the_mixed_family_and_the_twins_have_the_same_networks():
    options = {"cells": "uma", "backhaul": "tree", "band": "shared-band", "hidden": "fp8-dispatch"}
    for name in ("mixed", "switch"):
        one = generate(name, size="small", seed=3, **options)
        other = generate(f"{name}-independent", size="small", seed=3, **options)
        assert np.array_equal(one.latency_ms, other.latency_ms)
        assert one.name == f"{name}-small-s3-uma-tree-shared-band-fp8-dispatch"


CHECKSUMS = {
    "cells=uma": "d494a01b4f34db321e3780864bb2f44d841656e6dca9063d486ac97ce3b04b77",
    "backhaul=tree": "0a7982977ef89394cb63f99ca3cb1f84e9fc3624b65f7eb26580cf624539f20c",
    "backhaul=ring": "617398d02ec7afdde3f622077f3819d12dd2456a13e392ebdb1dee57d63c2470",
    "backhaul=grid": "7b9cbd8fda924fafc17c80ced2688935e1bdbef67a67cb5ce748a3483287573c",
    "backhaul=random-geometric": "27524ab83f6e4bfe965b103a129092d63ced1e461c12cb66b8833c66281c56ba",
    "backhaul=scale-free": "efcba5c2459ba35eca08b7b6190d95660be01172f7f92f2f9306caf8ca4c399e",
    "band=shared-band": "db7b6a8a4920a028458a057163266d19290d83f598830e2081ee278017354ca9",
    "hidden=fp8-dispatch": "3279bd141e8f10775165ece7628534ac9570a14e568fee8012f2ec1788c5c604",
    "cells=uma backhaul=scale-free band=shared-band": (
        "e1ad19994056e27b0babf50e943511be6313dc95c0944507ebea92e8cf3ed371"
    ),
}
"""SHA-256 of these instances: the same on every machine, for ever."""


@pytest.mark.parametrize("options", CHECKSUMS)
def test_seed_0_never_changes(options):
    given = dict(option.split("=") for option in options.split())
    assert generate("mixtral", size="small", seed=0, **given).checksum() == CHECKSUMS[options]


def test_unknown_values_are_refused():
    with pytest.raises(InputError, match=r"^backhaul: 'star' is not one of neighbours, tree"):
        generate("mixtral", size="tiny", seed=0, backhaul="star")
    with pytest.raises(InputError, match=r"^cells: family 'tiny' has no such option"):
        generate("tiny", size="tiny", seed=0, cells="uma")
