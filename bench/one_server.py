"""How far one-server-at-a-time can get: every server solved exactly, in every order.

    python -m bench.one_server gpt-oss fine-grained-independent

prints, for the tiny instances of the families, shares of the optimum: of `successive-hull-pass`; of
one pass in which a MILP solves every server exactly given the earlier ones, in the default order,
and in the best and in the worst of all orders. What the second misses is the
loss of taking servers one by one, which no better subproblem can make good.
"""

import dataclasses
import sys
from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from bench.formats import saving_ratio_text
from formulations import EXACT
from heuristics import HEURISTICS
from heuristics.successive import server_order
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.tables import residual_of

FAMILIES = (
    *("gpt-oss", "gpt-oss-independent", "fine-grained", "fine-grained-independent"),
    *("mixed", "mixed-independent"),
)
SEEDS = range(6)


def subproblem(
    instance: Instance, clauses: Clauses, stored: NDArray[np.bool_], server: int
) -> Instance:
    """Return the instance of a single server whose savings are the gains of this one.

    Every clause that the server could still complete becomes a row of what it lacks, wanted by the
    one user of its model; the cloud takes 1 ms longer than the server.

    Parameters
    ----------
    stored
        What the other servers store; bool (N, X).
    """
    part = residual_of(clauses, stored, server)
    layer = np.searchsorted(part.layer_offset, np.arange(part.weight.size), side="right") - 1
    models = len(instance.models)
    model = np.searchsorted(instance.model_layer_offset, layer, side="right") - 1
    order = np.argsort(model, kind="stable")
    lengths = np.diff(part.offsets)
    starts = part.offsets[:-1]
    experts = [
        part.experts[starts[c] : starts[c] + lengths[c]] - instance.layer_expert_offset[layer[c]]
        for c in order
    ]
    return dataclasses.replace(
        instance,
        name=f"{instance.name}-server-{server}",
        server_names=(instance.server_names[server],),
        capacity_bytes=instance.capacity_bytes[[server]],
        user_names=tuple(f"model-{m}" for m in range(models)),
        user_model=np.arange(models),
        latency_ms=np.zeros((models, 1)),
        cloud_latency_ms=np.ones(models),
        local_latency_ms=np.zeros(models),
        local_offsets=np.zeros(models + 1, dtype=np.int64),
        local_experts=np.zeros(0, dtype=np.int64),
        demand_user=model[order].astype(np.int32),
        demand_layer=(layer - instance.model_layer_offset[model])[order].astype(np.int32),
        demand_offsets=np.concatenate([[0], np.cumsum(lengths[order])]),
        demand_experts=np.concatenate([np.zeros(0, dtype=np.int64), *experts]),
        demand_rate=part.weight[order],
    )


def exact_pass(instance: Instance, clauses: Clauses, order: Sequence[int]) -> float:
    """Fill the servers in this order, each exactly; return the saving, ms per token."""
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    for server in order:
        alone = subproblem(instance, clauses, stored, server)
        stored[server] = _solve(alone).stored[0]
    return clauses.saving_ms(Placement(stored))


def _solve(instance: Instance) -> Placement:
    outcome = run(EXACT.get("milp-compact"), instance, rng=np.random.default_rng(0))
    if outcome.placement is None or not outcome.proven_optimal:
        raise RuntimeError(f"{instance.name}: not solved: {outcome.reason}")
    return outcome.placement


def main() -> None:
    """Measure and print."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("instance", no_wrap=True)
    for name in ("successive-hull-pass", "exact, default order", "best order", "worst order"):
        table.add_column(name, justify="right")
    for family in sys.argv[1:] or FAMILIES:
        for seed in SEEDS:
            instance = generate(family, size="tiny", seed=seed)
            clauses = build_clauses(instance)
            optimum = clauses.saving_ms(_solve(instance))
            by_hull = HEURISTICS.get("successive-hull-pass")
            hull = run(by_hull, instance, rng=np.random.default_rng(0))
            if hull.placement is None:
                raise RuntimeError(f"{instance.name}: {hull.reason}")
            default = server_order(instance, None)
            savings = {
                order: exact_pass(instance, clauses, order) for order in permutations(default)
            }
            figures = (
                clauses.saving_ms(hull.placement),
                savings[tuple(default)],
                max(savings.values()),
                min(savings.values()),
            )
            shares = (saving_ratio_text(figure / optimum) for figure in figures)
            table.add_row(instance.name, *shares)
    Console().print(table)


if __name__ == "__main__":
    main()
