"""Growth in rows: from a thousand demand rows to ten million, and nothing else grows.

Every size of ``scale`` has the same model (48 layers of 128 experts, K = 8), the same 32 users and
8 servers and, with the same seed, the same network and storage: only the tokens that are drawn for
each user grow in number, and with them the distinct sets that they choose.

With K = 1 a user has at most as many rows as there are experts in all layers, so that more rows
take more users: ``scale-single`` has a hundred tokens for each of up to 38,000 users of 12 layers
of 128 experts.
"""

from collections.abc import Mapping

from instances.architectures import ARCHITECTURES
from instances.families.assembly import Workload, assemble
from instances.families.spec import FAMILIES, Family, Request
from instances.problem import Instance
from instances.routing import FINE_GRAINED

SERVERS = 8

USERS, TOKENS = 32, 100
"""Users of ``scale``, and tokens of each user of ``scale-single``."""

TOKENS_BY_SIZE: Mapping[str, int] = {
    "tiny": 1,
    "ten-thousand": 7,
    "hundred-thousand": 84,
    "million": 1460,
    "ten-million": 92_000,
}
"""Tokens of each user of ``scale``, for rows of about the number that the size is named after."""

USERS_BY_SIZE: Mapping[str, int] = {
    "tiny": 4,
    "ten-thousand": 40,
    "hundred-thousand": 375,
    "million": 3850,
    "ten-million": 38_000,
}
"""Users of ``scale-single``, likewise."""


def _build(request: Request) -> Instance:
    return _assembled(request, "scale", "qwen3-30b-a3b", USERS, TOKENS_BY_SIZE[request.size])


def _build_single(request: Request) -> Instance:
    users = USERS_BY_SIZE[request.size]
    return _assembled(request, "scale-single", "switch-base-128", users, TOKENS)


def _assembled(
    request: Request, family: str, architecture: str, users: int, tokens: int
) -> Instance:
    model = ARCHITECTURES.get(architecture)
    workload = Workload(
        architecture=model,
        layers=model.moe_layers,
        precision="bf16",
        users=users,
        tokens=tokens,
        router=FINE_GRAINED["linear-router"],
    )
    # the size is no key of the streams: what does not grow stays the same
    stream = (family, request.seed)
    return assemble(request.name, stream, workloads=(workload,), servers=SERVERS)


for _name, _sizes, _make, _what in (
    ("scale", TOKENS_BY_SIZE, _build, "Qwen3-30B-A3B, K = 8, 32 users, 8 servers"),
    ("scale-single", USERS_BY_SIZE, _build_single, "Switch with 128 experts, K = 1, 8 servers"),
):
    FAMILIES.register(
        Family(
            name=_name,
            summary=f"growth in rows, a thousand to ten million: {_what}",
            source="the real shapes of fine-grained and switch, with more tokens and users",
            sizes=tuple(_sizes),
            build=_make,
        )
    )
