"""Several models at once, of unequal expert size, sharing the storage of the servers.

The first model of each size has experts of different precision, and so of different size, inside
each layer. Every third user of it keeps an expert of each layer on the device.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from instances.architectures import ARCHITECTURES
from instances.families.assembly import MIXED_PRECISION, Workload, assemble
from instances.families.classes import register_twins
from instances.families.networks import hidden_state, network_spec
from instances.families.spec import Request
from instances.problem import Instance
from instances.routing import FINE_GRAINED, MIXTRAL_LIKE, Router


@dataclass(frozen=True, slots=True)
class Part:
    """One model of a size, and its users."""

    architecture: str
    layers: int
    precision: str
    users: int
    tokens: int
    routers: Mapping[str, Router]
    local_every: int = 0


PARTS: Mapping[str, tuple[int, tuple[Part, ...]]] = {
    "tiny": (
        2,
        (
            Part("moe-llava-phi2-2.7bx4-top2", 1, MIXED_PRECISION, 2, 200, MIXTRAL_LIKE, 2),
            Part("jetmoe-8b", 1, "bf16", 2, 200, MIXTRAL_LIKE),
        ),
    ),
    "small": (
        3,
        (
            Part("phi-3.5-moe", 2, MIXED_PRECISION, 3, 200, MIXTRAL_LIKE, 3),
            Part("jetmoe-8b", 2, "bf16", 3, 200, MIXTRAL_LIKE),
            Part("switch-base-8", 2, "bf16", 2, 200, FINE_GRAINED),
        ),
    ),
    "medium": (
        3,
        (
            Part("phi-3.5-moe", 6, MIXED_PRECISION, 6, 400, MIXTRAL_LIKE, 3),
            Part("mixtral-8x7b", 6, "int4", 6, 400, MIXTRAL_LIKE),
            Part("switch-base-16", 6, "bf16", 4, 400, FINE_GRAINED),
        ),
    ),
    "large": (
        4,
        (
            Part("phi-3.5-moe", 16, MIXED_PRECISION, 10, 400, MIXTRAL_LIKE, 3),
            Part("mixtral-8x7b", 16, "int4", 10, 400, MIXTRAL_LIKE),
            Part("gpt-oss-20b", 12, "mxfp4", 8, 300, FINE_GRAINED),
            Part("switch-base-32", 12, "bf16", 4, 400, FINE_GRAINED),
        ),
    ),
    "real": (
        6,
        (
            Part("phi-3.5-moe", 32, MIXED_PRECISION, 12, 400, MIXTRAL_LIKE, 3),
            Part("mixtral-8x7b", 32, "int4", 16, 400, MIXTRAL_LIKE),
            Part("gpt-oss-20b", 24, "mxfp4", 12, 400, FINE_GRAINED),
            Part("olmoe-1b-7b", 16, "bf16", 8, 400, FINE_GRAINED),
        ),
    ),
}
"""Servers and models of each size."""


def _build(routing: str | None, request: Request) -> Instance:
    servers, parts = PARTS[request.size]
    kind = routing or request.options["routing"]
    workloads = tuple(
        Workload(
            architecture=ARCHITECTURES.get(part.architecture),
            layers=part.layers,
            precision=part.precision,
            users=part.users,
            tokens=part.tokens,
            router=part.routers[kind],
            local_every=part.local_every,
        )
        for part in parts
    )
    stream = ("mixed", request.size, request.seed)
    return assemble(
        request.name,
        stream,
        workloads=workloads,
        servers=servers,
        spec=network_spec(request.options),
        hidden=hidden_state(request.options),
    )


register_twins(
    name="mixed",
    summary="Several models of unequal expert size, one of them in mixed precision",
    source="the models' own sources (moeplace list models)",
    sizes=tuple(PARTS),
    build=_build,
    precisions=(),
    takes_router=False,  # each model has a router of its own
)
