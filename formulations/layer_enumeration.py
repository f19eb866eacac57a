"""Exact without a MILP solver: enumerate what layers can be worth, combine them over storage.

Layers interact through the capacities alone. At prices for storage, only placements of a layer
near its best one can be in a better optimum; the best of these for each use of storage are listed,
and one is chosen for each layer by dynamic programming (docs/theory.md, section 5).
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from formulations.enumeration.parts import Part, parts_of
from formulations.enumeration.solver import OutOfMemory, PartSolver
from formulations.start import check_start
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import OnProgress, Outcome, StopReason
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.kernels import satisfied
from instances.structure.labelling import useful_labels
from instances.structure.upper_weights import UpperWeights, upper_weights

MAX_TABLE_BYTES = 2**30
"""Most memory for the tables of one layer."""

MAX_PLACEMENTS_LOG2 = 64
"""Most joint placements of one layer, as a power of two. The search visits a tiny part of them, but
not so tiny that wider layers could be promised."""

_HEADROOM = 4
"""Whole numbers go up to this many times the total weight (``MAX_WEIGHT``)."""

_PRECISION = 1e-11
"""Share of the optimum that rounding of weights may add before the weights are taken anew."""


def layer_enumeration(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Return a proven optimum, for few servers and small layers; any K, layers, users and sizes.

    Time O(L 2^(E N) 2^N E) and O(L G (E + 1)^N) for G vectors of used storage in the worst case;
    both fall by orders of magnitude when the Lagrangian bound is near the optimum, as it is with
    many layers.

    Source: docs/theory.md, section 5.

    Parameters
    ----------
    start
        A feasible placement: what is not better is not looked at.

    Raises
    ------
    InputError
        When the start does not fit.
    """
    del rng
    if start is not None:
        start.check_shape(instance)
        check_start(instance, start)
    deadline = Deadline.after(time_limit)
    clauses = build_clauses(instance)
    while True:
        weights = upper_weights(instance, clauses, headroom=_HEADROOM)
        run = _Run(instance, clauses, weights, start, on_progress)
        outcome = run.solve(deadline)
        # rounding added less than one unit to each clause
        error, most = int(np.count_nonzero(run.weight)), run.bound
        heavy = run.weight > most
        if error <= _PRECISION * most or not heavy.any() or deadline.passed:
            return outcome
        # no placement satisfies a clause that is worth more than any; units are finer without
        clauses = _without(clauses, heavy)


class _Run:
    """Solve an instance part by part, with one unit of weight."""

    def __init__(
        self,
        instance: Instance,
        clauses: Clauses,
        weights: UpperWeights,
        start: Placement | None,
        on_progress: OnProgress | None,
    ) -> None:
        self.instance, self.clauses, self.weights = instance, clauses, weights
        self.weight = (weights.weight_ms / weights.unit_ms).astype(np.int64)
        self._start, self._on_progress = start, on_progress
        self._parts = parts_of(instance, clauses, self.weight)
        known = self._known()
        self._solvers = [
            PartSolver(
                part.layers(instance, clauses, self.weight),
                part.room,
                int(self.weight[part.clause[known[part.clause]]].sum()),
                self._tell,
            )
            for part in self._parts
        ]

    @property
    def bound(self) -> int:
        """No placement satisfies clauses of more weight, in units."""
        return sum(solver.bound for solver in self._solvers)

    def solve(self, deadline: Deadline) -> Outcome:
        """Solve all parts, or as many as time and memory allow."""
        try:
            complete = all([solver.approach(deadline) for solver in self._solvers])
            complete = complete and all([solver.close(deadline) for solver in self._solvers])
        except OutOfMemory as error:
            return self._outcome(StopReason.MEMORY_LIMIT, reason=str(error))
        if complete:
            return self._outcome(StopReason.COMPLETED)
        return self._outcome(StopReason.TIME_LIMIT)

    def _known(self) -> NDArray[np.bool_]:
        """Tell which clauses the start satisfies; bool (C,)."""
        if self._start is None:
            return np.zeros(len(self.clauses), dtype=np.bool_)
        return np.asarray(
            satisfied(
                self.clauses.server_set,
                self.clauses.itemset,
                self.clauses.server_sets,
                self.clauses.itemset_offsets,
                self.clauses.itemset_experts,
                self._start.stored,
            )
        )

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._outcome(StopReason.TIME_LIMIT))

    def _outcome(self, stop_reason: StopReason, reason: str = "") -> Outcome:
        stored = np.zeros((self.instance.num_servers, self.instance.num_experts), dtype=np.bool_)
        for part, solver in zip(self._parts, self._solvers, strict=True):
            if solver.chosen is not None:
                part.store(self.instance, solver.chosen, stored)
            elif self._start is not None:
                servers = np.concatenate(part.groups)
                stored[servers] = self._start.stored[servers]
        placement = self._start
        complete = stop_reason is StopReason.COMPLETED
        if complete or any(solver.chosen is not None for solver in self._solvers):
            placement = Placement(stored)
        return Outcome(
            stop_reason=stop_reason,
            placement=placement,
            proven_optimal=complete,
            bound_saving_ms=self.weights.bound_ms(self.bound * self.weights.unit_ms),
            bound_certified=True,
            claimed_saving_ms=math.nan if placement is None else self.clauses.saving_ms(placement),
            reason=reason,
        )


def _without(clauses: Clauses, dropped: NDArray[np.bool_]) -> Clauses:
    """Leave some clauses out; bool (C,)."""
    kept = np.flatnonzero(~dropped)
    return replace(
        clauses,
        weight=clauses.weight[kept],
        server_set=clauses.server_set[kept],
        itemset=clauses.itemset[kept],
        layer_clause_offset=np.searchsorted(kept, clauses.layer_clause_offset).astype(np.int64),
    )


def _supports(instance: Instance) -> str | None:
    # first what can be told without the clauses: the experts that anybody asks for
    layer = instance.model_layer_offset[instance.user_model[instance.demand_user]]
    layer = np.repeat(layer + instance.demand_layer, np.diff(instance.demand_offsets))
    wanted = np.zeros(instance.num_experts, dtype=np.bool_)
    wanted[instance.layer_expert_offset[layer] + instance.demand_experts] = True
    for user in range(instance.num_users):
        local = slice(*instance.local_offsets[user : user + 2])
        model = instance.user_model[user]
        wanted[instance.model_expert_offset[model] + instance.local_experts[local]] = False
    widths = np.add.reduceat(wanted, instance.layer_expert_offset[:-1], dtype=np.int64)
    reason = _too_large(1, int(widths.max()), 1)
    if reason is not None:
        return reason
    clauses = build_clauses(instance)
    for part in parts_of(instance, clauses, np.ones(len(clauses), dtype=np.int64)):
        reason = _too_large(len(part.groups), int(part.widths.max()), part.num_sets, part)
        if reason is not None:
            return reason
    return None


def _too_large(num_servers: int, width: int, num_sets: int, part: Part | None = None) -> str | None:
    """Estimate what the widest layer takes; return why that is too much, or None."""
    entries = num_sets * 2**width * (width + 1) + 2**num_servers * (num_sets + width + 1)
    num_labels = 2**num_servers
    if part is not None and 8 * entries <= MAX_TABLE_BYTES:
        num_labels = useful_labels(np.unique(part.servers), num_servers).size
    log2 = width * math.log2(num_labels)
    if 8 * entries <= MAX_TABLE_BYTES and log2 <= MAX_PLACEMENTS_LOG2:
        return None
    gib = min(8 * entries, 10**300) / 2**30  # what can still be printed
    return (
        f"would take about {gib:.1e} GiB of tables, and up to 2^{log2:.0f} joint placements of a "
        f"layer, for {num_servers} servers that share users and {width} wanted experts in a layer; "
        f"the limits are {MAX_TABLE_BYTES / 2**30:.0f} GiB and 2^{MAX_PLACEMENTS_LOG2}"
    )


LAYER_ENUMERATION = Algorithm(
    name="layer-enumeration",
    solve=layer_enumeration,
    exact=True,
    summary="placements of each layer near its best at prices, layers combined over the capacities",
    source="docs/theory.md, section 5",
    complexity="O(L 2^(E N) 2^N E + L G (E + 1)^N) at worst, G the vectors of used storage",
    supports=_supports,
)
