"""Random instances and placements with every oddity, for numpy generators and for hypothesis.

One builder draws all its decisions as whole numbers from a ``pick(low, high)``; a seeded generator
and hypothesis both provide one. Low numbers are the plain cases, so that hypothesis shrinks to
them.
"""

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from instances.placement import Placement
from instances.problem import Instance, Model

Pick = Callable[[int, int], int]
"""``pick(low, high)`` returns a whole number in low..high."""


def random_instance(
    rng: np.random.Generator,
    *,
    max_models: int = 2,
    max_servers: int = 3,
    max_users: int = 3,
    max_layers: int = 2,
    max_experts: int = 4,
    max_rows: int = 12,
    max_cells: int = 10**9,
    top_k: int | None = None,
    uniform: bool = False,
    wild: bool = False,
) -> Instance:
    """Draw an instance: unequal models, local experts, slow servers, ties, idle users and more.

    Parameters
    ----------
    rng
        A seeded generator; the same seed gives the same instance.
    max_models, max_servers, max_users, max_layers, max_experts, max_rows
        Largest counts; each is drawn from 1 (rows: from 0). Layers and experts are per model.
    max_cells
        Largest servers x experts over all layers (at least one expert per model is kept), so that
        there are at most 2 ** max_cells placements.
    top_k
        The ``top_k`` of every model that has enough experts; None draws 1 to 4.
    uniform
        Every expert of every model has the same size. Otherwise models may differ, and experts
        inside a model too.
    wild
        Rates and latencies over many orders of magnitude, for the accuracy of the evaluator. Tame
        ones, the default, stay within what floating-point solvers can prove.
    """

    def pick(low: int, high: int) -> int:
        return int(rng.integers(low, high, endpoint=True))

    return _build(
        pick,
        max_models=max_models,
        max_servers=max_servers,
        max_users=max_users,
        max_layers=max_layers,
        max_experts=max_experts,
        max_rows=max_rows,
        max_cells=max_cells,
        top_k=top_k,
        uniform=uniform,
        wild=wild,
    )


@st.composite
def instances(
    draw: st.DrawFn,
    *,
    max_models: int = 2,
    max_servers: int = 3,
    max_users: int = 3,
    max_layers: int = 2,
    max_experts: int = 4,
    max_rows: int = 12,
    max_cells: int = 10**9,
    top_k: int | None = None,
    uniform: bool = False,
    wild: bool = False,
) -> Instance:
    """Draw the instances of :func:`random_instance`, shrinking to plain ones."""

    def pick(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    return _build(
        pick,
        max_models=max_models,
        max_servers=max_servers,
        max_users=max_users,
        max_layers=max_layers,
        max_experts=max_experts,
        max_rows=max_rows,
        max_cells=max_cells,
        top_k=top_k,
        uniform=uniform,
        wild=wild,
    )


def random_placement(rng: np.random.Generator, instance: Instance) -> Placement:
    """Draw a feasible placement: shuffled (server, expert) pairs, each stored while it fits."""
    pairs = rng.permutation(instance.num_servers * instance.num_experts)
    wanted = int(rng.integers(0, pairs.size, endpoint=True))
    return _fill(instance, [int(pair) for pair in pairs[:wanted]])


@st.composite
def placements(draw: st.DrawFn, instance: Instance) -> Placement:
    """Draw a feasible placement of an instance."""
    pairs = st.integers(0, instance.num_servers * instance.num_experts - 1)
    return _fill(instance, draw(st.lists(pairs, unique=True)))


def _fill(instance: Instance, pairs: list[int]) -> Placement:
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    free = [int(capacity) for capacity in instance.capacity_bytes]
    for pair in pairs:
        server, expert = divmod(pair, instance.num_experts)
        size = int(instance.expert_bytes[expert])
        if size <= free[server]:
            stored[server, expert] = True
            free[server] -= size
    return Placement(stored)


def _build(
    pick: Pick,
    *,
    max_models: int,
    max_servers: int,
    max_users: int,
    max_layers: int,
    max_experts: int,
    max_rows: int,
    max_cells: int,
    top_k: int | None,
    uniform: bool,
    wild: bool,
) -> Instance:
    num_servers = pick(1, max_servers)
    models = _models(
        pick,
        count=pick(1, max_models),
        max_layers=max_layers,
        max_experts=max_experts,
        max_experts_overall=max_cells // num_servers,
        top_k=top_k,
        uniform=uniform,
    )
    num_users = pick(1, max_users)
    user_model = [pick(0, len(models) - 1) for _ in range(num_users)]
    ties = pick(0, 1) == 0
    cloud = [_latency(pick, ties=ties, wild=wild) for _ in range(num_users)]
    latency = [
        [
            # servers at, below and above the cloud; slower ones must never be used
            cloud[u] if pick(0, 7) == 7 else _latency(pick, ties=ties, wild=wild)
            for _ in range(num_servers)
        ]
        for u in range(num_users)
    ]
    # 0 by default, else anything: between the servers, or slower than the cloud
    local = [
        _latency(pick, ties=ties, wild=wild) if pick(0, 2) == 2 else 0.0 for _ in range(num_users)
    ]
    local_experts = [_local_experts(pick, models[m]) for m in user_model]
    rows = [
        _row(pick, models, user_model, local_experts, wild=wild) for _ in range(pick(0, max_rows))
    ]
    if pick(0, 1) == 0:  # grouped by user as in most files, or in any order
        rows.sort(key=lambda row: row[0])
    total = sum(int(model.expert_bytes.sum()) for model in models)
    return Instance(
        name=f"random-{pick(0, 9)}",
        models=tuple(models),
        server_names=tuple(f"edge-{n}" for n in range(num_servers)),
        capacity_bytes=np.array([_capacity(pick, total) for _ in range(num_servers)]),
        user_names=tuple(f"user-{u}" for u in range(num_users)),
        user_model=np.array(user_model),
        latency_ms=np.array(latency),
        cloud_latency_ms=np.array(cloud),
        local_latency_ms=np.array(local),
        local_offsets=np.cumsum([0, *(len(held) for held in local_experts)]),
        local_experts=np.array([x for held in local_experts for x in held], dtype=np.int64),
        demand_user=np.array([row[0] for row in rows], dtype=np.int32),
        demand_layer=np.array([row[1] for row in rows], dtype=np.int32),
        demand_offsets=np.cumsum([0, *(len(row[2]) for row in rows)]),
        demand_experts=np.array([e for row in rows for e in row[2]], dtype=np.int32),
        demand_rate=np.array([row[3] for row in rows], dtype=np.float64),
    )


def _models(
    pick: Pick,
    *,
    count: int,
    max_layers: int,
    max_experts: int,
    max_experts_overall: int,
    top_k: int | None,
    uniform: bool,
) -> list[Model]:
    unit = (1, 10, 3 * 2**20)[pick(0, 2)]
    common = unit * pick(1, 3)
    models = []
    left = max_experts_overall
    for m in range(count):
        left_for_this = max(1, left - (count - 1 - m))  # one expert for each model still to come
        experts = pick(1, min(max_experts, left_for_this))
        layers = pick(1, max(1, min(max_layers, left_for_this // experts)))
        left -= layers * experts
        sizes = np.full((layers, experts), common, dtype=np.int64)
        if not uniform:
            kind = pick(0, 2)  # as the others; a size of its own; sizes that differ inside
            if kind == 1:
                sizes[:] = unit * pick(1, 5)
            elif kind == 2:
                sizes[:] = [[unit * pick(1, 5) for _ in range(experts)] for _ in range(layers)]
        models.append(
            Model(
                name=f"model-{m}",
                expert_bytes=sizes,
                top_k=min(experts, pick(1, 4) if top_k is None else top_k),
            )
        )
    return models


def _latency(pick: Pick, *, ties: bool, wild: bool) -> float:
    if ties:
        return (0.0, 1.0, 2.0, 5.0, 10.0)[pick(0, 4)]
    value = pick(0, 10**6) / 9973  # no short decimal, so that sums round
    return value * 10.0 ** pick(-9, 9) if wild else value


def _capacity(pick: Pick, total: int) -> int:
    kind = pick(0, 5)  # nothing fits; everything fits, and more; something in between
    if kind == 0:
        return 0
    return total + pick(0, 1) if kind == 1 else pick(0, total)


def _local_experts(pick: Pick, model: Model) -> list[int]:
    """Draw local experts as ``layer * experts + expert``: none, some, or a whole layer."""
    kind = pick(0, 3)
    count = model.layers * model.experts
    if kind == 2:
        return [x for x in range(count) if pick(0, 2) == 2]
    if kind == 3:
        layer = pick(0, model.layers - 1)
        return list(range(layer * model.experts, (layer + 1) * model.experts))
    return []


def _row(
    pick: Pick,
    models: list[Model],
    user_model: list[int],
    local_experts: list[list[int]],
    *,
    wild: bool,
) -> tuple[int, int, list[int], float]:
    user = pick(0, len(user_model) - 1)
    model = models[user_model[user]]
    if local_experts[user] and pick(0, 3) == 3:  # wholly on the device
        layer = local_experts[user][pick(0, len(local_experts[user]) - 1)] // model.experts
        pool = [x % model.experts for x in local_experts[user] if x // model.experts == layer]
    else:
        layer = pick(0, model.layers - 1)
        pool = list(range(model.experts))
    chosen = []
    for _ in range(pick(1, min(model.top_k, len(pool)))):
        chosen.append(pool.pop(pick(0, len(pool) - 1)))  # in no particular order
    rate = 0.0 if pick(0, 9) == 9 else pick(1, 1000) / 977
    return user, layer, chosen, rate * 10.0 ** pick(-9, 9) if wild else rate
