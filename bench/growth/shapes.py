"""Instances of growing size: one dimension grows, the others stay.

Rows grow on the shape of a large deployment: 48 layers of 128 experts, K = 8, 32 users, 8 servers,
with more tokens for each user. Along the other axes the number of rows stays the same, so that what
grows is what the axis names. Methods for few experts in a layer, or for K = 1, have shapes of their
own; there rows grow with the users.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from instances.architectures import ARCHITECTURES
from instances.families.assembly import Workload, assemble
from instances.problem import Instance
from instances.routing import FINE_GRAINED, MIXTRAL_LIKE

AXES: Mapping[str, str] = {
    "rows": "demand rows",
    "experts": "experts in a layer",
    "servers": "servers",
    "users": "users",
}
"""What can grow."""

SHAPES: Mapping[str, str] = {
    "wide": "wide layers, K > 1",
    "narrow": "layers of few experts, K = 2",
    "single": "wide layers, K = 1",
}
"""Shapes in the order in which a method is tried on them: the first on which it grows counts."""

LARGEST_ROWS = 1_000_000
"""Rows of the largest instance, about, unless more are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One instance of the study.

    Parameters
    ----------
    axis, shape
        Which dimension grows, and on which shape.
    value
        The dimension that grows; of rows about as many as there will be.
    layers, experts, top_k, users, servers
        Dimensions; experts are those of one layer.
    tokens
        Tokens drawn for each user.
    rows_each
        Rows kept for each user in each layer, out of those that the tokens give; 0 for all.
    """

    axis: str
    shape: str
    value: int
    layers: int
    experts: int
    top_k: int
    users: int
    servers: int
    tokens: int
    rows_each: int = 0


def build(size: Size) -> Instance:
    """Make the instance of a size; the same one every time.

    Raises
    ------
    ValueError
        When the tokens give some user too few different rows.
    """
    architecture = dataclasses.replace(
        ARCHITECTURES.get("qwen3-30b-a3b"),
        moe_layers=size.layers,
        experts_per_layer=size.experts,
        top_k=size.top_k,
    )
    router = MIXTRAL_LIKE if size.shape == "narrow" else FINE_GRAINED
    workload = Workload(
        architecture=architecture,
        layers=size.layers,
        precision="bf16",
        users=size.users,
        tokens=size.tokens,
        router=router["linear-router"],
    )
    instance = assemble(
        f"growth-{size.shape}-{size.axis}-{size.value}",
        ("growth", size.shape),
        workloads=(workload,),
        servers=size.servers,
    )
    return _thinned(instance, size) if size.rows_each else instance


def _thinned(instance: Instance, size: Size) -> Instance:
    """Keep so many rows of each user in each layer, evenly spread over those that there are."""
    pair = instance.demand_user * size.layers + instance.demand_layer
    order = np.argsort(pair, kind="stable")
    counts = np.bincount(pair, minlength=size.users * size.layers)
    if counts.min() < size.rows_each:
        raise ValueError(f"{size}: {counts.min()} rows of some user in some layer")
    first = np.cumsum(counts) - counts
    place = np.arange(size.rows_each)
    kept = np.sort(order[(first[:, None] + place * counts[:, None] // size.rows_each).ravel()])
    lengths = np.diff(instance.demand_offsets)[kept]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    experts = instance.demand_experts[np.repeat(instance.demand_offsets[kept], lengths) + within]
    return dataclasses.replace(
        instance,
        demand_user=instance.demand_user[kept],
        demand_layer=instance.demand_layer[kept],
        demand_offsets=offsets,
        demand_experts=experts,
        demand_rate=instance.demand_rate[kept],
    )


def sizes_of(axis: str, shape: str, *, largest_rows: int = LARGEST_ROWS) -> list[Size]:
    """Return the sizes along an axis on a shape, ascending; none where it cannot grow there."""
    # 10 % of mercy: values along the axis of rows are about what the tokens give
    return [
        size
        for size in _SIZES
        if (size.axis, size.shape) == (axis, shape)
        and (axis != "rows" or size.value <= 1.1 * largest_rows)
    ]


def _size(axis: str, shape: str, value: int, base: Mapping[str, int], **own: int) -> Size:
    return Size(axis=axis, shape=shape, value=value, **{**base, **own})


def _all_sizes() -> Iterator[Size]:
    """Yield every size; the tokens are as many as it takes for the rows that are kept."""
    wide = {"layers": 48, "experts": 128, "top_k": 8, "users": 32, "servers": 8}
    by_tokens = {1_500: 1, 4_600: 3, 14_000: 10, 43_000: 32, 130_000: 110, 360_000: 380}
    for rows, tokens in {**by_tokens, 1_000_000: 1_430, 10_000_000: 92_000}.items():
        yield _size("rows", "wide", rows, wide, tokens=tokens)
    narrow = {"layers": 4, "experts": 8, "top_k": 2, "servers": 3, "tokens": 100}
    by_users = {100: 1, 400: 4, 1_600: 16, 6_500: 64, 26_000: 256, 100_000: 1_024, 410_000: 4_096}
    for rows, users in by_users.items():
        yield _size("rows", "narrow", rows, narrow, users=users)
    single = {"layers": 48, "experts": 128, "top_k": 1, "servers": 6, "tokens": 32}
    by_users = {
        640: 1,
        2_000: 3,
        6_900: 10,
        22_000: 32,
        66_000: 100,
        210_000: 320,
        1_000_000: 1_500,
    }
    for rows, users in by_users.items():
        yield _size("rows", "single", rows, single, users=users)

    wide = {"layers": 8, "top_k": 4, "users": 32, "servers": 8, "rows_each": 16}
    for experts, tokens in {8: 2_048, 32: 64, 128: 32, 512: 32, 2_048: 32, 8_192: 32}.items():
        yield _size("experts", "wide", experts, wide, experts=experts, tokens=tokens)
    narrow = {"layers": 2, "top_k": 2, "users": 32, "servers": 3, "rows_each": 4, "tokens": 32}
    for experts in (4, 6, 8, 10, 12, 14, 16, 18, 20):
        yield _size("experts", "narrow", experts, narrow, experts=experts)
    single = {"layers": 8, "top_k": 1, "users": 32, "servers": 8, "rows_each": 4}
    for experts, tokens in {8: 256, 32: 32, 128: 16, 512: 16, 2_048: 16, 8_192: 16}.items():
        yield _size("experts", "single", experts, single, experts=experts, tokens=tokens)

    wide = {"layers": 8, "experts": 128, "top_k": 4, "users": 32, "rows_each": 32, "tokens": 64}
    narrow = {"layers": 2, "experts": 8, "top_k": 2, "users": 32, "rows_each": 4, "tokens": 32}
    single = {"layers": 8, "experts": 128, "top_k": 1, "users": 32, "rows_each": 8, "tokens": 64}
    for servers in (1, 3, 10, 32, 100, 316, 1_000):
        yield _size("servers", "wide", servers, wide, servers=servers)
    for servers in (1, 2, 3, 4, 5, 6, 8, 10, 32, 100, 316, 1_000):
        yield _size("servers", "narrow", servers, narrow, servers=servers)
    for servers in (1, 3, 10, 32, 100, 316, 1_000):
        yield _size("servers", "single", servers, single, servers=servers)

    wide = {"layers": 8, "experts": 128, "top_k": 4, "servers": 8}
    for users, tokens in {1: 16_384, 4: 1_024, 16: 256, 64: 32, 256: 8, 1_024: 2}.items():
        own = {"users": users, "tokens": tokens, "rows_each": 1_024 // users}
        yield _size("users", "wide", users, wide, **own)
    narrow = {"layers": 2, "experts": 16, "top_k": 2, "servers": 3}
    for users, tokens in {1: 256, 4: 32, 16: 8, 64: 2}.items():
        own = {"users": users, "tokens": tokens, "rows_each": 64 // users}
        yield _size("users", "narrow", users, narrow, **own)
    single = {"layers": 8, "experts": 512, "top_k": 1, "servers": 8}
    for users, tokens in {1: 16_384, 4: 256, 16: 32, 64: 2}.items():
        own = {"users": users, "tokens": tokens, "rows_each": 64 // users}
        yield _size("users", "single", users, single, **own)


_SIZES = tuple(_all_sizes())
