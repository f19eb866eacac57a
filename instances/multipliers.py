r"""Multipliers: numbers that prove a bound, whoever found them and however.

For all alpha, pi, lambda >= 0 and every feasible placement,

    F <= sum over c of (w[c] - sum over i of alpha[c,i])+
         + sum over (S,i) of (sum over c of alpha[c,i] - pi[S,i])+
         + sum over (n,i) of (sum over S with n of pi[S,i] - lambda[n] s[i])+
         + sum over n of lambda[n] Q[n],

c being the clauses (w, S, A), i in A. Only servers into which an expert fits count for it, and Q[n]
may be rounded down to a multiple of the greatest common divisor of the sizes on that server. Proof:
docs/theory.md, section 7.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.multiplier_kernels import add_loads, fit_pairs, share_weights
from instances.problem import Instance
from instances.rounding_up import round_up
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.storage import usable_bytes
from instances.structure.upper_weights import UpperWeights, upper_weights

_POLISHING_ROUNDS = 3
"""Rounds in which :meth:`DualForm.tightened` goes over all multipliers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Multipliers:
    """Multipliers of a :class:`DualForm`.

    Parameters
    ----------
    alpha_ms
        One for each entry (clause, expert), ms per token; float64 (P,).
    pi_ms
        One for each pair (server set, expert), ms per token; float64 (Y,).
    price_ms
        lambda of each server, ms per token and byte; float64 (N,).
    """

    alpha_ms: NDArray[np.float64]
    pi_ms: NDArray[np.float64]
    price_ms: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DualForm:
    """The clauses of an instance as the multipliers see them: C clauses, P entries, Y pairs.

    Parameters
    ----------
    upper
        How the weights were rounded up.
    weight_ms
        Weight of each clause, a multiple of a unit, 0 where no placement satisfies it;
        float64 (C,).
    entry_offsets, entry_clause, entry_pair
        Clause c has the entries ``entry_offsets[c]:entry_offsets[c + 1]``, one for each of its
        experts in ascending order; the clause and the pair of each entry; int64 (C + 1,), (P,).
    pair_set, pair_expert
        Server set and flat expert of each pair; int64 (Y,).
    pair_offsets, pair_servers
        The servers of the set into which the expert fits:
        ``pair_servers[pair_offsets[p]:pair_offsets[p + 1]]``; int64 (Y + 1,), (any,).
    server_sets
        ``server_sets[s, n]``: server n belongs to set s; bool (S, N).
    expert_bytes, capacity_bytes
        Sizes (X,) and storage (N,), bytes; int64.
    usable_bytes
        Storage that experts can fill: rounded down to a multiple of the greatest common divisor of
        the sizes of the experts that the server's pairs have; int64 (N,).
    """

    upper: UpperWeights
    weight_ms: NDArray[np.float64]
    entry_offsets: NDArray[np.int64]
    entry_clause: NDArray[np.int64]
    entry_pair: NDArray[np.int64]
    pair_set: NDArray[np.int64]
    pair_expert: NDArray[np.int64]
    pair_offsets: NDArray[np.int64]
    pair_servers: NDArray[np.int64]
    server_sets: NDArray[np.bool_]
    expert_bytes: NDArray[np.int64]
    capacity_bytes: NDArray[np.int64]
    usable_bytes: NDArray[np.int64]

    @classmethod
    def of(cls, instance: Instance, clauses: Clauses | None = None) -> "DualForm":
        """Bring an instance into this form; its clauses are built unless they are given."""
        clauses = build_clauses(instance) if clauses is None else clauses
        upper = upper_weights(instance, clauses)
        lengths = np.diff(clauses.itemset_offsets)[clauses.itemset]
        entry_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entry_clause = np.repeat(np.arange(len(clauses)), lengths)
        within = np.arange(entry_clause.size) - entry_offsets[entry_clause]
        first = clauses.itemset_offsets[clauses.itemset[entry_clause]]
        expert = clauses.itemset_experts[first + within]
        key, entry_pair = np.unique(
            clauses.server_set[entry_clause] * instance.num_experts + expert, return_inverse=True
        )
        pair_set, pair_expert = np.divmod(key, instance.num_experts)
        in_reach = clauses.server_sets[pair_set] & (
            instance.expert_bytes[pair_expert][:, None] <= instance.capacity_bytes
        )
        pair, pair_servers = np.nonzero(in_reach)
        usable = instance.capacity_bytes.copy()
        for server in range(instance.num_servers):
            sizes = instance.expert_bytes[pair_expert[pair[pair_servers == server]]]
            usable[server] = usable_bytes(int(usable[server]), sizes)
        return cls(
            upper=upper,
            weight_ms=upper.weight_ms,
            entry_offsets=entry_offsets,
            entry_clause=entry_clause,
            entry_pair=entry_pair,
            pair_set=pair_set,
            pair_expert=pair_expert,
            pair_offsets=np.searchsorted(pair, np.arange(key.size + 1)).astype(np.int64),
            pair_servers=pair_servers,
            server_sets=clauses.server_sets,
            expert_bytes=instance.expert_bytes,
            capacity_bytes=instance.capacity_bytes,
            usable_bytes=usable,
        )

    def check_shape(self, multipliers: object) -> None:
        """Check that something is as many multipliers as there are in this form.

        Raises
        ------
        InputError
            When it is not.
        """
        if not isinstance(multipliers, Multipliers):
            raise InputError("multipliers", f"{multipliers!r} is not {Multipliers.__name__}")
        for name, needed in (
            ("alpha_ms", self.entry_pair.size),
            ("pi_ms", self.pair_expert.size),
            ("price_ms", self.capacity_bytes.size),
        ):
            shape = getattr(multipliers, name).shape
            if shape != (needed,):
                raise InputError(f"multipliers.{name}", f"shape {shape} is not {(needed,)}")

    def even_multipliers(self) -> Multipliers:
        """Return simple multipliers: each clause asks its experts evenly, and the servers in reach.

        They prove a bound in no time, better than the total weight as a rule.
        """
        lengths = np.diff(self.entry_offsets)[self.entry_clause]
        alpha = self.weight_ms[self.entry_clause] / lengths
        demand = np.bincount(self.entry_pair, weights=alpha, minlength=self.pair_expert.size)
        return self._priced(alpha, demand / np.maximum(np.diff(self.pair_offsets), 1))

    def _priced(self, alpha: NDArray[np.float64], pi: NDArray[np.float64]) -> Multipliers:
        return Multipliers(alpha_ms=alpha, pi_ms=pi, price_ms=self._best_price(self._loads(pi)))

    def tightened(self, multipliers: Multipliers) -> tuple[float, Multipliers]:
        """Return a certified bound, ms per token, and the multipliers that prove it.

        The given ones are clipped and improved where that is free: no clause gives away more or
        less than its weight, no pi exceeds what is asked of it, no price leaves storage idle. All
        of them end as multiples of the unit, so that the bound is exact but for its last rounding,
        which is upwards.
        """
        down = self.upper.down
        cap = self.weight_ms[self.entry_clause]
        alpha = down(np.minimum(multipliers.alpha_ms, cap))
        total = math.fsum(self.weight_ms)
        pi = down(np.minimum(multipliers.pi_ms, total))
        price = np.maximum(multipliers.price_ms, 0.0)
        # nothing paid for storage: at most the total weight
        idle = Multipliers(
            alpha_ms=np.zeros(alpha.size), pi_ms=np.zeros(pi.size), price_ms=np.zeros(price.size)
        )
        best = self.upper.bound_ms(total), idle
        for _ in range(_POLISHING_ROUNDS):
            demand = np.bincount(self.entry_pair, weights=alpha, minlength=pi.size)
            share_weights(
                self.weight_ms,
                self.entry_offsets,
                self.entry_pair,
                alpha,
                pi,
                demand,
                self.upper.unit_ms,
            )
            np.minimum(pi, demand, out=pi)
            load = self._loads(pi)
            fit_pairs(
                demand,
                self.pair_expert,
                self.pair_offsets,
                self.pair_servers,
                self._cost(price),
                pi,
                load,
            )
            price = self._best_price(load)
            found = Multipliers(alpha_ms=alpha.copy(), pi_ms=pi.copy(), price_ms=price)
            bound = self._bound_ms(found, load)
            if bound < best[0]:
                best = bound, found
        return best

    def _bound_ms(self, multipliers: Multipliers, load: NDArray[np.float64]) -> float:
        """Evaluate the closed formula at multiples of the unit; ``load`` belongs to the pi."""
        alpha, pi, price = multipliers.alpha_ms, multipliers.pi_ms, multipliers.price_ms
        given = np.bincount(self.entry_clause, weights=alpha, minlength=self.weight_ms.size)
        demand = np.bincount(self.entry_pair, weights=alpha, minlength=pi.size)
        unpaid = np.maximum(load - self._cost(price), 0.0)
        storage = sum(
            (
                Fraction(p) * q
                for p, q in zip(price.tolist(), self.usable_bytes.tolist(), strict=True)
            ),
            Fraction(),
        )
        # Each of the first three is a sum of multiples of the unit of at most the total weight,
        # exact in doubles in any order.
        return self.upper.bound_ms(
            float(np.maximum(self.weight_ms - given, 0.0).sum()),
            float(np.maximum(demand - pi, 0.0).sum()),
            *np.sum(unpaid, axis=1).tolist(),
            round_up(storage),
        )

    def _loads(self, pi: NDArray[np.float64]) -> NDArray[np.float64]:
        shape = self.capacity_bytes.size, self.expert_bytes.size
        load: NDArray[np.float64] = add_loads(
            self.pair_expert, self.pair_offsets, self.pair_servers, pi, *shape
        )
        return load

    def _cost(self, price: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return multiples of the unit not above price * size; (N, X)."""
        exact_or_below = np.nextafter(price[:, None] * self.expert_bytes, 0.0)
        return self.upper.down(np.minimum(exact_or_below, self.upper.largest_ms / 2))

    def _best_price(self, load: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each server the price at which the bound is least for these loads; (N,).

        The value per byte of the expert that is the first not to fit, taken in falling order.
        """
        price = np.zeros(self.capacity_bytes.size)
        for server, usable in enumerate(self.usable_bytes):
            wanted = np.flatnonzero(load[server])
            density = load[server, wanted] / self.expert_bytes[wanted]
            order = np.argsort(-density, kind="stable")
            full = np.cumsum(self.expert_bytes[wanted[order]]) > usable
            if full.any():
                price[server] = density[order[int(np.argmax(full))]]
        return price
