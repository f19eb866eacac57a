"""Partial enumeration: density greedy from every start of up to three experts (K = 1)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heuristics.coverage import Coverage, most_servers, why_not_coverage
from heuristics.enumeration_kernels import best_last, complete
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee
from instances.result import Outcome, StopReason

START_SIZE = 3
"""Most (server, expert) pairs in a start."""

MAX_WORK = 2 * 10**10
"""Most looks at a pair's density, all starts together: about half a minute."""


_NO_START = np.empty(0, dtype=np.int64)


def greedy_enumeration(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Outcome:
    """F >= 3/4 OPT on one server; F >= OPT / max(2, 1 + R/3) for K = 1, R servers short of storage.

    A server is short of storage when it cannot hold all the experts that its clauses want. F = OPT
    if none is. Experts of one size: F >= (1/2 + 3 / (2 M)) OPT with M slots on all servers. No user
    with two servers that beat the cloud: F >= 3 / (3 + R) OPT, and F = OPT for experts of one size.

    Every start of up to three (server, expert) pairs is completed by storing, again and again, the
    expert with the largest marginal gain per byte that fits; the best result counts. For
    submodular functions under one knapsack this reaches (1 - 1/e) OPT (Sviridenko 2004), but one
    server with K = 1 is a plain knapsack, where more is true (3/4), and with one knapsack per
    server the theorem does not apply: R large experts may each be crowded out on their own server,
    and three of them are saved. The ratio 3 / (3 + R) is tight up to a constant 3, and for experts
    of one size nothing above 1/2 holds as M grows; examples in docs/theory.md.

    Time O(P^4 M) for P pairs that are of use and M slots.

    Source: Sahni 1975 (one knapsack); Sviridenko 2004; proofs: docs/theory.md, section 8.
    """
    del rng
    deadline = Deadline.after(time_limit)
    pairs = _Pairs.of(instance)
    best, best_start = 0.0, _NO_START
    in_time = True
    for head in pairs.heads():
        if deadline.passed:
            in_time = False
            break
        saving, start = pairs.best_start(head)
        if saving > best:
            best, best_start = saving, start
    return Outcome(
        stop_reason=StopReason.COMPLETED if in_time else StopReason.TIME_LIMIT,
        placement=Placement(pairs.completed(best_start)),
        proven_optimal=False,
        reason="" if in_time else "time was up before all starts were tried: no guarantee",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pairs:
    """The (server, expert) pairs that are of use, and the clauses of each; by server and expert."""

    num_experts: int
    server: NDArray[np.int64]
    expert: NDArray[np.int64]
    bytes: NDArray[np.int64]
    clause_begin: NDArray[np.int64]
    clause_end: NDArray[np.int64]
    alike_begin: NDArray[np.int64]
    alike: NDArray[np.int64]
    weight: NDArray[np.float64]
    server_set: NDArray[np.int64]
    server_sets: NDArray[np.bool_]
    capacity_bytes: NDArray[np.int64]
    density: NDArray[np.float64]

    @classmethod
    def of(cls, instance: Instance) -> "_Pairs":
        coverage = Coverage.of(instance)
        useful = coverage.useful_ms()
        # Contiguous whatever their length: kernels are compiled for one layout only.
        server, expert = map(np.ascontiguousarray, np.nonzero(useful))
        order = np.argsort(coverage.expert, kind="stable")
        sorted_expert = coverage.expert[order]
        others = [np.flatnonzero(expert == x) for x in expert]
        return cls(
            num_experts=instance.num_experts,
            server=server,
            expert=expert,
            bytes=coverage.expert_bytes[expert],
            clause_begin=np.searchsorted(sorted_expert, expert, side="left"),
            clause_end=np.searchsorted(sorted_expert, expert, side="right"),
            alike_begin=np.cumsum([0, *(part.size for part in others)], dtype=np.int64),
            alike=np.concatenate([*others, np.empty(0, dtype=np.int64)]),
            weight=coverage.weight[order],
            server_set=coverage.server_set[order],
            server_sets=np.ascontiguousarray(coverage.holds_server.T),
            capacity_bytes=coverage.capacity_bytes,
            density=useful[server, expert] / coverage.expert_bytes[expert],
        )

    def heads(self) -> Iterator[tuple[int, ...]]:
        """Yield the starts without their last pair, short ones first."""
        for size in range(START_SIZE):
            yield from combinations(range(self.server.size), size)

    def best_start(self, head: tuple[int, ...]) -> tuple[float, NDArray[np.int64]]:
        """Return the largest saving of the completed starts with this head, and the start.

        The saving is -1 when no start with this head is feasible.
        """
        start = np.array([*head, -1], dtype=np.int64)
        saving, start[-1] = best_last(start, *self._arrays())
        return saving, start

    def completed(self, start: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the placement that density greedy reaches from a start; bool (N, X)."""
        taken = np.empty(self.server.size, dtype=np.bool_)
        complete(
            start,
            *self._arrays(),
            np.empty(self.weight.size, dtype=np.bool_),
            np.empty(self.server.size),
            np.empty(self.capacity_bytes.size, dtype=np.int64),
            taken,
        )
        stored = np.zeros((self.capacity_bytes.size, self.num_experts), dtype=np.bool_)
        stored[self.server[taken], self.expert[taken]] = True
        return stored

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (
            self.server,
            self.bytes,
            self.clause_begin,
            self.clause_end,
            self.alike_begin,
            self.alike,
            self.weight,
            self.server_set,
            self.server_sets,
            self.capacity_bytes,
            self.density,
        )


def _slots(coverage: Coverage, useful: NDArray[np.float64]) -> tuple[int, int]:
    """Return how many experts fit on all servers at most (M), and how many servers are short (R).

    Both count only experts that the server's clauses want.
    """
    fitting = short = 0
    for row, capacity in zip(useful, coverage.capacity_bytes, strict=True):
        filled = np.cumsum(np.sort(coverage.expert_bytes[row > 0.0]))
        fits = int(np.searchsorted(filled, capacity, side="right"))
        fitting += fits
        short += int(fits < filled.size)
    return fitting, short


def _supports(instance: Instance) -> str | None:
    reason = why_not_coverage(instance)
    if reason is not None:
        return reason
    coverage = Coverage.of(instance)
    useful = coverage.useful_ms()
    num_pairs = int(np.count_nonzero(useful))
    starts = sum(math.comb(num_pairs, size) for size in range(START_SIZE + 1))
    work = starts * num_pairs * (_slots(coverage, useful)[0] + 1)
    if work > MAX_WORK:
        return (
            f"{num_pairs} (server, expert) pairs make {starts:.2g} starts and {work:.2g} looks at "
            f"a pair; the limit is {MAX_WORK:.2g}"
        )
    return None


def _ratio(instance: Instance) -> float | None:
    if why_not_coverage(instance) is not None:
        return None
    coverage = Coverage.of(instance)
    useful = coverage.useful_ms()
    slots, short = _slots(coverage, useful)
    if short == 0 or slots <= START_SIZE:
        return 1.0
    one_size = np.unique(coverage.expert_bytes[useful.any(axis=0)]).size == 1
    if most_servers(instance) <= 1:
        return 1.0 if one_size else START_SIZE / (START_SIZE + short)
    if one_size:
        return 0.5 + START_SIZE / (2 * slots)
    return 1.0 / max(2.0, 1.0 + short / START_SIZE)


GREEDY_ENUMERATION = Algorithm(
    name="greedy-enumeration",
    solve=greedy_enumeration,
    exact=False,
    summary="K = 1: density greedy from every start of up to three experts",
    source="Sahni 1975; Sviridenko 2004",
    complexity="O(P^4 M) for P pairs that are of use and M slots",
    supports=_supports,
    guarantee=Guarantee(
        formula="F >= OPT / max(2, 1 + R/3), R servers short of storage; one size: "
        "F >= (1/2 + 3 / (2 M)) OPT, M slots; users of one server: F >= 3 / (3 + R) OPT",
        scope="K = 1; 3/4 on one server",
        source="docs/theory.md, section 8.6",
        ratio=_ratio,
    ),
)
