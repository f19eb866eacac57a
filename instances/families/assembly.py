"""Putting an instance together: models, a random network, and the routing of every user."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.demand import Demand, join_demands, merge_layers
from instances.draws import Draws
from instances.model import Model
from instances.network import LATENCY_DIGITS, ExpertCall, draw_network
from instances.network_spec import URBAN_MICRO, NetworkSpec
from instances.problem import Instance
from instances.rounding import round_significant
from instances.routing import Router
from instances.routing.drawing import draw_layers

MIXED_PRECISION = "mixed"
"""In each layer a quarter of the experts in 16 bits, half in 8 and the rest in 4.

As mixed-precision quantisation of experts does it (MC-MoE, Huang et al., arXiv:2410.06270):
different experts of one layer get different widths.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One model and the users who run it.

    Parameters
    ----------
    architecture, layers, precision
        The model, how many of its MoE layers, and the width of its parameters: a precision of
        the catalogue or :data:`MIXED_PRECISION`.
    users, tokens
        Users, and tokens drawn for each.
    router
        How the tokens choose experts.
    local_every
        Every n-th user keeps one expert of each layer on the device; 0 for nobody.
    """

    architecture: Architecture
    layers: int
    precision: str
    users: int
    tokens: int
    router: Router
    local_every: int = 0


def assemble(
    name: str,
    stream: tuple[str | int, ...],
    *,
    workloads: tuple[Workload, ...],
    servers: int,
    spec: NetworkSpec = URBAN_MICRO,
    hidden: tuple[str, str] = ("bf16", "bf16"),
) -> Instance:
    """Draw an instance.

    Parameters
    ----------
    name
        Name of the instance.
    stream
        Keys of the random streams; network and routing have one each, so that two instances
        that differ in their routing alone share everything else.
    workloads
        Models and users.
    servers
        Number of edge servers.
    spec
        What the network is drawn from.
    hidden
        Precision of the hidden state on its way to an expert, and of the output on its way back.
    """
    users = sum(workload.users for workload in workloads)
    network = draw_network(Draws(*stream, "network"), users=users, servers=servers, spec=spec)
    models = tuple(
        _model(workload, Draws(*stream, "model", index)) for index, workload in enumerate(workloads)
    )
    shares = _shares(Draws(*stream, "shares"), users)
    first_user = [0, *np.cumsum([workload.users for workload in workloads]).tolist()]
    user_model = np.repeat(np.arange(len(workloads)), np.diff(first_user))
    calls = [ExpertCall.of(workload.architecture, *hidden) for workload in workloads]
    latency_ms = np.stack([network.latency_ms(call) for call in calls])
    cloud_ms = np.stack([network.cloud_latency_ms(call) for call in calls])
    device_ms = [1e3 * call.flops / (spec.device_tflops * 1e12) for call in calls]
    everyone = np.arange(users)
    local = [
        _local_experts(workload, Draws(*stream, "local", index))
        for index, workload in enumerate(workloads)
    ]
    demand = join_demands(
        [
            _demand(workload, shares[first : first + workload.users], Draws(*stream, "routes", i))
            for i, (workload, first) in enumerate(zip(workloads, first_user[:-1], strict=True))
        ],
        first_user[:-1],
    )
    counts = [user.size for users_of_model in local for user in users_of_model]
    return Instance(
        name=name,
        models=models,
        server_names=tuple(f"edge-{n}" for n in range(servers)),
        capacity_bytes=_capacities(Draws(*stream, "storage"), models, servers, spec),
        user_names=tuple(f"user-{u}" for u in range(users)),
        user_model=user_model,
        latency_ms=latency_ms[user_model, everyone],
        cloud_latency_ms=cloud_ms[user_model, everyone],
        local_latency_ms=round_significant(np.array(device_ms)[user_model], LATENCY_DIGITS)
        * (np.array(counts) > 0),
        local_offsets=np.concatenate([[0], np.cumsum(counts)]),
        local_experts=np.concatenate([user for group in local for user in group]),
        demand_user=demand.user,
        demand_layer=demand.layer,
        demand_offsets=demand.offsets,
        demand_experts=demand.experts,
        demand_rate=demand.rate,
    )


def _model(workload: Workload, draws: Draws) -> Model:
    architecture = workload.architecture
    if workload.precision != MIXED_PRECISION:
        return architecture.model(layers=workload.layers, precision=workload.precision)
    experts = architecture.experts_per_layer
    quarter = max(1, experts // 4)
    widths = ["bf16"] * quarter + ["int8"] * (experts - 2 * quarter) + ["int4"] * quarter
    sizes = np.array([architecture.expert_bytes(width) for width in widths], dtype=np.int64)
    order = np.stack([draws.permutation(experts) for _ in range(workload.layers)])
    return Model(name=architecture.name, expert_bytes=sizes[order], top_k=architecture.top_k)


def _shares(draws: Draws, users: int) -> list[Fraction]:
    """Share of each user in all tokens: between half and three halves of the average."""
    weights = (50 + draws.below(101, users)).tolist()
    return [Fraction(weight, sum(weights)) for weight in weights]


def _demand(workload: Workload, shares: list[Fraction], draws: Draws) -> Demand:
    choices = draw_layers(
        workload.router,
        draws,
        users=workload.users,
        tokens=workload.tokens,
        layers=workload.layers,
        experts=workload.architecture.experts_per_layer,
        top_k=workload.architecture.top_k,
    )
    return merge_layers(
        choices,
        np.repeat(np.arange(workload.users), workload.tokens),
        np.array([float(share / workload.tokens) for share in shares]),
    )


def _local_experts(workload: Workload, draws: Draws) -> list[NDArray[np.int64]]:
    """Experts on the device of each user: ``layer * experts + expert``, ascending."""
    experts = workload.architecture.experts_per_layer
    first = np.arange(workload.layers, dtype=np.int64) * experts
    local = [np.zeros(0, dtype=np.int64)] * workload.users
    if workload.local_every:
        for user in range(0, workload.users, workload.local_every):
            local[user] = first + draws.below(experts, workload.layers)
    return local


def _capacities(
    draws: Draws, models: tuple[Model, ...], servers: int, spec: NetworkSpec
) -> NDArray[np.int64]:
    total = sum(int(model.expert_bytes.sum()) for model in models)
    least, most = spec.storage_permille
    parts = (least + draws.below(most - least + 1, servers)).tolist()
    return np.array([total * part // 1000 for part in parts], dtype=np.int64)
