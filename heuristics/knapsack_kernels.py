"""The best set of experts for one server when their gains add up: an exact 0/1 knapsack.

| symbol | meaning | unit |
|---|---|---|
| p, w | profit and size of an expert | ms per token, bytes |
| c | capacity | bytes |
| b | break: the first expert, by falling p / w, that no longer fits | |
| state | what a choice inside the core (the experts around b) weighs and gains | |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

NODE_BUDGET = 1 << 19
"""About the most states, over all steps, that one call remembers; 16 bytes each."""

SHARE_OF_BUDGET = 64
"""One step may use the budget that is left, divided by this."""


@njit(cache=True)
def best_configuration(
    profit: NDArray[np.float64],
    size: NDArray[np.int64],
    capacity: int,
    node_budget: int,
    tolerance: float,
) -> tuple[NDArray[np.bool_], float, float]:
    """Choose the set of experts with the largest total profit that fits.

    Experts of profit 0 are never chosen. Of equally good experts of one size the one with the lower
    index is chosen.

    Parameters
    ----------
    tolerance
        Sets that are better by less than this share of the linear relaxation are not looked for.

    Returns
    -------
    tuple
        The chosen experts, bool (X,); what the best set gains more at most because lists had to be
        thinned or for the tolerance's sake (0 without either), and because sums of profits are
        rounded.
    """
    chosen = np.zeros(profit.shape[0], np.bool_)
    items = np.empty(profit.shape[0], np.int64)
    count = 0
    total = np.int64(0)
    smallest = np.int64(0)
    largest = np.int64(0)
    for x in range(profit.shape[0]):
        if profit[x] > 0.0 and size[x] <= capacity:
            items[count] = x
            smallest = size[x] if count == 0 else min(smallest, size[x])
            largest = max(largest, size[x])
            total += size[x]
            count += 1
    items = items[:count]
    if total <= capacity:
        chosen[items] = True
        return chosen, 0.0, 0.0
    if smallest == largest:
        take_largest(profit, items, capacity // smallest, chosen)
        return chosen, 0.0, 0.0
    lost, rounding = best_core(profit, size, capacity, items, chosen, node_budget, tolerance)
    return chosen, lost, rounding


@njit(cache=True)
def take_largest(
    profit: NDArray[np.float64], items: NDArray[np.int64], slots: int, chosen: NDArray[np.bool_]
) -> None:
    """Choose the ``slots`` items of largest profit, 0 < slots < items; ties by index."""
    values = profit[items]
    threshold = np.partition(values, items.shape[0] - slots)[items.shape[0] - slots]
    left = slots
    for i in range(items.shape[0]):
        if values[i] > threshold:
            chosen[items[i]] = True
            left -= 1
    for i in range(items.shape[0]):
        if left == 0:
            break
        if values[i] == threshold:
            chosen[items[i]] = True
            left -= 1


@njit(cache=True)
def best_core(
    profit: NDArray[np.float64],
    size: NDArray[np.int64],
    capacity: int,
    items: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    node_budget: int,
    tolerance: float,
) -> tuple[float, float]:
    """Solve a knapsack by dynamic programming over a core that grows around the break.

    After Pisinger, "A minimal algorithm for the 0-1 knapsack problem" (Operations Research 45,
    1997): all experts before the break are in, all others out; then the experts next to the break
    are, on either side in turn, allowed to change their minds. A state is dropped when another is
    no heavier and gains no less, or when the linear relaxation shows that it cannot beat the best
    set found. A list that outgrows its share of the budget is thinned: only the lightest state in
    each of some bins of equal width in profit stays, which costs at most the width of a bin.
    """
    n = items.shape[0]
    efficiency = np.empty(n)
    for i in range(n):
        efficiency[i] = profit[items[i]] / size[items[i]]
    order = items[np.argsort(-efficiency, kind="mergesort")]
    p, w = profit[order], size[order]
    total_profit = p.sum()
    b = 0
    break_weight = np.int64(0)
    break_profit = 0.0
    while break_weight + w[b] <= capacity:
        break_weight += w[b]
        break_profit += p[b]
        b += 1
    greedy = np.zeros(n, np.bool_)
    greedy_weight = np.int64(0)
    best = 0.0
    for i in range(n):
        if greedy_weight + w[i] <= capacity:
            greedy[i] = True
            greedy_weight += w[i]
            best += p[i]
    best_node = np.int64(-2)  # -2: the greedy set; -1: the set before the break
    slope = p[b] / w[b]

    relaxed = break_profit + (capacity - break_weight) * slope
    margin = tolerance * relaxed
    node_parent = np.empty(1024, np.int64)
    node_item = np.empty(1024, np.int64)
    nodes = 0
    weight = np.array([break_weight])
    value = np.array([break_profit])
    node = np.array([-1])
    thinned = 0.0
    before, after = b - 1, b  # the next experts to take out, and to put in
    put_in = True
    while weight.shape[0] > 0 and (before >= 0 or after < n):
        if after < n and (put_in or before < 0):
            item, sign = after, 1
            after += 1
        else:
            item, sign = before, -1
            before -= 1
        put_in = not put_in
        reach = break_profit + sign * p[item] + (capacity - break_weight - sign * w[item]) * slope
        if reach <= best + margin:
            continue  # no better set differs from the one before the break in this expert
        new_weight, new_value, new_node, changed, count = merge_moved(
            weight, value, node, sign * w[item], sign * p[item]
        )
        fitting = count - 1
        while fitting >= 0 and new_weight[fitting] > capacity:
            fitting -= 1
        improved = fitting >= 0 and new_value[fitting] > best
        if improved:
            best = new_value[fitting]
        gain_in = p[after] / w[after] if after < n else 0.0
        kept = 0
        for k in range(count):
            if new_weight[k] <= capacity:
                bound = new_value[k] + (capacity - new_weight[k]) * gain_in
            elif before >= 0:
                bound = new_value[k] - (new_weight[k] - capacity) * (p[before] / w[before])
            else:
                bound = -np.inf  # nothing can be taken out any more
            is_best = improved and k == fitting
            if bound <= best + margin and not is_best:
                continue
            if changed[k]:
                if nodes == node_parent.shape[0]:
                    grown_parent = np.empty(2 * nodes, np.int64)
                    grown_item = np.empty(2 * nodes, np.int64)
                    grown_parent[:nodes] = node_parent
                    grown_item[:nodes] = node_item
                    node_parent, node_item = grown_parent, grown_item
                node_parent[nodes] = new_node[k]
                node_item[nodes] = item
                new_node[k] = nodes
                nodes += 1
            if is_best:
                best_node = new_node[k]
            if bound > best + margin:
                new_weight[kept] = new_weight[k]
                new_value[kept] = new_value[k]
                new_node[kept] = new_node[k]
                kept += 1
        limit = max((node_budget - nodes) // SHARE_OF_BUDGET, 64)
        if kept > limit:
            width = (new_value[kept - 1] - new_value[0]) / (limit // 2)
            kept = lightest_in_bins(new_weight, new_value, new_node, kept, width)
            thinned += width
        weight, value = new_weight[:kept].copy(), new_value[:kept].copy()
        node = new_node[:kept].copy()

    inside = greedy
    if best_node != -2:
        inside = np.arange(n) < b
        while best_node >= 0:
            inside[node_item[best_node]] = not inside[node_item[best_node]]
            best_node = node_parent[best_node]
    for i in range(n):
        if inside[i]:
            chosen[order[i]] = True
    # A sum of profits takes at most 2 n roundings, a bound 8 more, each at most 2^-53 of the total;
    # twice that for a bound and the best set that it is held against, and twice again to be safe.
    lost = min(thinned + margin, max(relaxed - best, 0.0))
    return lost, (n + 4) * 2.0**-50 * total_profit


@njit(cache=True)
def merge_moved(
    weight: NDArray[np.int64],
    value: NDArray[np.float64],
    node: NDArray[np.int64],
    move_weight: int,
    move_value: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_], np.int64]:
    """Merge a list of states with its copy in which one expert has changed its mind.

    Both ascend in weight and in value, and so does the result: a state that is no lighter than
    another and gains no more is left out. Returns weight, value, node (of the original), whether
    the expert has changed its mind, and the number of states; arrays have room for all.
    """
    old = weight.shape[0]
    new_weight = np.empty(2 * old, np.int64)
    new_value = np.empty(2 * old)
    new_node = np.empty(2 * old, np.int64)
    changed = np.empty(2 * old, np.bool_)
    count = np.int64(0)
    i = 0
    j = 0
    while i < old or j < old:
        take_old = j == old
        if i < old and j < old:
            moved = weight[j] + move_weight
            take_old = weight[i] < moved or (
                weight[i] == moved and value[i] >= value[j] + move_value
            )
        if take_old:
            next_weight, next_value, next_node = weight[i], value[i], node[i]
            i += 1
        else:
            next_weight, next_value = weight[j] + move_weight, value[j] + move_value
            next_node = node[j]
            j += 1
        if count == 0 or next_value > new_value[count - 1]:
            new_weight[count] = next_weight
            new_value[count] = next_value
            new_node[count] = next_node
            changed[count] = not take_old
            count += 1
    return new_weight, new_value, new_node, changed, count


@njit(cache=True)
def lightest_in_bins(
    weight: NDArray[np.int64],
    value: NDArray[np.float64],
    node: NDArray[np.int64],
    count: int,
    width: float,
) -> int:
    """Keep, in place, the lightest of the first ``count`` states in each bin of value.

    Returns how many are kept.
    """
    lowest = value[0]
    last_bin = 0
    kept = 1
    for k in range(1, count):
        bin_ = int((value[k] - lowest) / width)
        if bin_ > last_bin:
            last_bin = bin_
            weight[kept] = weight[k]
            value[kept] = value[k]
            node[kept] = node[k]
            kept += 1
    return kept
