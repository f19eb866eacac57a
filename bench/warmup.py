"""Warm-up: methods run once on tiny instances, so that nothing is compiled inside a timed call.

Numba loads or compiles a kernel when it first sees its argument types. The instances here differ in
what decides the path through a method: K = 1 or more, one size or several, few experts in a layer
or many, experts on the device.
"""

import functools
from collections.abc import Iterable

import numpy as np

from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.registry import Algorithm, run
from instances.result import Outcome
from instances.structure.clauses import build_clauses

TIME_LIMIT_S = 5.0
"""Far more than any method needs here; it is given so that the path with a time limit is warm."""


@functools.cache
def warmup_instances() -> tuple[Instance, ...]:
    """Return the tiny instances."""
    rng = np.random.default_rng(0)
    uniform = Model.uniform("uniform", layers=2, experts=4, top_k=2, expert_bytes=10)
    single = Model.uniform("single", layers=2, experts=4, top_k=1, expert_bytes=10)
    many = Model.uniform("many", layers=1, experts=24, top_k=2, expert_bytes=7)
    many_single = Model.uniform("many-single", layers=1, experts=24, top_k=1, expert_bytes=7)
    uneven_single = Model(
        name="uneven-single", expert_bytes=np.array([[3, 5, 7, 11], [4, 6, 9, 12]]), top_k=1
    )
    uneven = Model(name="uneven", expert_bytes=np.array([[3, 5, 7, 11], [4, 6, 9, 12]]), top_k=3)
    return (
        _instance((uniform,), rng),
        _instance((single,), rng),
        _instance((many,), rng),
        _instance((many_single,), rng),
        _instance((uneven_single,), rng),
        _instance((uneven, uniform, single), rng, with_local=True),
    )


def warm(algorithms: Iterable[Algorithm]) -> None:
    """Run each method on each instance that it supports, and the evaluator on the answers."""
    for instance in warmup_instances():
        build_clauses(instance)
        start = Placement.empty(instance)
        evaluate(instance, start)
        for algorithm in algorithms:
            outcome = run(
                algorithm,
                instance,
                rng=np.random.default_rng(0),
                time_limit=TIME_LIMIT_S,
                start=start,
                on_progress=_listen,
            )
            if outcome.placement is not None:
                evaluate(instance, outcome.placement)


def _listen(outcome: Outcome) -> None:
    """Ask a method to tell on the way, so that what it computes for that is compiled, too."""


def _instance(
    models: tuple[Model, ...], rng: np.random.Generator, *, with_local: bool = False
) -> Instance:
    """Two servers, two users of each model, every layer asked for by three rows of each user."""
    user_model = np.repeat(np.arange(len(models)), 2)
    user: list[int] = []
    layer: list[int] = []
    offsets = [0]
    experts: list[int] = []
    for u, m in enumerate(user_model):
        for row_layer in range(models[m].layers):
            for length in (1, models[m].top_k, models[m].top_k):
                user.append(u)
                layer.append(row_layer)
                experts.extend(rng.permutation(models[m].experts)[:length])
                offsets.append(len(experts))
    num_users = user_model.size
    total = sum(int(model.expert_bytes.sum()) for model in models)
    return Instance(
        name=f"warm-up-{'-'.join(model.name for model in models)}",
        models=models,
        server_names=("s0", "s1"),
        capacity_bytes=np.array([total // 3, total // 4]),
        user_names=tuple(f"u{u}" for u in range(num_users)),
        user_model=user_model,
        latency_ms=rng.uniform(1.0, 9.0, (num_users, 2)),
        cloud_latency_ms=np.full(num_users, 20.0),
        local_latency_ms=np.zeros(num_users),
        local_offsets=np.arange(num_users + 1) * int(with_local),
        local_experts=np.zeros(num_users * int(with_local), dtype=np.int64),
        demand_user=np.array(user),
        demand_layer=np.array(layer),
        demand_offsets=np.array(offsets),
        demand_experts=np.array(experts),
        demand_rate=rng.uniform(0.1, 1.0, len(user)),
    )
