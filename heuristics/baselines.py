"""Baselines: what one would do without thinking about the problem's structure.

Nothing is claimed for any of them. One more is in :mod:`heuristics.load_balance`.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from heuristics.request_kernels import weigh_requests
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.structure.server_problem import LayerRows, ServerProblem, savings_against_cloud


def random_fill(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    """No guarantee: every server stores experts in random order while they fit.

    Time O(N X). Source: the usual control.
    """
    del time_limit  # linear time
    orders = (rng.permutation(instance.num_experts) for _ in range(instance.num_servers))
    return _fill_in_order(instance, orders)


def popularity(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    """No guarantee: every server stores the experts that its clauses want most, one by one.

    An expert counts with the weights of all clauses in which it takes part and which the server
    could serve, whatever the other servers store: the rate of its rows times what the server saves
    against the cloud.

    Time O(R K + A N + N X log X) for A pairs of a user and an expert that she asks for. Source:
    most-popular caching.
    """
    del rng, time_limit  # one pass over the rows
    return _fill_by_score(instance, requested(instance, *savings_against_cloud(instance)))


def local_popularity(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    """No guarantee: as popularity, but a server looks only at users for whom it is the fastest.

    An expert counts with the rate of its rows times what the server saves against the cloud; of
    equally fast servers the first one counts.

    Time O(R K + A N + N X log X) for A pairs of a user and an expert that she asks for. Source:
    most-popular caching at each cell.
    """
    del rng, time_limit  # one pass over the rows
    nearest = instance.latency_ms.argmin(axis=1)
    users = np.arange(instance.num_users)
    worth = np.zeros((instance.num_users, instance.num_servers))
    worth[users, nearest] = np.maximum(
        0.0, instance.cloud_latency_ms - instance.latency_ms[users, nearest]
    )
    return _fill_by_score(instance, requested(instance, worth, worth))


def layer_fill(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    """No guarantee: servers store whole layers, those first that gain most per byte.

    One server after the other, by name; a layer counts with the clauses that are not satisfied yet.

    Time O(N (R K + L log L)), memory for the rows of one layer. Source: layer-wise offloading in
    serving systems.
    """
    del rng
    deadline = Deadline.after(time_limit)
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    if deadline.passed:
        return Placement(stored)
    rows = LayerRows.of(instance)
    layer_bytes = np.add.reduceat(instance.expert_bytes, instance.layer_expert_offset[:-1])
    for server in servers_by_name(instance):
        problem = ServerProblem(rows, stored, server)
        gain = np.zeros(instance.num_layers)
        for layer in range(instance.num_layers):
            if deadline.passed:
                break
            gain[layer] = problem.layer(layer).weight.sum()
        room = int(instance.capacity_bytes[server])
        for layer in np.argsort(-gain / layer_bytes, kind="stable"):
            if gain[layer] > 0 and layer_bytes[layer] <= room:
                room -= int(layer_bytes[layer])
                stored[server, instance.layer_experts(int(layer))] = True
    return Placement(stored)


def round_robin(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    """No guarantee: experts are dealt to the servers in turn, by name, layer by layer.

    When every expert has had its turn, second copies are dealt one server further on, and so on.
    What does not fit is passed over.

    Time O(N X). Source: striping, as expert parallelism does it by default.
    """
    del rng, time_limit
    experts = np.arange(instance.num_experts)
    deals = [(experts + shift) % instance.num_servers for shift in range(instance.num_servers)]
    orders = (
        np.concatenate([experts[deal == turn] for deal in deals])
        for turn in np.argsort(servers_by_name(instance))
    )
    return _fill_in_order(instance, orders)


def servers_by_name(instance: Instance) -> list[int]:
    """Return the servers sorted by name, so that the order of the file does not matter."""
    return sorted(range(instance.num_servers), key=lambda server: instance.server_names[server])


def requested(
    instance: Instance, worth: NDArray[np.float64], worth_local: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum rate times worth over the rows that ask for an expert, experts on the device left out.

    ``worth`` is what a request of each user counts, in several columns; ``worth_local`` the same in
    rows with an expert on the device; both float64 (U, columns). Returns float64 (columns, X).
    """
    rows = LayerRows.of(instance)
    model = instance.layer_model
    total: NDArray[np.float64] = weigh_requests(
        rows.order,
        rows.layer_offset,
        instance.demand_user,
        instance.demand_offsets,
        instance.demand_experts,
        instance.demand_rate,
        instance.local_offsets,
        instance.local_experts,
        instance.layer_expert_offset,
        instance.layer_expert_offset[:-1] - instance.model_expert_offset[model],
        worth,
        worth_local,
    )
    return total


def _fill_by_score(instance: Instance, score: NDArray[np.float64]) -> Placement:
    """Fill every server with its experts of positive score, highest first; score is (N, X)."""
    orders = (np.argsort(-row, kind="stable")[: np.count_nonzero(row > 0)] for row in score)
    return _fill_in_order(instance, orders)


def _fill_in_order(instance: Instance, orders: Iterable[NDArray[np.int64]]) -> Placement:
    """Fill every server in the given order of experts, passing over what does not fit."""
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    for server, order in enumerate(orders):
        room = int(instance.capacity_bytes[server])
        for x, size in zip(order.tolist(), instance.expert_bytes[order].tolist(), strict=True):
            if size <= room:
                stored[server, x] = True
                room -= size
    return Placement(stored)


RANDOM = Algorithm(
    name="random",
    solve=random_fill,
    exact=False,
    summary="experts in random order while they fit",
    source="the usual control",
    complexity="O(N X)",
    randomised=True,
)
POPULARITY = Algorithm(
    name="popularity",
    solve=popularity,
    exact=False,
    summary="each server stores what its clauses want most, expert by expert",
    source="most-popular caching",
    complexity="O(R K + A N + N X log X), A pairs of user and expert",
)
LOCAL_POPULARITY = Algorithm(
    name="local-popularity",
    solve=local_popularity,
    exact=False,
    summary="popularity among the users for whom the server is the fastest",
    source="most-popular caching at each cell",
    complexity="O(R K + A N + N X log X), A pairs of user and expert",
)
LAYER_FILL = Algorithm(
    name="layer-fill",
    solve=layer_fill,
    exact=False,
    summary="whole layers, those first that gain most per byte",
    source="layer-wise offloading in serving systems",
    complexity="O(N (R K + L log L))",
)
ROUND_ROBIN = Algorithm(
    name="round-robin",
    solve=round_robin,
    exact=False,
    summary="experts dealt to the servers in turn",
    source="striping, as expert parallelism does it by default",
    complexity="O(N X)",
)
