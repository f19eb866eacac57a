"""Families that grow in rows alone; the large sizes are the same code, and not generated here."""

import numpy as np
import pytest

from instances.families import FAMILIES, generate
from instances.families.scale import TOKENS_BY_SIZE, USERS_BY_SIZE

SIZES = ("tiny", "ten-thousand", "hundred-thousand", "million", "ten-million")

CHECKSUMS = {
    ("scale", "tiny"): "693d4ba1d9b061ff",
    ("scale", "ten-thousand"): "19e39e9cbab80eef",
    ("scale-single", "tiny"): "8a84bbbee2389c91",
    ("scale-single", "ten-thousand"): "e8d0d602bb8f537d",
}
"""First digits of SHA-256 of seed 0: the same on every machine, for ever."""


@pytest.mark.parametrize(("name", "size"), CHECKSUMS)
def test_seed_0_never_changes(name, size):
    assert generate(name, size=size, seed=0).checksum()[:16] == CHECKSUMS[name, size]


@pytest.mark.parametrize("name", ["scale", "scale-single"])
def test_sizes_are_named_after_their_rows(name):
    assert FAMILIES.get(name).sizes == SIZES == tuple(TOKENS_BY_SIZE) == tuple(USERS_BY_SIZE)
    for size, rows in (("tiny", 10**3), ("ten-thousand", 10**4), ("hundred-thousand", 10**5)):
        instance = generate(name, size=size, seed=1)
        assert instance.name == f"{name}-{size}-s1"
        assert 0.9 * rows < instance.num_rows < 1.6 * rows


def test_only_rows_grow():
    small, large = (generate("scale", size=size, seed=3) for size in SIZES[:2])
    assert (small.num_layers, small.models[0].experts, small.top_k) == (48, 128, 8)
    assert (small.num_users, small.num_servers) == (32, 8)
    for field in ("capacity_bytes", "latency_ms", "cloud_latency_ms", "expert_bytes"):
        assert np.array_equal(getattr(small, field), getattr(large, field))
    assert small.num_rows < large.num_rows


def test_one_expert_at_a_time_takes_more_users():
    small, large = (generate("scale-single", size=size, seed=3) for size in SIZES[:2])
    for instance in (small, large):
        assert (instance.num_layers, instance.models[0].experts, instance.top_k) == (12, 128, 1)
        assert instance.num_servers == 8
        assert np.all(np.diff(instance.demand_offsets) == 1)
    assert large.num_users == 10 * small.num_users
