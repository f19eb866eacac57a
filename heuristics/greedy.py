"""Greedy by marginal gain per byte, with lazy re-evaluation."""

import numpy as np
from numpy.typing import NDArray

from heuristics.greedy_kernels import Demand, Progress, all_marginal_gains, greedy_steps
from heuristics.greedy_single import has_single_experts, single_picks
from heuristics.kernels import entries_by_expert, wanted_weight
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee
from instances.structure.clauses import build_clauses

_STEPS_BETWEEN_LOOKS = 1024
"""Experts stored between two looks at the clock."""


def greedy(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    """F >= 1/2 OPT for K = 1 and experts of one size; nothing is claimed otherwise.

    Stores, again and again, the expert with the largest marginal gain per byte that fits; ties go
    to the server, then the expert, with the lower index. For K >= 2 a gain can rise when a clause
    comes to lack a single expert: such pairs are re-evaluated at once, so that every step takes the
    true maximum. When no expert gains anything (K >= 2: all clauses lack two or more) the one that
    the unsatisfied clauses want most per byte is stored, as long as one of them has a use for it.

    Time O(P log P) for P (server, expert) pairs plus the re-evaluations, each linear in the clauses
    of the expert. Where every row has one expert the rows take the place of the clauses, and it is
    the time of :func:`~heuristics.greedy_single.single_picks`.

    Source: Fisher, Nemhauser, Wolsey 1978 (partition matroid); lazy evaluation: Minoux 1978. The
    bound is tight. Proof: docs/theory.md, section 4.
    """
    deadline = Deadline.after(time_limit)
    if has_single_experts(instance):
        stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
        stored[tuple(single_picks(instance, deadline=deadline).T)] = True
        return Placement(stored)
    clauses = build_clauses(instance)
    num_experts = instance.num_experts
    offsets, entry_clause = entries_by_expert(
        clauses.itemset, clauses.itemset_offsets, clauses.itemset_experts, num_experts
    )
    demand = Demand(
        weight=clauses.weight,
        server_set=clauses.server_set,
        itemset=clauses.itemset,
        server_sets=clauses.server_sets,
        itemset_offsets=clauses.itemset_offsets,
        itemset_experts=clauses.itemset_experts,
        entry_offsets=offsets,
        entry_clause=entry_clause,
    )
    progress = Progress(
        stored=np.zeros((instance.num_servers, num_experts), dtype=np.bool_),
        room=instance.capacity_bytes.copy(),
        expert_bytes=instance.expert_bytes,
        covered=np.zeros(entry_clause.size, dtype=np.bool_),
        lacking=np.diff(clauses.itemset_offsets)[clauses.itemset],
    )
    want = wanted_weight(
        clauses.weight,
        clauses.server_set,
        clauses.itemset,
        clauses.server_sets,
        clauses.itemset_offsets,
        clauses.itemset_experts,
        num_experts,
    )
    fallback = _descending(want / instance.expert_bytes)
    gain_per_byte = all_marginal_gains(demand, progress) / instance.expert_bytes
    heap_pair = _descending(gain_per_byte)
    heap_key = gain_per_byte.ravel()[heap_pair]  # descending, hence a heap
    state = np.array([heap_pair.size, 0], dtype=np.int64)
    while state[0] >= 0 and not deadline.passed:
        heap_key, heap_pair = greedy_steps(
            _STEPS_BETWEEN_LOOKS, heap_key, heap_pair, state, fallback, demand, progress
        )
    return Placement(progress.stored)


def _descending(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the flat indices of the positive entries, largest first, ties by index."""
    order = np.argsort(-values, axis=None, kind="stable")
    return order[: np.count_nonzero(values > 0)].astype(np.int64)


def _ratio(instance: Instance) -> float | None:
    if instance.top_k > 1 or np.unique(instance.expert_bytes).size > 1:
        return None
    return 0.5


GREEDY = Algorithm(
    name="greedy",
    solve=greedy,
    exact=False,
    summary="largest marginal gain per byte first, lazily re-evaluated",
    source="Fisher, Nemhauser, Wolsey 1978; Minoux 1978",
    complexity="O(P log P) for P (server, expert) pairs, plus re-evaluations",
    guarantee=Guarantee(
        formula="F >= 1/2 OPT",
        scope="K = 1, all experts of one size",
        source="docs/theory.md, section 4",
        ratio=_ratio,
    ),
)
