"""What the copies of a placement are there for: whom they serve, what is lost without them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import Clauses

CLOUD, DEVICE = -1, -2
"""Where calls go that no server serves."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calls:
    """Calls of experts: how often each user calls each expert, and who serves it.

    Parameters
    ----------
    user, expert
        Each pair that occurs once, by user and flat expert; int64 (P,).
    rate
        Calls per token over all users; float64 (P,).
    served_by
        Server, :data:`CLOUD` or :data:`DEVICE`; int64 (P,). Of servers that are equally fast, the
        first one that stores the expert.
    """

    user: NDArray[np.int64]
    expert: NDArray[np.int64]
    rate: NDArray[np.float64]
    served_by: NDArray[np.int64]

    def shares(self, num_servers: int) -> tuple[NDArray[np.float64], float, float]:
        """Return shares of all calls: of each server (N,), of the cloud, of the devices."""
        total = float(self.rate.sum()) or 1.0
        servers = np.bincount(
            self.served_by[self.served_by >= 0],
            weights=self.rate[self.served_by >= 0],
            minlength=num_servers,
        )
        cloud, device = (float(self.rate[self.served_by == at].sum()) for at in (CLOUD, DEVICE))
        return servers / total, cloud / total, device / total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Copy:
    """One copy of an expert that is stored more than once.

    Parameters
    ----------
    server
        Where it is.
    users
        Users it serves, those with most calls first; int64 (any,).
    calls
        Calls per token that it serves.
    loss_ms
        How much longer a token would take on average if this copy alone were not there, ms.
    """

    server: int
    users: NDArray[np.int64]
    calls: float
    loss_ms: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replica:
    """An expert that is stored more than once, with all its copies by server."""

    expert: int
    copies: tuple[Copy, ...]

    @property
    def worth_ms(self) -> float:
        """What the copy that is missed least is there for, ms per token."""
        return min(copy.loss_ms for copy in self.copies)


def find_calls(instance: Instance, placement: Placement) -> Calls:
    """Count the calls of each user to each expert, and find out who serves them."""
    lengths = np.diff(instance.demand_offsets)
    row_user = instance.demand_user.astype(np.int64)
    model = instance.user_model[row_user]
    layer = instance.model_layer_offset[model] + instance.demand_layer
    user = np.repeat(row_user, lengths)
    expert = np.repeat(instance.layer_expert_offset[layer], lengths) + instance.demand_experts
    key, pair = np.unique(user * instance.num_experts + expert, return_inverse=True)
    rate = np.zeros(key.size)
    np.add.at(rate, pair.reshape(-1), np.repeat(instance.demand_rate, lengths))
    user, expert = np.divmod(key, instance.num_experts)
    served_by = np.full(key.size, CLOUD)
    fastest = instance.cloud_latency_ms[user]
    for server in range(instance.num_servers):
        latency = instance.latency_ms[user, server]
        is_faster = placement.stored[server, expert] & (latency < fastest)
        served_by[is_faster] = server
        fastest = np.where(is_faster, latency, fastest)
    for u in np.flatnonzero(np.diff(instance.local_offsets)).tolist():
        served_by[(user == u) & np.isin(expert, instance.user_local_experts(u))] = DEVICE
    return Calls(user=user, expert=expert, rate=rate, served_by=served_by)


def losses_ms(instance: Instance, clauses: Clauses, placement: Placement) -> NDArray[np.float64]:
    """Return the saving that is lost when one copy alone is dropped, ms; float64 (N, X).

    A clause that is met loses its weight when the dropped copy is the only one of its expert on the
    servers of the clause.
    """
    losses = np.zeros((instance.num_servers, instance.num_experts))
    order = np.argsort(clauses.server_set, kind="stable")
    ends = np.searchsorted(clauses.server_set[order], np.arange(clauses.server_sets.shape[0] + 1))
    for s, members in enumerate(clauses.server_sets):
        inside = order[ends[s] : ends[s + 1]]
        if inside.size == 0:
            continue
        stored = placement.stored[members]
        count = stored.sum(axis=0)
        offsets, experts = clauses.flat_experts(clauses.itemset[inside])
        met = np.minimum.reduceat(count[experts], offsets[:-1]) > 0
        weight = np.repeat(np.where(met, clauses.weight[inside], 0.0), np.diff(offsets))
        alone = count[experts] == 1
        holder = np.flatnonzero(members)[stored.argmax(axis=0)]
        np.add.at(losses, (holder[experts[alone]], experts[alone]), weight[alone])
    return losses


def find_replicas(
    instance: Instance, placement: Placement, calls: Calls, losses: NDArray[np.float64]
) -> list[Replica]:
    """List the experts that are stored more than once, those first whose copies are worth most."""
    order = np.lexsort((-calls.rate, calls.expert))
    begin = np.searchsorted(calls.expert[order], np.arange(instance.num_experts + 1))
    replicas = []
    for expert in np.flatnonzero(placement.stored.sum(axis=0) > 1).tolist():
        of_expert = order[begin[expert] : begin[expert + 1]]
        copies = []
        for server in np.flatnonzero(placement.stored[:, expert]).tolist():
            served = of_expert[calls.served_by[of_expert] == server]
            copies.append(
                Copy(
                    server=server,
                    users=calls.user[served],
                    calls=float(calls.rate[served].sum()),
                    loss_ms=float(losses[server, expert]),
                )
            )
        replicas.append(Replica(expert=expert, copies=tuple(copies)))
    return sorted(replicas, key=lambda replica: (-replica.worth_ms, replica.expert))
