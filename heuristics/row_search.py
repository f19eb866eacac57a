"""Search on large instances: server after server straight from the rows, first on a sample."""

import math
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heuristics.row_sample import sampled
from heuristics.search import Stored
from heuristics.successive import HULL_BINS, server_order
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.server_problem import CurvesOf, LayerRows, best_response
from instances.structure.tables import hull_curves, modular_curves

CLAUSE_ENTRIES = 4_000_000
"""Experts in all clauses from which clauses are not listed: about 100 MB."""

SAMPLE_ROWS = 100_000
"""Rows of a sample: a pass over them takes about half a second."""

_SAMPLE_SHARE = 0.4
"""Share of the time that is left which goes to the sample."""

_SETTLED = 3e-5
"""Relative gain of a round over all servers up to which pairs of servers are the better move."""

_CLEARINGS = 12
"""Clearings in a row that may fail on one sample before the next is drawn."""

_NOISE = 1e-12
"""Relative gain below which two placements count as equal: rounding of sums."""


class Found(NamedTuple):
    """A placement and what it saves."""

    stored: Stored
    saving_ms: float


def most_clauses(instance: Instance) -> int:
    """Return a bound on the clauses of an instance: for every row the servers in its reach."""
    reach = (instance.latency_ms < instance.cloud_latency_ms[:, None]).sum(axis=1)
    rows = np.bincount(instance.demand_user, minlength=instance.num_users)
    return int(rows @ reach)


def is_large(instance: Instance) -> bool:
    """Tell whether listing the clauses would take too much."""
    return most_clauses(instance) * instance.top_k > CLAUSE_ENTRIES


def improved_on_rows(
    instance: Instance,
    stored: Stored,
    rng: np.random.Generator,
    deadline: Deadline,
    *,
    orders: int,
    rounds: int,
    threads: int,
    sample_rows: int = SAMPLE_ROWS,
) -> Stored:
    """Improve a feasible placement, bool (N, X), where clauses are too many to list; never worse.

    When it ends before the deadline, no server gains alone. So F >= a OPT on one server, and
    F >= a / (1 + a) OPT for K = 1, a = 1 - B / Q as in successive-hull: what O would add to X is at
    most what its servers O_n gain one by one, each at most 1/a of what X_n gains given the others,
    and these gains add up to F(X) or less.

    Several orders of the servers are tried on a sample of the rows, each server re-solved twice;
    the best is searched further there, by clearing pairs of servers. Then every server is re-solved
    on all rows, and the better of this and the given placement goes on: pairs are cleared on one
    new sample after the other, all servers are re-solved on all rows, and what gained there is
    kept. At last servers are re-solved one at a time until none gains.

    Time O(R K + L cuts + L E Q) for each server that is re-solved, on R rows or on the sample.
    Memory: 24 bytes a row at most at a time, and what one layer takes. Should time run out while
    all rows are read, what the sample has shown still counts.
    """
    if deadline.passed:
        return stored
    sampling = orders > 0 and instance.num_rows > 2 * sample_rows
    proposal = None
    if sampling:
        until = deadline
        if math.isfinite(deadline.at):
            until = Deadline.after(_SAMPLE_SHARE * deadline.remaining)
        small = RowSearch(sampled(instance, sample_rows, rng), until, threads)
        proposal = small.from_nothing(rng, orders, rounds)
        if deadline.passed and not stored.any():
            return proposal.stored
    search = RowSearch(instance, deadline, threads)
    found = search.found(stored)
    if proposal is not None:
        found = search.better(found, search.responded(search.found(proposal.stored), rng))
    elif orders:
        found = search.better(found, search.from_nothing(rng, orders, 0))
    found = search.settled(found, rng, least_gain=_SETTLED)
    if not sampling:
        found = search.searched(found, rng, rounds)
    failures = 0
    while sampling and failures < rounds and not deadline.passed:
        small = RowSearch(sampled(instance, sample_rows, rng), deadline, threads)
        proposal = small.searched(small.found(found.stored), rng, _CLEARINGS)
        better = search.better(found, search.responded(search.found(proposal.stored), rng))
        failures = failures + _CLEARINGS if better is found else 0
        found = better
    return search.settled(found, rng).stored


class RowSearch:
    """Moves on one instance, all straight from its rows."""

    def __init__(self, instance: Instance, deadline: Deadline, threads: int) -> None:
        self.instance = instance
        self.deadline = deadline
        self._threads = threads
        self._rows = LayerRows.of(instance)

    def found(self, stored: Stored) -> Found:
        """Evaluate a placement."""
        return Found(stored, evaluate(self.instance, Placement(stored)).saving_ms)

    def better(self, old: Found, new: Found) -> Found:
        """Return the new placement when it saves more beyond rounding, otherwise the old one."""
        return new if new.saving_ms > old.saving_ms * (1 + _NOISE) else old

    def from_nothing(self, rng: np.random.Generator, orders: int, rounds: int) -> Found:
        """Fill empty servers in several orders, twice in each; search on from the best of them.

        Once the first fill goes by what experts gain with all others (``modular_curves``): a set of
        which each server must hold a part gains nothing as long as no part is stored.
        """
        shape = (self.instance.num_servers, self.instance.num_experts)
        best = self.found(np.zeros(shape, dtype=np.bool_))
        order = server_order(self.instance, None)
        for curves_of in (*repeat(hull_curves, orders), modular_curves):
            if self.deadline.passed:
                break
            stored = np.zeros(shape, dtype=np.bool_)
            for server in order:
                stored[server] = self._response(stored, server, curves_of)
            # what the first servers hold has been chosen without regard to the others
            best = self.better(best, self._responded(self.found(stored), order))
            order = rng.permutation(order).tolist()
        return self.searched(best, rng, rounds)

    def responded(self, found: Found, rng: np.random.Generator) -> Found:
        """Re-solve every server once, in a random order, and keep what gains."""
        return self._responded(found, rng.permutation(self.instance.num_servers).tolist())

    def settled(self, found: Found, rng: np.random.Generator, *, least_gain: float = 0.0) -> Found:
        """Re-solve all servers, in a new order each time, until they gain no more than a share."""
        while not self.deadline.passed:
            better = self.responded(found, rng)
            done = better is found or better.saving_ms <= found.saving_ms * (1 + least_gain)
            found = better
            if done:
                break
        return found

    def searched(self, found: Found, rng: np.random.Generator, rounds: int) -> Found:
        """Clear two servers and re-solve them; keep what gains.

        Stops when ``rounds`` clearings in a row have failed.
        """
        failures = 0
        while self.instance.num_servers > 1 and failures < rounds and not self.deadline.passed:
            pair = rng.permutation(self.instance.num_servers)[:2].tolist()
            proposal = found.stored.copy()
            proposal[pair] = False
            for server in pair:
                proposal[server] = self._response(proposal, server)
            better = self.better(found, self.found(proposal))
            failures = failures + 1 if better is found else 0
            found = better
        return found

    def _responded(self, found: Found, order: list[int]) -> Found:
        for server in order:
            if self.deadline.passed:
                break
            proposal = found.stored.copy()
            proposal[server] = self._response(found.stored, server)
            found = self.better(found, self.found(proposal))
        return found

    def _response(
        self, stored: Stored, server: int, curves_of: CurvesOf = hull_curves
    ) -> NDArray[np.bool_]:
        return best_response(
            self._rows,
            stored,
            server,
            curves_of,
            self.deadline,
            num_bins=HULL_BINS,
            threads=self._threads,
        )
