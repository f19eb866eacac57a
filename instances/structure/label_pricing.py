"""Label pricing: the best placement of one layer when storage has a price, with a proven bound."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.structure.branch_kernels import branch
from instances.structure.closure_kernels import entries_of_experts
from instances.structure.label_kernels import ascend, improve_split, label_costs
from instances.structure.layer_problem import LayerProblem

MAX_LABEL_SERVERS = 10
"""Most servers of one layer for which every subset of them is a label of an expert."""

TOLERANCE = 1e-10
"""Share of the layer's worth below which two placements count as equally good."""

_FIRST_ITERATIONS = 300
"""Subgradient steps on a layer that has not been priced before."""

_ITERATIONS = 150
"""Subgradient steps from the split of the last prices."""

_BRANCH_STEPS = 5e7
"""Elementary steps of one search over labels, about 0.1 s."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Priced:
    """A placement of one layer at given prices.

    Parameters
    ----------
    stored
        Bool (M, E).
    bound_ms
        No placement is worth more at these prices, rounding included; infinite when unknown.
    is_exact
        No placement is worth more than this one, up to ``TOLERANCE``.
    """

    stored: NDArray[np.bool_]
    bound_ms: float
    is_exact: bool


class LabelPricer:
    """Exact: every expert gets a label, the set of servers that store it.

    An upper bound that separates the experts is lowered by a subgradient method; mostly it meets
    the best labels found. What is left is searched, expert by expert. A search that grows too large
    is given up: the bound still holds then, but nothing says that the placement is best.

    Attributes
    ----------
    sets
        Server set of each clause as a bit mask; int64 (C,).
    incidence
        For each expert its entries, as :func:`entries_of_experts` returns them.
    split, rent
        Multipliers of the last bound: what each entry (clause, expert) is credited, and what the
        storage of each server is worth on top of its price, ms per token; float64 (any,), (M,).
    """

    def __init__(self, problem: LayerProblem) -> None:
        self._problem = problem
        self.sets = problem.members @ (1 << np.arange(problem.servers.size, dtype=np.int64))
        self.incidence = entries_of_experts(problem.offsets, problem.bits, problem.experts.size)
        lengths = np.diff(problem.offsets)
        self.split = np.repeat(problem.weight / lengths, lengths)
        self.rent = np.zeros(problem.servers.size)
        self._iterations = _FIRST_ITERATIONS
        self._tolerance = TOLERANCE * problem.worth_ms
        steps = problem.experts.size * problem.servers.size << problem.servers.size
        self._max_nodes = max(2 * problem.experts.size, int(_BRANCH_STEPS / steps))

    def price(self, price: NDArray[np.float64], deadline: Deadline) -> Priced:
        """Look for the labels with the largest value less price."""
        problem = self._problem
        sizes, capacity = problem.sizes, problem.capacity_bytes
        clauses = (problem.weight, self.sets, problem.offsets, problem.bits)
        ascent = (
            *clauses,
            *self.incidence,
            sizes,
            capacity,
            label_costs(price, np.zeros_like(price), sizes, capacity),
        )
        label = np.zeros(problem.experts.size, dtype=np.int64)
        value = ascend(*ascent, label, 0.0, self._tolerance)
        bound, value = improve_split(
            *clauses,
            sizes,
            capacity,
            price,
            self.split,
            self.rent,
            label,
            value,
            self._tolerance,
            self._iterations,
        )
        self._iterations = _ITERATIONS
        is_exact = bound <= value + self._tolerance
        if not is_exact:
            value = ascend(*ascent, label, value, self._tolerance)
            value, is_exact = branch(
                *clauses[1:],
                *self.incidence,
                sizes,
                capacity,
                price,
                self.split,
                self.rent,
                label,
                value,
                self._tolerance,
                self._max_nodes,
            )
        if is_exact:
            bound = value + self._tolerance
        bound += self._rounding_ms(price)
        return Priced(
            stored=(label >> np.arange(problem.servers.size)[:, None]) & 1 > 0,
            bound_ms=bound,
            is_exact=bool(is_exact),
        )

    def _rounding_ms(self, price: NDArray[np.float64]) -> float:
        """Return how much rounding may have taken from a bound, at most.

        A bound is a sum of credits, costs and rents in which no term goes through more than
        ``depth`` additions, subtractions and products; its error is at most 2 depth 2^-53 times the
        magnitude of all terms. A credit occurs up to eight times: twice in what a label meets
        (the total less what misses it), each time put in and taken out where its clause is lost,
        and the same among the labelled experts. The search takes its state back bit by bit, so
        nothing builds up over its nodes. Split credits may miss the weight of their clause by as
        many roundings as it has experts.
        """
        problem = self._problem
        num_experts, num_servers = problem.sizes.size, problem.servers.size
        depth = 4 * problem.bits.size + 4 * (num_experts + num_servers) + (1 << num_servers) + 16
        per_byte = float((price + self.rent / problem.capacity_bytes).sum())
        magnitude = (
            9.0 * problem.worth_ms
            + 2.0 * float(self.rent.sum())
            + 2.0 * per_byte * float(problem.sizes.sum())
        )
        return depth * 2.0**-52 * magnitude
