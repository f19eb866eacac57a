"""Search over whole clauses on one server, where clauses are long and few."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heuristics.ejection import order_by_members
from heuristics.packing_kernels import pack
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import Clauses
from instances.structure.kernels import gathered
from instances.structure.tables import residual_of

SHORT = 8
"""Experts that a clause lacks on average up to which a search over experts is the better one."""

_MOST_CLAUSES = 2000
"""Clauses of a server above which one move takes too long: all pairs are compared."""

_CHUNK_STEPS = 50_000_000
"""Elementary steps between two looks at the clock: about a tenth of a second."""


class Effort(NamedTuple):
    """How long to search: whichever of the two is reached first."""

    steps: int
    """Elementary steps, on all servers together."""

    moves: int
    """Moves on each server."""


class PackingSearch:
    """Iterated tabu search over the clauses that one server gains, given the others (P3).

    Where clauses lack many experts, as the items of a set-union knapsack do, no single expert gains
    anything. Here a move adds a clause with all its experts, gives one up with those that no other
    one needs, or does both (Wei and Hao 2019).
    """

    def __init__(self, instance: Instance, clauses: Clauses, deadline: Deadline) -> None:
        self.instance = instance
        self.clauses = clauses
        self.deadline = deadline

    def searched(
        self, stored: NDArray[np.bool_], rng: np.random.Generator, effort: Effort
    ) -> NDArray[np.bool_]:
        """Return a placement that saves no less than a feasible one; both bool (N, X).

        Where clauses are short nothing is searched and nothing drawn.
        """
        if self.clauses.largest_itemset <= SHORT:
            return stored
        servers = rng.permutation(self.instance.num_servers).tolist()
        for server in servers:
            if self.deadline.passed:
                break
            seed = rng.integers(2**63, size=1, dtype=np.uint64)
            steps = effort.steps // len(servers)
            stored = self._on_server(stored, server, seed, Effort(steps, effort.moves))
        return stored

    def _on_server(
        self, stored: NDArray[np.bool_], server: int, seed: NDArray[np.uint64], effort: Effort
    ) -> NDArray[np.bool_]:
        part = residual_of(self.clauses, stored, server)
        num_clauses = part.weight.size
        if part.experts.size <= SHORT * num_clauses or num_clauses > _MOST_CLAUSES:
            return stored
        # neither the order of the demand nor that of the sums it was merged in leaves a trace
        order = order_by_members(self.instance.num_experts, part.offsets, part.experts)
        weight = part.weight[order].astype(np.float32).astype(np.float64)
        offsets, experts = gathered(part.experts, part.offsets[order], np.diff(part.offsets)[order])
        wanted, bits = np.unique(experts, return_inverse=True)
        chosen = np.logical_and.reduceat(stored[server, experts], offsets[:-1])
        chunks = max(1, -(-effort.steps // _CHUNK_STEPS))
        for _ in range(chunks):
            if self.deadline.passed:
                break
            chosen, _ = pack(
                weight,
                offsets,
                bits.astype(np.int64),
                self.instance.expert_bytes[wanted],
                int(self.instance.capacity_bytes[server]),
                chosen,
                effort.steps // chunks,
                effort.moves // chunks,
                seed,
            )
        proposal = stored.copy()
        proposal[server] = False
        proposal[server, experts[np.repeat(chosen, np.diff(offsets))]] = True
        saving = self.clauses.saving_ms
        return proposal if saving(Placement(proposal)) > saving(Placement(stored)) else stored
