"""The expert-parallel load balancer of DeepSeek, as SGLang and vLLM run it: global, hierarchical.

A layer has E experts, each with a load, and P slots on R ranks, P / R on each. Experts get
replicas until all slots are taken, always the expert with the largest load for each replica; the
replicas are packed onto the ranks by descending load, each onto the rank with the least load that
has a slot left. The hierarchical form does so node by node, after whole groups of experts have
been packed onto the nodes in the same manner (a router limited to few groups then asks few
nodes). Sources: deepseek-ai/EPLB, eplb.py (MIT licence; described there and in section 3.4.1 of
the DeepSeek-V3 report, arXiv:2412.19437); the same in sglang (srt/eplb/eplb_algorithms/deepseek.py)
and vllm (distributed/eplb/policy/default.py). Written anew from the description.

As published, loads are single-precision numbers, and so is all that is computed from them. Ties,
which the published programs leave to a sort, go to the lower index.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pack_balanced(
    load: NDArray[np.float32], num_packs: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pack items into packs of equal count: by descending load, into the lightest with room.

    Where each pack takes one item, item n goes to pack n.

    Time O(n (log n + packs)).

    Parameters
    ----------
    load
        Load of each item; (n,).
    num_packs
        Number of packs; divides n.

    Returns
    -------
    pack, rank
        Pack of each item, and how many items were put into that pack before it; int64 (n,).
    """
    items = load.shape[0]
    room = items // num_packs
    if room == 1:
        return np.arange(items), np.zeros(items, dtype=np.int64)
    pack = np.zeros(items, dtype=np.int64)
    rank = np.zeros(items, dtype=np.int64)
    weight = np.zeros(num_packs, dtype=np.float32)
    count = np.zeros(num_packs, dtype=np.int64)
    for item in np.argsort(-load, kind="stable"):
        lightest = int(np.where(count < room, weight, np.inf).argmin())
        pack[item] = lightest
        rank[item] = count[lightest]
        weight[lightest] += load[item]
        count[lightest] += 1
    return pack, rank


def replicate(
    load: NDArray[np.float32], num_replicas: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give each expert one replica, and each further one to the largest load for each replica.

    Time O(replicas * experts).

    Parameters
    ----------
    load
        Load of each expert; (E,).
    num_replicas
        Number of replicas, at least E.

    Returns
    -------
    expert, copies
        Expert of each replica, int64 (num_replicas,); replicas of each expert, int64 (E,).
    """
    experts = load.shape[0]
    expert = np.arange(num_replicas)
    copies = np.ones(experts, dtype=np.int64)
    share = load.copy()
    for replica in range(experts, num_replicas):
        busiest = int(share.argmax())
        expert[replica] = busiest
        copies[busiest] += 1
        share[busiest] = load[busiest] / np.float32(copies[busiest])
    return expert, copies


def why_not_balanced(
    *, num_experts: int, num_replicas: int, num_groups: int, num_nodes: int, num_ranks: int
) -> str | None:
    """Return why the published algorithm does not apply to these numbers, or None."""
    if num_replicas < num_experts:
        return f"{num_replicas} replicas a layer are fewer than its {num_experts} experts"
    for what, number, parts, of in (
        ("replicas", num_replicas, num_ranks, "ranks"),
        ("experts", num_experts, num_groups, "groups"),
        ("groups", num_groups, num_nodes, "nodes"),
        ("ranks", num_ranks, num_nodes, "nodes"),
    ):
        if number % parts:
            return f"{number} {what} do not share out evenly to {parts} {of}"
    return None


def balance_hierarchically(
    load: ArrayLike, *, num_replicas: int, num_groups: int, num_nodes: int, num_ranks: int
) -> NDArray[np.int64]:
    """No guarantee: groups to nodes, replicas within each node, replicas to its ranks.

    Time O(L P (E + R)). Source: the hierarchical policy of the published algorithm.

    Parameters
    ----------
    load
        Load of each expert, any unit; (L, E).
    num_replicas
        Slots of a layer over all ranks, P.
    num_groups
        Groups of a layer: experts of consecutive indices.
    num_nodes, num_ranks
        Nodes, and ranks over all nodes, R.

    Returns
    -------
    numpy.ndarray
        Expert in each slot, int64 (L, P): slots of rank 0, then of rank 1, and so on.

    Raises
    ------
    ValueError
        When the numbers do not share out (:func:`why_not_balanced`).
    """
    loads = np.asarray(load, dtype=np.float32)
    layers, experts = loads.shape
    reason = why_not_balanced(
        num_experts=experts,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        num_ranks=num_ranks,
    )
    if reason is not None:
        raise ValueError(reason)
    ranks_of_node = num_ranks // num_nodes
    slots_of_rank = num_replicas // num_ranks
    placed = np.zeros((layers, num_nodes, ranks_of_node * slots_of_rank), dtype=np.int64)
    for layer in range(layers):
        for node, own in enumerate(_experts_of_nodes(loads[layer], num_groups, num_nodes)):
            replica, copies = replicate(loads[layer, own], num_replicas // num_nodes)
            share = loads[layer, own] / copies.astype(np.float32)
            rank, slot = pack_balanced(share[replica], ranks_of_node)
            placed[layer, node, rank * slots_of_rank + slot] = own[replica]
    return placed.reshape(layers, num_replicas)


def balance_globally(load: ArrayLike, *, num_replicas: int, num_ranks: int) -> NDArray[np.int64]:
    """No guarantee: replicas of all experts to all ranks, whatever their groups and nodes.

    Parameters, result and errors as for :func:`balance_hierarchically`, with one group and one
    node: that is how the published programs call it.
    """
    return balance_hierarchically(
        load, num_replicas=num_replicas, num_groups=1, num_nodes=1, num_ranks=num_ranks
    )


def _experts_of_nodes(
    load: NDArray[np.float32], num_groups: int, num_nodes: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the experts of each node, group by group in the order in which they were packed."""
    of_group = np.arange(load.shape[0]).reshape(num_groups, -1)
    # Summed in double precision: the published sum depends on the order that a library chooses.
    group_load = load[of_group].sum(axis=1, dtype=np.float64).astype(np.float32)
    node, _ = pack_balanced(group_load, num_nodes)
    # A pack is filled by descending load, except where each node takes a single group.
    busiest_first = np.argsort(-group_load, kind="stable")
    for n in range(num_nodes):
        yield of_group[busiest_first[node[busiest_first] == n]].reshape(-1)
