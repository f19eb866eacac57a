"""Instances small enough for brute force, which together hold every oddity of the problem.

Seeds go through K = 1 to 4 and 1 to 4 servers in turn. Single instances have, each with its own
probability, a second model of another expert size, sizes that differ inside a model, experts on
the device, servers slower than the cloud, equal latencies, users without demand, and rows that
are wholly local.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from instances.demand import RATE_DIGITS
from instances.draws import Draws
from instances.families.spec import FAMILIES, Family, Request
from instances.model import Model
from instances.problem import Instance
from instances.rounding import round_significant

MOST_PLACEMENTS = 100_000
"""Brute force tries at most this many combinations of what each server could store."""

MOST_EXPERTS = {1: 12, 2: 10, 3: 8, 4: 6}
"""Experts over all layers, by the number of servers."""

UNIT_BYTES = 1_000_000

SLOWEST_STEP = 14
"""Latencies are multiples of a step, so that some tie and some exceed the cloud's."""

STEP_MS = 2.5


@dataclass(slots=True)
class Rows:
    """Demand rows in the making."""

    user: list[int] = field(default_factory=list)
    layer: list[int] = field(default_factory=list)
    experts: list[list[int]] = field(default_factory=list)
    rate: list[Fraction] = field(default_factory=list)


def build(request: Request) -> Instance:
    """Make an instance of the family ``tiny``."""
    draws = Draws("tiny", request.size, request.seed)
    top_k = 1 + request.seed % 4
    servers = 1 + request.seed // 4 % 4
    models = _models(draws, top_k, MOST_EXPERTS[servers])
    user_model = np.array([*range(len(models)), *draws.below(len(models), 1 + draws.integer(2))])
    users = user_model.size
    local = [_local(draws, models[m]) for m in user_model]
    # The cloud is at step 8 to 11 of 14, so about a fifth of the servers are slower.
    cloud_steps = 8 + draws.below(4, users)
    rows = Rows()
    shares = draws.below(4, users)  # 0: a user without demand
    shares[draws.integer(users)] = 4
    for user in range(users):
        share = Fraction(int(shares[user]), int(shares.sum()))
        if share:
            _add_rows(rows, draws, user, models[user_model[user]], local[user], share)
    lengths = [len(experts) for experts in rows.experts]
    return Instance(
        name=request.name,
        models=models,
        server_names=tuple(f"edge-{n}" for n in range(servers)),
        capacity_bytes=_capacities(draws, models, servers),
        user_names=tuple(f"user-{u}" for u in range(users)),
        user_model=user_model,
        latency_ms=_steps_ms(1 + draws.below(SLOWEST_STEP, (users, servers))),
        cloud_latency_ms=_steps_ms(cloud_steps),
        local_latency_ms=_steps_ms(np.array([0, 1, 4, 9])[draws.below(4, users)]),
        local_offsets=np.concatenate([[0], np.cumsum([experts.size for experts in local])]),
        local_experts=np.concatenate(local),
        demand_user=np.array(rows.user),
        demand_layer=np.array(rows.layer),
        demand_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        demand_experts=np.array([expert for experts in rows.experts for expert in experts]),
        demand_rate=round_significant([float(rate) for rate in rows.rate], RATE_DIGITS),
    )


def _steps_ms(steps: NDArray[np.int64]) -> NDArray[np.float64]:
    return steps.astype(np.float64) * STEP_MS


def _models(draws: Draws, top_k: int, most_experts: int) -> tuple[Model, ...]:
    experts = top_k + draws.integer(3 if top_k > 1 else 4)
    experts = max(2, min(experts, most_experts))
    layers = min(1 + draws.integer(2), most_experts // experts)
    models = [_model(draws, "main", layers, experts, top_k)]
    left = most_experts - layers * experts
    if left >= 2 and draws.chance(0.5):
        count = 2 + draws.integer(min(left, 3) - 1)
        models.append(_model(draws, "other", 1, count, min(count, 1 + draws.integer(2))))
    return tuple(models)


def _model(draws: Draws, name: str, layers: int, experts: int, top_k: int) -> Model:
    unit = UNIT_BYTES * (2 + draws.integer(4))
    sizes = np.full((layers, experts), unit, dtype=np.int64)
    if draws.chance(0.4):
        sizes = UNIT_BYTES * (1 + draws.below(5, (layers, experts)))
    return Model(name=name, expert_bytes=sizes, top_k=top_k)


def _local(draws: Draws, model: Model) -> NDArray[np.int64]:
    """Experts on one user's device: none for most users."""
    total = model.layers * model.experts
    count = draws.integer(min(3, total)) if draws.chance(0.5) else 0
    return np.sort(draws.permutation(total)[:count])


def _add_rows(
    rows: Rows, draws: Draws, user: int, model: Model, local: NDArray[np.int64], share: Fraction
) -> None:
    for layer in range(model.layers):
        sets: set[tuple[int, ...]] = set()
        for _ in range(1 + draws.integer(4)):
            size = model.top_k if draws.chance(0.75) else 1 + draws.integer(model.top_k)
            sets.add(tuple(sorted(draws.permutation(model.experts)[:size].tolist())))
        on_device = [int(x) % model.experts for x in local if int(x) // model.experts == layer]
        if on_device and draws.chance(0.5):
            sets.add(tuple(on_device[: model.top_k]))
        weights = (1 + draws.below(9, len(sets))).tolist()
        for chosen, weight in zip(sorted(sets), weights, strict=True):
            rows.user.append(user)
            rows.layer.append(layer)
            rows.experts.append(list(chosen))
            rows.rate.append(share * weight / sum(weights))


def _capacities(draws: Draws, models: tuple[Model, ...], servers: int) -> NDArray[np.int64]:
    """Storage of each server: as much as brute force can bear."""
    sizes = np.concatenate([model.expert_bytes.ravel() for model in models])
    subset = np.arange(2**sizes.size)[:, None] >> np.arange(sizes.size) & 1
    subset_bytes = np.sort(subset @ sizes)
    parts = 20 + draws.below(41, servers)
    capacities = np.array([int(sizes.sum()) * part // 100 for part in parts.tolist()])
    for turn in range(10 * servers * sizes.size * SLOWEST_STEP):
        choices = np.searchsorted(subset_bytes, capacities, side="right")
        if float(np.prod(choices.astype(np.float64))) <= MOST_PLACEMENTS:
            break
        capacities[turn % servers] = capacities[turn % servers] * 9 // 10
    return capacities


FAMILIES.register(
    Family(
        name="tiny",
        summary="For brute force: every oddity of the problem, K = 1 to 4, 1 to 4 servers",
        source="made for the tests of this suite",
        sizes=("tiny",),
        build=build,
    )
)
