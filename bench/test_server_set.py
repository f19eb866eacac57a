"""How fast server-set certifies: placement and bound together, and the gap that is left.

``pytest bench/test_server_set.py --benchmark-only``. Each case takes the placement of
successive-hull (successive-dp where layers have 8 experts), improved for a few rounds where that is
cheap, and then the bound; ``extra_info`` has the saving, the bound and the certified gap.
"""

import dataclasses
import functools

import numpy as np
import pytest

from bench.conftest import make_instance
from formulations.bounds.server_set import SERVER_SET
from heuristics import HEURISTICS
from instances.architectures import ARCHITECTURES
from instances.families.assembly import Workload, assemble
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, judge
from instances.routing import MIXTRAL_LIKE

REAL = ("mixtral", "sixteen-expert", "switch", "gpt-oss", "mixed", "fine-grained")
STORAGE = 0.2
"""Share of all experts that one server holds in the cases of 32 layers of 8 experts."""


@functools.cache
def mixtral(servers: int, seed: int) -> Instance:
    """Return 32 layers of 8 experts, 40 users, and a fifth of all experts on each server."""
    workload = Workload(
        architecture=ARCHITECTURES.get("mixtral-8x7b"),
        layers=32,
        precision="bf16",
        users=40,
        tokens=400,
        router=MIXTRAL_LIKE["linear-router"],
    )
    stream = ("server-set", servers, seed)
    instance = assemble(f"fifth-{servers}", stream, workloads=(workload,), servers=servers)
    size = int(instance.expert_bytes[0])
    capacity = np.full(servers, int(STORAGE * instance.num_experts) * size)
    return dataclasses.replace(instance, capacity_bytes=capacity)


def certify(instance: Instance, heuristic: str, **parameters: int) -> Outcome:
    """Place, then bound from that placement."""
    placed = run(
        HEURISTICS.get(heuristic), instance, rng=np.random.default_rng(0), **parameters
    ).placement
    return run(SERVER_SET, instance, rng=np.random.default_rng(0), start=placed)


def note(benchmark, instance: Instance, outcome: Outcome) -> None:
    result = judge(instance, outcome, seconds=0.0)
    assert result.bound_certified
    benchmark.extra_info["saving_ms"] = result.saving_ms
    benchmark.extra_info["bound_saving_ms"] = result.bound_saving_ms
    benchmark.extra_info["gap"] = result.gap


@pytest.mark.benchmark(group="32 layers of 8 experts, 40 users")
@pytest.mark.parametrize("servers", [3, 4, 8])
@pytest.mark.parametrize("seed", [0, 1])
def test_fifth(benchmark, servers: int, seed: int) -> None:
    instance = mixtral(servers, seed)

    def place_and_bound() -> Outcome:
        return certify(instance, "improve", orders=2, rounds=2)

    note(benchmark, instance, benchmark.pedantic(place_and_bound, rounds=1, iterations=1))


@pytest.mark.benchmark(group="real sizes")
@pytest.mark.parametrize("family", REAL)
def test_real(benchmark, family: str) -> None:
    instance = make_instance(family, "real")

    def place_and_bound() -> Outcome:
        return certify(instance, "successive-hull")

    note(benchmark, instance, benchmark.pedantic(place_and_bound, rounds=1, iterations=1))
