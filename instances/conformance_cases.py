"""The instances on which the conformance tests try a method."""

import dataclasses
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from instances.draws import Draws
from instances.evaluation import evaluate
from instances.families import generate
from instances.families.adversarial import TRAPS
from instances.families.sampling import draw_small_instance
from instances.families.sketch import EDGE_MS, Sketch
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.exhaustive import best_placement, why_not_exhaustive


@dataclasses.dataclass(frozen=True)
class Case:
    """An instance, and what is known about it.

    Parameters
    ----------
    instance
        The instance.
    tie_free
        No two servers and no two rows are alike, so that the order of neither can matter.
    optimum
        A placement that no other one beats; None when it is not known from the construction.
    """

    instance: Instance
    tie_free: bool = False
    optimum: Placement | None = None

    @cached_property
    def optimum_ms(self) -> float | None:
        """Largest saving of any placement, ms per token; None where it is not known."""
        best = self.optimum
        if best is None:
            if why_not_exhaustive(self.instance) is not None:
                return None
            best = best_placement(self.instance)
        return evaluate(self.instance, best).saving_ms

    @cached_property
    def empty_latency_ms(self) -> float:
        """Latency when nothing is stored, ms per token."""
        return evaluate(self.instance, Placement.empty(self.instance)).latency_ms


def conformance_cases() -> tuple[Case, ...]:
    """Return the cases that every method has to pass: small, odd, extreme and adversarial ones."""
    return (*_tie_free(), *_odd(), *_extreme(), *_adversarial())


def _tie_free() -> Iterator[Case]:
    for top_k in (1, 2, 3):
        for servers in (1, 2, 3):
            for equal_sizes in (True, False):
                name = f"tie-free-k{top_k}-n{servers}-{'equal' if equal_sizes else 'unequal'}"
                instance = draw_small_instance(
                    Draws("conformance", name),
                    name,
                    servers=servers,
                    top_k=top_k,
                    equal_sizes=equal_sizes,
                )
                yield Case(instance, tie_free=True)


def _odd() -> Iterator[Case]:
    for seed in range(8):
        yield Case(generate("tiny", size="tiny", seed=seed))


def _extreme() -> Iterator[Case]:
    base = draw_small_instance(
        Draws("conformance", "base"), "base", servers=3, top_k=2, equal_sizes=True
    )
    total = int(base.expert_bytes.sum())
    least = int(base.expert_bytes.min())
    zero = np.zeros(0, dtype=np.int32)
    far = base.latency_ms.copy()
    far[:, 1] = base.cloud_latency_ms + 1.0
    nowhere = np.repeat(base.cloud_latency_ms[:, None], base.num_servers, axis=1)
    variants: dict[str, dict[str, Any]] = {
        "no-storage": {"capacity_bytes": np.zeros_like(base.capacity_bytes)},
        "one-server-without-storage": {"capacity_bytes": base.capacity_bytes * [1, 0, 1]},
        "a-byte-too-little": {"capacity_bytes": np.full(base.num_servers, least - 1)},
        "room-for-everything": {"capacity_bytes": np.full(base.num_servers, total + 1)},
        "no-rows": {
            "demand_user": zero,
            "demand_layer": zero,
            "demand_experts": zero,
            "demand_rate": zero.astype(np.float64),
            "demand_offsets": base.demand_offsets[:1],
        },
        "rates-of-zero": {"demand_rate": np.zeros(base.num_rows)},
        "a-server-that-nobody-reaches": {"latency_ms": far},
        "all-servers-as-slow-as-the-cloud": {"latency_ms": nowhere},
        "no-latency-at-all": {
            "latency_ms": np.zeros_like(base.latency_ms),
            "cloud_latency_ms": np.zeros(base.num_users),
            "local_latency_ms": np.zeros(base.num_users),
        },
    }
    for name, changes in variants.items():
        yield Case(dataclasses.replace(base, name=name, **changes))
    yield Case(_everything_at_once())
    yield Case(_one_of_each())


def _everything_at_once() -> Instance:
    """K = E: every row asks for all three experts of a layer, and no server holds three."""
    sketch = Sketch(np.full((2, 3), 10), top_k=3)
    servers = [sketch.add_server(20) for _ in range(3)]
    for latency_ms in (EDGE_MS, 2 * EDGE_MS):
        user = sketch.add_user(dict.fromkeys(servers, latency_ms))
        for layer in range(2):
            sketch.add_row(user, layer, range(3), 1.0 + layer)
    return sketch.finish("k-equals-e", Draws("conformance", "k-equals-e")).instance


def _one_of_each() -> Instance:
    """One server, one user, one layer, one expert, one row."""
    sketch = Sketch(np.full((1, 1), 10), top_k=1)
    server = sketch.add_server(10)
    sketch.add_row(sketch.add_user({server: EDGE_MS}), 0, [0], 1.0)
    return sketch.finish("one-of-each", Draws("conformance", "one-of-each")).instance


def _adversarial() -> Iterator[Case]:
    for trap in TRAPS.values():
        planted = trap.planted("tiny", 0)
        yield Case(planted.instance, optimum=planted.optimum)
