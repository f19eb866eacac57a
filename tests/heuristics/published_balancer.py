"""The published balancer once more, the other way round: whole arrays, permutations, inverses.

An oracle for :mod:`heuristics.expert_balancing`, which works node by node. It follows the steps of
eplb.py (deepseek-ai/EPLB, MIT licence), with stable sorting in place of whatever order a library
gives to equal loads.
"""

import numpy as np


def rebalance(load, num_replicas, num_groups, num_nodes, num_ranks):
    """Slots of each layer, (L, P); hierarchical where the nodes divide the groups, else global."""
    load = np.asarray(load, dtype=np.float32)
    if num_groups % num_nodes:
        num_groups, num_nodes = 1, 1
    layers, experts = load.shape
    width = experts // num_groups

    # Step 1: where each expert stands when groups are sorted by node
    totals = load.reshape(layers, num_groups, width).sum(-1)
    node, turn = _pack(totals, num_nodes)
    position = (node * (num_groups // num_nodes) + turn)[:, :, None] * width + np.arange(width)
    to_position = position.reshape(layers, experts)
    from_position = _inverse(to_position)

    # Step 2: replicas within the nodes, a row for each layer and node
    of_node = np.take_along_axis(load, from_position, 1).reshape(layers * num_nodes, -1)
    replica, copies = _replicate(of_node, num_replicas // num_nodes)

    # Step 3: replicas to ranks
    share = np.take_along_axis(of_node / copies.astype(np.float32), replica, 1)
    rank, turn = _pack(share, num_ranks // num_nodes)
    slot = rank * (num_replicas // num_ranks) + turn
    in_slots = np.take_along_axis(replica, _inverse(slot), 1).reshape(layers, num_nodes, -1)
    first = np.arange(num_nodes) * (experts // num_nodes)
    return np.take_along_axis(from_position, (in_slots + first[:, None]).reshape(layers, -1), 1)


def _pack(load, packs):
    rows, items = load.shape
    most = items // packs
    if most == 1:
        return np.tile(np.arange(items), (rows, 1)), np.zeros((rows, items), int)
    pack, turn = np.full((rows, items), -1), np.full((rows, items), -1)
    for row in range(rows):
        weights, counts = [np.float32(0)] * packs, [0] * packs
        for item in sorted(range(items), key=lambda i, row=row: -load[row, i]):
            allowed = [p for p in range(packs) if counts[p] < most]
            best = min(allowed, key=weights.__getitem__)
            pack[row, item], turn[row, item] = best, counts[best]
            weights[best] += load[row, item]
            counts[best] += 1
    return pack, turn


def _replicate(load, total):
    rows, experts = load.shape
    replica = np.tile(np.arange(total), (rows, 1))
    copies = np.ones((rows, experts), int)
    for i in range(experts, total):
        busiest = (load / copies.astype(np.float32)).argmax(-1)
        replica[:, i] = busiest
        copies[np.arange(rows), busiest] += 1
    return replica, copies


def _inverse(permutation):
    return np.argsort(permutation, axis=1)
