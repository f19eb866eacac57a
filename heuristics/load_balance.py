"""The baseline ``load-balance``: what expert-parallel load balancers would store.

On GPU-like networks of equal servers exactly the published algorithm
(:mod:`heuristics.expert_balancing`), elsewhere its greedy rules with real sizes and capacities.
"""

import heapq
import re

import numpy as np
from numpy.typing import NDArray

from heuristics.baselines import requested, servers_by_name
from heuristics.expert_balancing import balance_hierarchically, why_not_balanced
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, StopReason

POLICIES = ("auto", "sizes", "global", "hierarchical")


def load_balance(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    policy: str = "auto",
    nodes: int = 0,
    groups: int = 0,
    replicas: int = 0,
) -> Placement | Outcome:
    """No guarantee: replicate the busiest experts, then pack the longest load first.

    The load of an expert is the rate of its rows. Policies:

    - ``global``: the published algorithm without regard to nodes. Servers are ranks, in the order
      of their names; it takes one model with experts of one size, servers of one capacity, and
      storage for at least one replica of each expert in every layer, all layers alike.
    - ``hierarchical``: the same, node by node; ``nodes`` and ``groups`` as below.
    - ``sizes``: the same two greedy rules for any servers and sizes: experts get one copy each,
      busiest first, while all storage together has room, then the expert with the largest load
      for each copy gets one more, up to one on every server. Copies are packed by descending load
      onto the server with the least load that has room, ties by name.
    - ``auto``: as the published programs choose: hierarchical when ``groups`` is given and shares
      out to the nodes, else global; where that does not apply, ``sizes``.

    Time O(R K), then O(L P (E + N)) for the published forms, P replicas a layer; O(N X log X) for
    ``sizes``.
    Source: DeepSeek EPLB (deepseek-ai/EPLB, eplb.py), also in SGLang and vLLM.

    Parameters
    ----------
    instance, rng, time_limit
        As for every method; nothing is random, and the time is short.
    policy
        One of :data:`POLICIES`.
    nodes
        Nodes that the servers, in the order of their names, fall into. 0: servers that every user
        reaches equally fast are one node.
    groups
        Groups of consecutive experts that a node takes as a whole, for models whose router is
        limited to few groups (8 for DeepSeek-V3). 0: every expert is a group of its own.
    replicas
        Slots of a layer over all servers. 0: as many as the storage has room for.

    Returns
    -------
    Placement or Outcome
        An outcome only to say why ``global`` or ``hierarchical`` is unsupported.

    Raises
    ------
    InputError
        When a parameter is none of these.
    """
    del rng, time_limit
    if policy not in POLICIES:
        raise InputError("policy", f"{policy!r} is not one of {', '.join(POLICIES)}")
    for name, value in (("nodes", nodes), ("groups", groups), ("replicas", replicas)):
        if value < 0:
            raise InputError(name, f"{value} is negative")
    each = np.ones((instance.num_users, 1))
    load = requested(instance, each, each)[0]
    if policy == "sizes":
        return _with_real_sizes(instance, load)
    answer = _published(
        instance,
        load,
        hierarchical=policy == "hierarchical" or (policy == "auto" and groups > 0),
        nodes=nodes,
        groups=groups,
        replicas=replicas,
    )
    if isinstance(answer, str) and policy == "auto" and groups:
        answer = _published(
            instance, load, hierarchical=False, nodes=0, groups=0, replicas=replicas
        )
    if isinstance(answer, Placement):
        return answer
    if policy == "auto":
        return _with_real_sizes(instance, load)
    return Outcome(
        stop_reason=StopReason.UNSUPPORTED,
        placement=None,
        proven_optimal=False,
        reason=f"the published {policy} balancing does not apply: {answer}",
    )


def _published(
    instance: Instance,
    load: NDArray[np.float64],
    *,
    hierarchical: bool,
    nodes: int,
    groups: int,
    replicas: int,
) -> Placement | str:
    """Balance as published, or say why that does not apply."""
    slots = _slots_per_server(instance)
    if isinstance(slots, str):
        return slots
    model = instance.models[0]
    ranks = _servers_by_natural_name(instance)
    num_nodes = 1
    if hierarchical:
        found = _nodes(instance, ranks) if nodes == 0 else nodes
        if isinstance(found, str):
            return found
        num_nodes = found
        if nodes == 0:
            ranks = _node_by_node(instance, ranks)
    num_replicas = replicas or slots * len(ranks)
    num_groups = (groups or model.experts) if hierarchical else 1
    reason = why_not_balanced(
        num_experts=model.experts,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        num_ranks=len(ranks),
    )
    if reason is None and num_replicas > slots * len(ranks):
        reason = f"{num_replicas} replicas a layer where the storage has {slots * len(ranks)} slots"
    if reason is not None:
        return reason
    # A power of two: the largest load does not overflow in single precision, and nothing is lost.
    scaled = np.ldexp(load, -int(np.frexp(load.max())[1])).reshape(model.layers, model.experts)
    placed = balance_hierarchically(
        scaled,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        num_ranks=len(ranks),
    )
    stored = np.zeros((instance.num_servers, model.layers, model.experts), dtype=np.bool_)
    rank_of_slot = np.arange(num_replicas) // (num_replicas // len(ranks))
    server = np.array(ranks)[rank_of_slot]
    stored[server, np.arange(model.layers)[:, None], placed] = True
    return Placement(stored.reshape(instance.num_servers, -1))


def _slots_per_server(instance: Instance) -> int | str:
    """Return how many experts of each layer every server has room for, or why that is no number."""
    if len(instance.models) > 1:
        return f"{len(instance.models)} models, where it takes one"
    size = instance.models[0].uniform_bytes
    if size is None:
        return "the experts differ in size"
    least, most = int(instance.capacity_bytes.min()), int(instance.capacity_bytes.max())
    if least != most:
        return f"the servers differ in capacity ({least} to {most} bytes)"
    return least // (size * instance.models[0].layers)


def _servers_by_natural_name(instance: Instance) -> list[int]:
    """Sort the servers by name, numbers in it as numbers: gpu-10 comes after gpu-9."""

    def key(server: int) -> tuple[list[tuple[int, str]], str]:
        name = instance.server_names[server]
        parts = re.split(r"([0-9]+)", name)  # text and numbers in turn
        parts[1::2] = (number.lstrip("0") for number in parts[1::2])
        return [(i % 2 * len(part), part) for i, part in enumerate(parts)], name

    return sorted(range(instance.num_servers), key=key)


def _node_by_node(instance: Instance, ranks: list[int]) -> list[int]:
    """Reorder the ranks so that servers with the same latencies follow each other."""
    members: dict[bytes, list[int]] = {}
    for server in ranks:
        members.setdefault(instance.latency_ms[:, server].tobytes(), []).append(server)
    return [server for node in members.values() for server in node]


def _nodes(instance: Instance, ranks: list[int]) -> int | str:
    """Count the nodes, servers with the same latencies being one; or say why they are none."""
    columns = [instance.latency_ms[:, server].tobytes() for server in ranks]
    sizes = sorted(columns.count(column) for column in set(columns))
    if sizes[0] != sizes[-1]:
        return f"nodes of {sizes[0]} to {sizes[-1]} servers (servers with the same latencies)"
    return len(sizes)


def _with_real_sizes(instance: Instance, load: NDArray[np.float64]) -> Placement:
    copies = _replicate(instance, load)
    share = load / np.maximum(copies, 1)
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    room = instance.capacity_bytes.copy()
    busy = np.zeros(instance.num_servers)
    by_name = servers_by_name(instance)
    for x in np.argsort(-share, kind="stable"):
        for _ in range(copies[x]):
            open_ = (room >= instance.expert_bytes[x]) & ~stored[:, x]
            if not open_.any():
                break
            server = by_name[int(np.where(open_, busy, np.inf)[by_name].argmin())]
            stored[server, x] = True
            room[server] -= instance.expert_bytes[x]
            busy[server] += share[x]
    return Placement(stored)


def _replicate(instance: Instance, load: NDArray[np.float64]) -> NDArray[np.int64]:
    """Decide how many copies each expert gets within all storage together; int64 (X,)."""
    room = int(instance.capacity_bytes.sum())
    copies = np.zeros(instance.num_experts, dtype=np.int64)
    for x in np.argsort(-load, kind="stable"):
        if load[x] > 0 and instance.expert_bytes[x] <= room:
            copies[x] = 1
            room -= int(instance.expert_bytes[x])
    heap = [(-load[x] / copies[x], x) for x in np.flatnonzero(copies).tolist()]
    heapq.heapify(heap)
    while heap:
        _, x = heapq.heappop(heap)
        if copies[x] < instance.num_servers and instance.expert_bytes[x] <= room:
            copies[x] += 1
            room -= int(instance.expert_bytes[x])
            heapq.heappush(heap, (-load[x] / copies[x], x))
    return copies


LOAD_BALANCE = Algorithm(
    name="load-balance",
    solve=load_balance,
    exact=False,
    summary="greedy replication and longest-load-first packing, as expert-parallel balancers do",
    source="DeepSeek EPLB (deepseek-ai/EPLB, eplb.py)",
    complexity="O(R K + N X log X)",
)
