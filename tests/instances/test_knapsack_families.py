"""Families in the manner of published instances: rules, shapes, and bytes that never change."""

import pytest

from instances.families import FAMILIES, generate
from instances.families.knapsacks import KNAPSACKS
from instances.family_conformance import check_family

CHECKSUMS = {
    "quadratic-knapsack/tiny": "6ca9a3608899a9cf",
    "quadratic-knapsack/small": "82c4200de303a170",
    "quadratic-knapsack/medium": "c3872c7e5924b852",
    "set-union-knapsack/tiny": "6d2fe214fc344228",
    "set-union-knapsack/small": "d7efd903ca05160e",
    "set-union-knapsack/medium": "2c730f5d61843296",
    "densest-subgraph/tiny": "4d227e270aa75f3c",
    "densest-subgraph/small": "e365fd0b39fd232d",
    "densest-subgraph/medium": "ab1600f1126f8461",
}
"""Beginning of the SHA-256 of seed 0: the same on every machine, for ever."""


@pytest.mark.parametrize("family", KNAPSACKS, ids=lambda family: family.name)
def test_the_families_conform(family) -> None:
    assert check_family(family) == []
    assert FAMILIES.get(family.name) is family


@pytest.mark.parametrize(("name", "size"), [key.split("/") for key in CHECKSUMS])
def test_seed_0_never_changes(name: str, size: str) -> None:
    assert generate(name, size=size, seed=0).checksum()[:16] == CHECKSUMS[f"{name}/{size}"]


@pytest.mark.parametrize("family", KNAPSACKS, ids=lambda family: family.name)
def test_one_server_has_room_for_a_part_of_one_layer(family) -> None:
    for size in family.sizes:
        instance = family.generate(size, 0)
        assert (instance.num_servers, instance.num_layers, instance.num_users) == (1, 1, 1)
        assert 0 < instance.capacity_bytes[0] < instance.expert_bytes.sum()


def test_shapes_of_set_union_knapsacks_are_those_published() -> None:
    found = {
        (size, elements): generate("set-union-knapsack", size=size, seed=0, elements=elements)
        for size in ("medium", "large", "real")
        for elements in ("fewer", "equal", "more")
    }
    shapes = {key: (each.num_rows, each.num_experts) for key, each in found.items()}
    assert shapes == {
        ("medium", "fewer"): (100, 85),
        ("medium", "equal"): (100, 100),
        ("medium", "more"): (85, 100),
        ("large", "fewer"): (300, 285),
        ("large", "equal"): (300, 300),
        ("large", "more"): (285, 300),
        ("real", "fewer"): (500, 485),
        ("real", "equal"): (500, 500),
        ("real", "more"): (485, 500),
    }


@pytest.mark.parametrize("percent", ["25", "50", "75", "100"])
def test_density_of_quadratic_knapsacks(percent: str) -> None:
    instance = generate("quadratic-knapsack", size="medium", seed=0, density=percent)
    pairs = 100 * 101 // 2
    assert instance.num_rows / pairs == pytest.approx(int(percent) / 100, abs=0.02)
