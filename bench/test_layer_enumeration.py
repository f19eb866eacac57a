"""How long layer-enumeration takes to a proven optimum at the size of real models.

``pytest bench/test_layer_enumeration.py --benchmark-only``. Mixtral-like routing, 8 experts a
layer, K = 2, 50 users; each case must end with a proof within the limit or is skipped.
"""

import dataclasses
import functools

import numpy as np
import pytest

from formulations.layer_enumeration import LAYER_ENUMERATION
from instances.architectures import ARCHITECTURES
from instances.families.assembly import Workload, assemble
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome
from instances.routing import MIXTRAL_LIKE

LIMIT_S = 20.0


@functools.cache
def mixtral(servers: int, layers: int, seed: int) -> Instance:
    """Return an instance of so many layers; the architecture itself has 32."""
    architecture = dataclasses.replace(ARCHITECTURES.get("mixtral-8x7b"), moe_layers=layers)
    workload = Workload(
        architecture=architecture,
        layers=layers,
        precision="bf16",
        users=50,
        tokens=400,
        router=MIXTRAL_LIKE["linear-router"],
    )
    name = f"mixtral-{servers}x{layers}-s{seed}"
    return assemble(name, ("mixtral", "x", seed), workloads=(workload,), servers=servers)


@pytest.mark.parametrize(
    ("servers", "layers"), [(2, 32), (3, 8), (3, 16), (3, 32), (3, 64), (4, 16), (4, 32), (5, 32)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_proof(benchmark, servers: int, layers: int, seed: int) -> None:
    instance = mixtral(servers, layers, seed)

    def solve() -> Outcome:
        rng = np.random.default_rng(0)
        return run(LAYER_ENUMERATION, instance, rng=rng, time_limit=LIMIT_S)

    benchmark.group = f"{servers} servers"
    outcome = benchmark.pedantic(solve, rounds=1, iterations=1)
    if not outcome.proven_optimal:
        pytest.skip(f"no proof within {LIMIT_S:g} s")
    benchmark.extra_info["saving_ms"] = outcome.claimed_saving_ms
