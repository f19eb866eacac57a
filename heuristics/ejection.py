"""Search over all servers at once: complete a clause, evict what is in the way, refill."""

import numpy as np
from numpy.typing import NDArray

from heuristics.ejection_kernels import Rows, State, settle, travel
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import Clauses
from instances.structure.kernels import gathered

_FEWEST_ITERATIONS, _MOST_ITERATIONS = 10, 50
"""Iterations on distorted weights in a cycle: as many as experts are wanted, within these."""

_TRUE_ITERATIONS = 3
"""Iterations on the true weights for each on distorted ones."""

_SLACK = 0.25
"""Loss that is accepted for a while, in shares of what a stored copy is worth on average."""

_RETURN = 4.0
"""Distance from the best placement, in slacks, from which the next cycle starts there again."""

_LAYERS = (1, 2, 4)
"""How many layers a cycle searches in, or all of them: one of these choices at random."""

_FLIPS = 8
"""Flips in an iteration, about."""

_SCANS = 4
"""Scans of all copies in an iteration, about."""

_CHUNK_STEPS = 2e7
"""Elementary steps between two looks at the clock."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Odd factor that spreads numbers over 64 bits (Knuth, TAOCP 3, 6.4)."""


class EjectionSearch:
    """Ejection chains over all servers, in cycles of distorted and true weights.

    A clause that needs experts on two servers gains nothing while one of them is re-solved alone.
    Here whole clauses are completed, wherever their experts are missing, and copies that lose
    little are ejected (Glover 1996); every cycle first distorts what itemsets are worth, so that
    the search leaves the basin that it is in (noising: Charon and Hudry 1993).
    """

    def __init__(self, instance: Instance, clauses: Clauses, deadline: Deadline) -> None:
        num_sets = clauses.server_sets.shape[0]
        shape = (instance.num_servers, instance.num_experts)
        self.saving_ms = clauses.saving_ms
        self.deadline = deadline
        self.num_layers = instance.num_layers
        self.rows, self.itemset_layer = _rows(instance, clauses)
        num_wanted = _num_wanted(clauses)
        self.iterations = _num_iterations(num_wanted)
        steps = _steps_of_iteration(instance, len(clauses), clauses.largest_itemset, num_wanted)
        self.chunk = max(1, int(_CHUNK_STEPS / steps))
        most_flips = shape[0] * shape[1] + 8 * shape[0] + clauses.largest_itemset
        self.state = State(
            stored=np.zeros(shape, dtype=np.bool_),
            room=np.zeros(shape[0], dtype=np.int64),
            copies=np.zeros((num_sets, shape[1]), dtype=np.int32),
            holder_sum=np.zeros((num_sets, shape[1]), dtype=np.int32),
            lacking=np.zeros(len(clauses), dtype=np.int32),
            gain=np.zeros(shape),
            loss=np.zeros(shape),
            value=np.zeros(1),
            protected=np.zeros(shape, dtype=np.bool_),
            flips=np.zeros((most_flips, 2), dtype=np.int64),
            num_flips=np.zeros(1, dtype=np.int64),
        )

    def searched(
        self, stored: NDArray[np.bool_], rng: np.random.Generator, cycles: int
    ) -> NDArray[np.bool_]:
        """Return the best placement met in some cycles from a feasible one; both bool (N, X).

        Never worse than that one.
        """
        best = stored.copy()
        if self.rows.weight.size == 0:
            return best
        best_value = self._value(best)
        current = best
        for _ in range(cycles):
            if self.deadline.passed:
                break
            slack = _SLACK * best_value / max(int(best.sum()), 1)
            found, value = self._cycle(current, rng, slack)
            if value > best_value + self.rows.dust:
                best, best_value = found, value
            current = found if value > best_value - _RETURN * slack else best
        # the search itself sees rounded weights
        return (
            best if self.saving_ms(Placement(best)) > self.saving_ms(Placement(stored)) else stored
        )

    def _cycle(
        self, stored: NDArray[np.bool_], rng: np.random.Generator, slack: float
    ) -> tuple[NDArray[np.bool_], float]:
        """Search with distorted weights, then with the true ones; returns the best by these."""
        rows = self.rows
        seed = rng.integers(2**63, size=1, dtype=np.uint64)
        searched = np.ones(self.num_layers, dtype=np.bool_)
        count = (*_LAYERS, self.num_layers)[int(rng.integers(len(_LAYERS) + 1))]
        if count < self.num_layers:
            searched[:] = False
            searched[rng.choice(self.num_layers, size=count, replace=False)] = True
        is_searched = searched[self.itemset_layer]
        targets = np.flatnonzero(is_searched[rows.itemset])
        if targets.size == 0:
            return stored, self._value(stored)
        factor = np.exp(np.where(is_searched, rng.standard_normal(is_searched.size), 0.0))
        distorted = rows._replace(weight=rows.weight * factor[rows.itemset])
        distorted_slack = np.full(self.iterations, slack)
        self._travel(distorted, targets, stored, distorted_slack, seed)
        true_slack = np.linspace(slack, 0.0, _TRUE_ITERATIONS * self.iterations)
        return self._travel(rows, targets, self.state.stored, true_slack, seed)

    def _travel(
        self,
        rows: Rows,
        targets: NDArray[np.int64],
        stored: NDArray[np.bool_],
        slack: NDArray[np.float64],
        seed: NDArray[np.uint64],
    ) -> tuple[NDArray[np.bool_], float]:
        self.state.stored[:] = stored
        settle(rows, self.state)
        record = stored.copy()
        value = float(self.state.value[0])
        for first in range(0, slack.size, self.chunk):
            if self.deadline.passed:
                break
            part = slack[first : first + self.chunk]
            value = travel(rows, self.state, targets, part, seed, record, value)
        return record, value

    def _value(self, stored: NDArray[np.bool_]) -> float:
        self.state.stored[:] = stored
        settle(self.rows, self.state)
        return float(self.state.value[0])


def affordable_cycles(instance: Instance, clauses: Clauses, steps: float) -> int:
    """Return how many cycles take about that many elementary steps together."""
    num_wanted = _num_wanted(clauses)
    return int(steps / _steps_of_cycle(instance, len(clauses), clauses.largest_itemset, num_wanted))


def may_afford_cycle(
    instance: Instance, num_clauses: int, largest_itemset: int, steps: float
) -> bool:
    """Tell whether a cycle could take so few elementary steps with that many clauses or more.

    For a decision before all clauses are built.
    """
    return _steps_of_cycle(instance, num_clauses, largest_itemset, instance.num_experts) <= steps


def order_by_members(
    num_experts: int, offsets: NDArray[np.int64], experts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Order sets of experts by a hash of their members: the same however they were listed."""
    mixed = (np.arange(num_experts, dtype=np.uint64) + 1) * _GOLDEN
    mixed ^= mixed >> np.uint64(29)
    mixed *= _GOLDEN
    ends = np.zeros(experts.size + 1, dtype=np.uint64)
    np.cumsum(mixed[experts], out=ends[1:])
    return np.argsort(np.diff(ends[offsets]), kind="stable").astype(np.int64)


def _num_wanted(clauses: Clauses) -> int:
    return int(np.count_nonzero(np.bincount(clauses.itemset_experts)))


def _num_iterations(num_wanted: int) -> int:
    return min(max(num_wanted, _FEWEST_ITERATIONS), _MOST_ITERATIONS)


def _steps_of_cycle(
    instance: Instance, num_clauses: int, largest_itemset: int, num_wanted: int
) -> float:
    iterations = (1 + _TRUE_ITERATIONS) * _num_iterations(num_wanted)
    settling = 2 * num_clauses * max(1, largest_itemset)
    steps = _steps_of_iteration(instance, num_clauses, largest_itemset, num_wanted)
    return iterations * steps + settling


def _steps_of_iteration(
    instance: Instance, num_clauses: int, largest_itemset: int, num_wanted: int
) -> float:
    """Count the elementary steps of an iteration, about: flips, and scans of all copies."""
    touched = num_clauses * largest_itemset**2 * instance.num_servers  # by all experts
    copies = instance.num_servers * instance.num_experts
    return _FLIPS * touched / max(num_wanted, 1) + _SCANS * copies


def _rows(instance: Instance, clauses: Clauses) -> tuple[Rows, NDArray[np.int64]]:
    """Index the clauses by expert; returns the layer of each itemset too.

    Itemsets are ordered by a hash of their experts, and weights are rounded: neither the order of
    the demand nor that of the sums it was merged in leaves a trace.
    """
    order = order_by_members(instance.num_experts, clauses.itemset_offsets, clauses.itemset_experts)
    num_itemsets = order.size
    itemset_offsets, experts = clauses.flat_experts(order)
    first = np.searchsorted(clauses.itemset, np.arange(num_itemsets + 1))
    counts = np.diff(first)[order]
    clause_offsets, permuted = gathered(np.arange(len(clauses)), first[order], counts)
    weight = clauses.weight[permuted].astype(np.float32).astype(np.float64)
    by_expert = np.argsort(experts, kind="stable")
    numbers = np.arange(num_itemsets, dtype=np.int32)
    rows = Rows(
        weight=weight,
        server_set=clauses.server_set[permuted].astype(np.int32),
        itemset=np.repeat(numbers, counts),
        server_sets=clauses.server_sets,
        itemset_offsets=itemset_offsets,
        itemset_experts=experts.astype(np.int32),
        clause_offsets=clause_offsets,
        expert_offsets=np.searchsorted(experts[by_expert], np.arange(instance.num_experts + 1)),
        expert_itemsets=np.repeat(numbers, np.diff(itemset_offsets))[by_expert],
        sizes=instance.expert_bytes,
        capacity=instance.capacity_bytes,
        dust=1e-12 * float(weight.sum()),
    )
    return rows, clauses.itemset_layer[order]
