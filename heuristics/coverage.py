"""K = 1: the saving as weighted coverage, with its multilinear extension.

Every clause has one expert: F(X) = sum of w [some server of S stores x]. When server n stores
expert x with probability y[n, x], independently of the other servers, the expected saving is

    Fbar(y) = sum of w (1 - prod over n in S of (1 - y[n, x])),

however a server draws its own experts together. Proofs: docs/theory.md, section 8.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heuristics.continuous_kernels import (
    expected_copies,
    scale_by_expert,
    sum_by_expert,
    unmet_weight,
)
from heuristics.knapsack_kernels import NODE_BUDGET, best_configuration
from instances.deadline import Deadline
from instances.problem import Instance
from instances.rounding_up import sum_up
from instances.structure.clauses import build_clauses
from instances.structure.upper_weights import vanished_ms

_WORTH_A_CHANGE = 1e-9
"""Relative gain below which a server's experts are not replaced: well above rounding."""


def why_not_coverage(instance: Instance) -> str | None:
    """Return why a clause may have more than one expert, or None; a look at the rows' lengths.

    Models with a larger ``top_k`` are welcome as long as every row has a single expert. Rows that
    experts on the device would reduce to one are not looked for.
    """
    if instance.demand_experts.size == instance.num_rows:
        return None
    lengths = np.diff(instance.demand_offsets)
    for row in np.flatnonzero(lengths > 1)[:1]:
        return (
            f"demands.experts[{row}] uses {lengths[row]} experts together; the method is for "
            "K = 1, one expert in every row"
        )
    return None


def most_servers(instance: Instance) -> int:
    """Return D, the most servers in one clause: those that beat the cloud for a user with rows."""
    users = np.flatnonzero(np.bincount(instance.demand_user, minlength=instance.num_users))
    faster = instance.latency_ms[users] < instance.cloud_latency_ms[users, None]
    return int(faster.sum(axis=1).max(initial=0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Configuration:
    """A set of experts that fits on a server.

    Parameters
    ----------
    chosen
        The experts; bool (X,).
    gain_ms
        What they gain together, ms per token.
    lost_ms
        The best set may gain so much more since the knapsack was too large to be solved exactly; 0
        otherwise.
    bound_ms
        No set gains more: ``gain_ms + lost_ms`` and an allowance for rounding.
    """

    chosen: NDArray[np.bool_]
    gain_ms: float
    lost_ms: float
    bound_ms: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coverage:
    """The clauses of an instance with K = 1, and its servers.

    Parameters
    ----------
    weight, expert, server_set
        Saving, flat expert and server set of each clause; (C,).
    holds_server
        ``holds_server[n, s]``: server set s holds server n; bool (N, S).
    set_offsets, set_servers
        The same as lists: set s is ``set_servers[set_offsets[s] : set_offsets[s + 1]]``.
    expert_bytes, capacity_bytes
        Sizes of experts (X,) and storage of servers (N,), bytes.
    order
        Servers, those first whose clauses are worth most, then those with more storage; (N,).
    rounding, vanished_ms
        Relative and absolute error that :meth:`bound_ms` allows for.
    """

    weight: NDArray[np.float64]
    expert: NDArray[np.int64]
    server_set: NDArray[np.int64]
    holds_server: NDArray[np.bool_]
    set_offsets: NDArray[np.int64]
    set_servers: NDArray[np.int64]
    expert_bytes: NDArray[np.int64]
    capacity_bytes: NDArray[np.int64]
    order: NDArray[np.int64]
    rounding: float
    vanished_ms: float

    @classmethod
    def of(cls, instance: Instance) -> "Coverage":
        """Bring an instance with K = 1 into this form.

        Raises
        ------
        ValueError
            When a clause has more than one expert.
        """
        clauses = build_clauses(instance)
        if clauses.largest_itemset > 1:
            raise ValueError(f"a clause has {clauses.largest_itemset} experts")
        worth = np.bincount(
            clauses.server_set, weights=clauses.weight, minlength=clauses.server_sets.shape[0]
        )
        roundings = (
            instance.num_rows + 2 * len(clauses) + instance.num_experts + instance.num_servers + 8
        )
        return cls(
            weight=clauses.weight,
            expert=clauses.itemset_experts[clauses.itemset_offsets[clauses.itemset]],
            server_set=clauses.server_set,
            holds_server=np.ascontiguousarray(clauses.server_sets.T),
            set_offsets=np.concatenate([[0], np.cumsum(clauses.server_sets.sum(axis=1))]),
            set_servers=np.ascontiguousarray(np.nonzero(clauses.server_sets)[1]),
            expert_bytes=instance.expert_bytes,
            capacity_bytes=instance.capacity_bytes,
            order=np.lexsort((-instance.capacity_bytes, -(worth @ clauses.server_sets))),
            rounding=roundings * 2.0**-52,
            vanished_ms=vanished_ms(instance),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Servers and experts, (N, X)."""
        return self.capacity_bytes.size, self.expert_bytes.size

    def unmet_ms(self, absent: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each clause's weight times the probability that it is not satisfied; (C,).

        ``absent[n, x]`` is 1 - y[n, x].
        """
        unmet: NDArray[np.float64] = unmet_weight(
            self.weight, self.expert, self.server_set, self.set_offsets, self.set_servers, absent
        )
        return unmet

    def expected_saving_ms(self, absent: NDArray[np.float64]) -> float:
        """Return the multilinear extension Fbar(y), ms per token."""
        return float((self.weight - self.unmet_ms(absent)).sum())

    def saving_ms(self, stored: NDArray[np.bool_]) -> float:
        """Return the saving of a placement (N, X), ms per token."""
        return self.expected_saving_ms(np.where(stored, 0.0, 1.0))

    def expected_copies(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of y[n, x] over the servers of each clause's set; (C,)."""
        copies: NDArray[np.float64] = expected_copies(
            self.expert, self.server_set, self.set_offsets, self.set_servers, share
        )
        return copies

    def wanted_ms(self, server: int, multiplier: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum the multipliers of the clauses that a server can serve, by expert; (X,).

        With the unmet weights at y as multipliers this is (1 - y[n, x]) times the derivative of
        Fbar by y[n, x].
        """
        total: NDArray[np.float64] = sum_by_expert(
            multiplier,
            self.expert,
            self.server_set,
            self.holds_server[server],
            self.expert_bytes.size,
        )
        return total

    def useful_ms(self) -> NDArray[np.float64]:
        """Return what each expert gains alone on each server, 0 where it does not fit; (N, X)."""
        useful = np.zeros(self.shape)
        for server, capacity in enumerate(self.capacity_bytes):
            wanted = self.wanted_ms(server, self.weight)
            useful[server] = np.where(self.expert_bytes <= capacity, wanted, 0.0)
        return useful

    def scale(
        self, server: int, multiplier: NDArray[np.float64], factor: NDArray[np.float64]
    ) -> None:
        """Multiply, in place, what clauses within reach of a server have by ``factor[expert]``."""
        scale_by_expert(multiplier, self.expert, self.server_set, self.holds_server[server], factor)

    def best_configuration(
        self,
        server: int,
        gain_ms: NDArray[np.float64],
        *,
        tolerance: float = 0.0,
        node_budget: int = NODE_BUDGET,
    ) -> Configuration:
        """Choose the experts for a server that gain most together when gains (X,) add up.

        Sets that are better by less than the ``tolerance`` (relative) are not looked for; see
        :mod:`heuristics.knapsack_kernels`.
        """
        chosen, lost, rounding = best_configuration(
            gain_ms, self.expert_bytes, int(self.capacity_bytes[server]), node_budget, tolerance
        )
        total = float(gain_ms[chosen].sum())
        return Configuration(
            chosen=chosen, gain_ms=total, lost_ms=lost, bound_ms=total + lost + rounding
        )

    def bound_ms(self, multiplier: NDArray[np.float64]) -> float:
        """Return a certified upper bound on the saving of any placement, ms per token.

        For any multipliers a in 0 .. w,

            F <= sum of (w - a) + sum over n of the best total of a that fits on server n,

        since a clause that k servers satisfy is worth at most (w - a) + k a. Multipliers are
        clipped to that. The terms are non-negative, so the computed sum is off by at most the
        number of roundings on its way (those in the weights included) times 2^-53, relatively;
        twice that is added, and what products too small for a double may be worth. What knapsacks
        leave open, rounding included, is in their bounds.
        """
        multiplier = np.clip(multiplier, 0.0, self.weight)
        total = float((self.weight - multiplier).sum())
        for server in range(self.capacity_bytes.size):
            total += self.best_configuration(server, self.wanted_ms(server, multiplier)).bound_ms
        return sum_up([total * (1.0 + self.rounding), self.vanished_ms])

    def best_response(self, absent: NDArray[np.float64], server: int) -> Configuration:
        """Choose the experts for a server that gain most while the others stay as they are."""
        return self.best_configuration(server, self._gain_ms(absent, server))

    def round_off(
        self, absent: NDArray[np.float64], deadline: Deadline
    ) -> tuple[NDArray[np.bool_], float]:
        """Round y to a placement with F >= Fbar(y), provided that each y[n] mixes configurations.

        Server by server, given what those before it store and the probabilities of those after it,
        the configuration of the largest expected saving is chosen. Fbar is linear in y[n], so it is
        no worse than the average of those that y[n] mixes: the method of conditional expectations.
        Servers that are not reached in time stay empty.

        Returns
        -------
        tuple
            The placement, bool (N, X), and what may be lost against Fbar(y) since knapsacks were
            too large to be solved exactly, ms per token.
        """
        absent = absent.copy()
        stored = np.zeros(self.shape, dtype=np.bool_)
        lost = 0.0
        for server in self.order:
            if deadline.passed:
                break
            best = self.best_response(absent, server)
            lost += best.lost_ms
            stored[server] = best.chosen
            absent[server] = np.where(best.chosen, 0.0, 1.0)
        return stored, lost

    def improve(self, stored: NDArray[np.bool_], deadline: Deadline) -> NDArray[np.bool_]:
        """Replace what a server stores by its best response until no server gains."""
        stored = stored.copy()
        absent = np.where(stored, 0.0, 1.0)
        content = 0  # servers in a row that keep what they have
        while content < self.order.size:
            for server in self.order:
                if content == self.order.size or deadline.passed:
                    return stored
                gain = self._gain_ms(absent, server)
                best = self.best_configuration(server, gain)
                content += 1
                if best.gain_ms > float(gain[stored[server]].sum()) * (1.0 + _WORTH_A_CHANGE):
                    stored[server] = best.chosen
                    absent[server] = np.where(best.chosen, 0.0, 1.0)
                    content = 1
        return stored

    def _gain_ms(self, absent: NDArray[np.float64], server: int) -> NDArray[np.float64]:
        """Return what storing each expert on an otherwise empty server gains; (X,)."""
        others = absent.copy()
        others[server] = 1.0
        return self.wanted_ms(server, self.unmet_ms(others))
