"""Dantzig-Wolfe by layer: columns are whole layers, the master shares out the storage."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heuristics.generation.assembly import assemble
from heuristics.generation.pool import Pool, build_pool
from heuristics.generation.pricing import Pricer, pricer_for
from heuristics.improve import improved
from heuristics.row_search import most_clauses
from heuristics.search import Search, Stored
from heuristics.successive import server_order
from instances.deadline import Deadline
from instances.errors import InputError
from instances.parallel import mapped, require_threads
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee
from instances.result import Outcome, StopReason
from instances.rounding_up import round_up, sum_up
from instances.structure.clauses import build_clauses
from instances.structure.column_master import Column, Master, Mix
from instances.structure.label_pricing import TOLERANCE, Priced
from instances.structure.layer_problem import LayerProblem, layer_problems
from instances.structure.storage import usable_bytes
from instances.structure.upper_weights import bound_of_computed

FIRST_PRICES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Uniform prices of the first columns, in worth of everything per byte of all storage."""

GENERATION_SHARE = 0.6
"""Share of a time limit after which no more columns are generated."""

_CONVERGED = 1e-8
"""Relative distance of bound and master value at which generation ends."""

MAX_ENTRIES = 32_000_000
"""Experts in all clauses: pricing holds about 90 bytes of each, and goes through them in every one
of some hundred steps for each price."""

_STALLED = 10
"""Rounds without a new column after which generation ends where pricing was not exact."""


class IntegerMaster(Protocol):
    """Chooses columns; handed in, since heuristics import no solver."""

    def __call__(
        self,
        value_ms: NDArray[np.float64],
        used_bytes: NDArray[np.int64],
        layer: NDArray[np.int64],
        capacity_bytes: NDArray[np.int64],
        *,
        time_limit: float | None,
    ) -> NDArray[np.int64] | None:
        """Return the columns of a good selection, at most one of each layer; None if none is found.

        ``value_ms`` and ``layer`` have shape (columns,), ``used_bytes`` (columns, N),
        ``capacity_bytes`` (N,).
        """


def layer_generation(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    threads: int = 1,
    integer_master: IntegerMaster | None = None,
) -> Outcome:
    """F >= LP - (sum of the N largest values of a layer) when pricing is exact, and then LP >= OPT.

    So F / OPT tends to 1 as layers of bounded value outnumber servers, for every K. A column is one
    layer's placement on all servers; the master mixes columns within each server's storage and has
    a basic optimum with at most N fractional layers (as many as servers are full). Pricing looks
    for the best placement of each layer alone at the master's prices, exactly where the layer has
    at most 10 servers and its search stays small; the outcome's reason says whether it was. The sum
    of what the layers are worth at most, plus the price of all storage, is a proven bound.

    The whole columns of the master are kept, and the fractional layers are filled in greedily;
    placements of each layer that lose little at the prices are gathered around its columns, and a
    large-neighbourhood search chooses among them; then servers respond one at a time. A pass of
    the successive method is a second start, and the moves of improve come last.

    Time: rounds x layers x (E M 2^M + clauses) x 50 or so for M servers in reach of a layer, where
    the search over labels stays small; some ten rounds for three servers, thirty for eight.

    Source: Dantzig and Wolfe 1960; large neighbourhoods: Shaw 1998. Proof: docs/theory.md, G5.

    Parameters
    ----------
    threads
        Threads that price layers and gather their columns side by side; the answer is the same for
        any number of them, as long as time does not run out.
    integer_master
        Solves the integer master over the gathered columns; by default the search does alone.

    Raises
    ------
    InputError
        When ``integer_master`` is not a function, or there are no threads.
    ValueError
        When it chooses two columns of a layer, or more than fits.
    """
    if integer_master is not None and not callable(integer_master):
        raise InputError("integer_master", f"{integer_master!r} is not a function")
    threads = require_threads(threads)
    deadline = Deadline.after(time_limit)
    if deadline.passed:
        return Outcome(
            stop_reason=StopReason.TIME_LIMIT,
            placement=Placement.empty(instance),
            proven_optimal=False,
            reason="no time to list the clauses",
        )
    generation = _Generation(instance, deadline, threads)
    return generation.run(rng, time_limit, integer_master)


@dataclass(slots=True, eq=False)
class _Bound:
    """The best proven bound so far, and the prices at which it was found."""

    saving_ms: float = math.inf
    price: NDArray[np.float64] | None = None


class _Generation:
    """One run: columns first, then whole placements."""

    def __init__(self, instance: Instance, deadline: Deadline, threads: int) -> None:
        self.instance = instance
        self.deadline = deadline
        self.threads = threads
        clauses = build_clauses(instance)
        self.search = Search(instance, clauses, deadline)
        self.problems: list[LayerProblem] = layer_problems(instance, clauses)
        self.pricers: list[Pricer] = [pricer_for(problem) for problem in self.problems]
        self.worth_ms = math.fsum(problem.worth_ms for problem in self.problems)
        self.usable_bytes = _usable_bytes(instance, self.problems)
        self.bound = _Bound()
        self.rounds = 0
        self.is_exact = False
        self.is_cut_short = False

    def run(
        self,
        rng: np.random.Generator,
        time_limit: float | None,
        integer_master: IntegerMaster | None,
    ) -> Outcome:
        """Generate, assemble, improve."""
        empty = np.zeros((self.instance.num_servers, self.instance.num_experts), dtype=np.bool_)
        if not self.problems:
            return Outcome(
                stop_reason=StopReason.COMPLETED,
                placement=Placement(empty),
                proven_optimal=False,
                bound_saving_ms=bound_of_computed(self.instance, 0.0),
                bound_certified=True,
                reason="no server can serve any demand",
            )
        order = server_order(self.instance, None)
        best = self.search.rebuilt(empty, order)
        master = Master(self.usable_bytes, len(self.problems), self.worth_ms)
        until = Deadline.after(
            None if time_limit is None else GENERATION_SHARE * self.deadline.remaining
        )
        mix = self.generate(master, best, until)
        best = self.search.better(best, self.search.to_fixpoint(self.rounded(master, mix)))
        best = self.searched(master, mix, best, integer_master)
        if self.bound.saving_ms > self.search.saving(best):
            orders, rounds = (0, 10) if self.is_exact else (6, 60)
            best = improved(self.search, best, rng, orders=orders, rounds=rounds)
        return self.outcome(mix, best)

    # -- columns ----------------------------------------------------------------------------

    def generate(self, master: Master, start: Stored, until: Deadline) -> Mix:
        """Add columns until none has a positive reduced value; returns the last master optimum.

        It is optimal over all columns when the last pricing was exact. Otherwise the bound may
        still fall at prices between the master's and those of the best bound.
        """
        for number, problem in enumerate(self.problems):
            master.add(self.column(number, problem.cut(start)))
        storage = float(self.instance.capacity_bytes.sum())
        for factor in FIRST_PRICES:
            price = np.full(self.instance.num_servers, factor * self.worth_ms / storage)
            for column in self.priced(price, until)[0]:
                master.add(column)
        mix = master.solve()
        price = mix.price
        stalled = 0
        while not until.passed:
            self.rounds += 1
            fresh = 0
            columns, is_exact = self.priced(price, until)
            for column in columns:
                reduced = column.value_ms - float(mix.price @ column.used_bytes)
                noise = 10 * TOLERANCE * self.problems[column.problem].worth_ms
                if reduced > mix.rent_ms[column.problem] + noise:
                    fresh += master.add(column)
            self.is_exact = self.bound.saving_ms - mix.value_ms <= _CONVERGED * mix.value_ms or (
                fresh == 0 and is_exact and price is mix.price
            )
            if self.is_exact:
                break
            if fresh:
                mix = master.solve()
                price = mix.price
                continue
            stalled += 1
            best = self.bound.price
            if best is None or stalled > _STALLED or np.array_equal(price, best):
                break
            price = (price + best) / 2
        self.is_cut_short = until.passed
        return mix

    def priced(self, price: NDArray[np.float64], until: Deadline) -> tuple[list[Column], bool]:
        """Price every layer, and keep the bound that follows; returns columns and exactness.

        Stops when time is up, then some layers have no column.
        """

        def price_layer(number: int) -> Priced | None:
            if until.passed:
                return None
            return self.pricers[number].price(price[self.problems[number].servers], until)

        layers = mapped(price_layer, range(len(self.problems)), self.threads)
        found = [priced for priced in layers if priced is not None]
        columns = [
            self.column(number, priced.stored)
            for number, priced in enumerate(layers)
            if priced is not None
        ]
        if len(found) < len(layers):
            return columns, False
        storage = sum(
            (
                Fraction(p) * size
                for p, size in zip(price.tolist(), self.usable_bytes.tolist(), strict=True)
            ),
            Fraction(),
        )
        # F(X) = sum of (F_l(X) - price * bytes) + price * bytes <= sum of bounds + price * storage
        # for any prices >= 0. Pricing has added what it may have lost by rounding.
        bound = bound_of_computed(
            self.instance, sum_up([*(priced.bound_ms for priced in found), round_up(storage)])
        )
        if bound < self.bound.saving_ms:
            self.bound = _Bound(bound, price)
        return columns, all(priced.is_exact for priced in found)

    def column(self, number: int, part: Stored) -> Column:
        """Make a column of one layer's placement."""
        problem = self.problems[number]
        used = np.zeros(self.instance.num_servers, dtype=np.int64)
        used[problem.servers] = problem.used_bytes(part)
        return Column(problem=number, stored=part, value_ms=problem.value_ms(part), used_bytes=used)

    # -- whole placements -------------------------------------------------------------------

    def rounded(self, master: Master, mix: Mix) -> Stored:
        """Keep whole columns, drop fractional layers, and put in the best column that still fits.

        The checks in whole bytes make up for the rounding of the master's shares.
        """
        stored = np.zeros((self.instance.num_servers, self.instance.num_experts), dtype=np.bool_)
        free = self.instance.capacity_bytes.copy()
        placed: set[int] = set()
        whole = [master.columns[j] for j in mix.whole()]
        by_value = sorted(master.columns, key=lambda column: -column.value_ms)
        for column in [*sorted(whole, key=lambda column: -column.value_ms), *by_value]:
            if column.problem not in placed and np.all(column.used_bytes <= free):
                placed.add(column.problem)
                free -= column.used_bytes
                self.problems[column.problem].paste(column.stored, stored)
        return stored

    def searched(
        self, master: Master, mix: Mix, best: Stored, integer_master: IntegerMaster | None
    ) -> Stored:
        """Choose among the pools of all layers, then let servers respond, until nothing gains."""
        integer = integer_master
        while not self.deadline.passed:
            pools = self.pools(master, mix, best)
            capacity = self.instance.capacity_bytes
            choice = np.array(
                [
                    pool.index_of(self.column(number, problem.cut(best)).used_bytes)
                    for number, (pool, problem) in enumerate(zip(pools, self.problems, strict=True))
                ]
            )
            choice = assemble(pools, capacity, mix.price, choice, self.deadline)
            found = self.search.to_fixpoint(self.assembled(pools, choice))
            if integer is not None and not self.deadline.passed:
                found = self.search.better(
                    found, self.by_integer_master(pools, mix, found, integer)
                )
                integer = None  # once is enough: it is the most expensive step
            better = self.search.better(best, found)
            if better is best:
                return best
            best = better
        return best

    def pools(self, master: Master, mix: Mix, best: Stored) -> list[Pool]:
        """Gather placements of every layer that can be part of something better than ``best``."""
        seeds: list[list[Stored]] = [[problem.cut(best)] for problem in self.problems]
        for column in master.columns:
            seeds[column.problem].append(column.stored)
        slack = self.bound.saving_ms - self.search.saving(best)
        return mapped(
            lambda number: build_pool(self.problems[number], seeds[number], mix.price, slack),
            range(len(seeds)),
            self.threads,
        )

    def by_integer_master(
        self, pools: Sequence[Pool], mix: Mix, best: Stored, integer_master: IntegerMaster
    ) -> Stored:
        """Let the integer master choose among what could be part of something better."""
        slack = self.bound.saving_ms - self.search.saving(best)
        kept = [np.flatnonzero(pool.loss_ms <= slack) for pool in pools]
        value = np.concatenate([pool.value_ms[k] for pool, k in zip(pools, kept, strict=True)])
        used = np.concatenate([pool.used_bytes[k] for pool, k in zip(pools, kept, strict=True)])
        layer = np.repeat(np.arange(len(pools)), [k.size for k in kept])
        chosen = integer_master(
            value,
            used,
            layer,
            self.instance.capacity_bytes,
            time_limit=None if math.isinf(self.deadline.at) else self.deadline.remaining,
        )
        if chosen is None:
            return best
        if np.unique(layer[chosen]).size < len(chosen) or np.any(
            used[chosen].sum(axis=0) > self.instance.capacity_bytes
        ):
            raise ValueError("the integer master chose columns that do not fit together")
        stored = np.zeros_like(best)
        first = np.cumsum([0, *(k.size for k in kept)])
        for j in chosen:
            number = int(layer[j])
            part = pools[number].stored[kept[number][j - first[number]]]
            self.problems[number].paste(part, stored)
        return self.search.to_fixpoint(stored)

    def assembled(self, pools: Sequence[Pool], choice: NDArray[np.int64]) -> Stored:
        """Put the chosen placement of every layer into one."""
        stored = np.zeros((self.instance.num_servers, self.instance.num_experts), dtype=np.bool_)
        for problem, pool, i in zip(self.problems, pools, choice, strict=True):
            problem.paste(pool.stored[i], stored)
        return stored

    def outcome(self, mix: Mix, best: Stored) -> Outcome:
        """Say what is proven."""
        columns = f"{self.rounds} rounds{', cut short' if self.is_cut_short else ''}"
        if self.is_exact:
            proof = f"exact pricing in the last: bound {self.bound.saving_ms:.6g} ms"
        elif math.isfinite(self.bound.saving_ms):
            proof = f"pricing bounded, not exact: bound {self.bound.saving_ms:.6g} ms"
        else:
            proof = "pricing heuristic: no bound"
        ended = self.deadline.passed or self.is_cut_short
        return Outcome(
            stop_reason=StopReason.TIME_LIMIT if ended else StopReason.COMPLETED,
            placement=Placement(best),
            proven_optimal=False,
            bound_saving_ms=self.bound.saving_ms,
            bound_certified=math.isfinite(self.bound.saving_ms),
            reason=f"{columns}; {proof}; master {mix.value_ms:.6g} ms",
        )


def _usable_bytes(instance: Instance, problems: Sequence[LayerProblem]) -> NDArray[np.int64]:
    """Return the storage of each server that the layers can fill; int64 (N,)."""
    usable = instance.capacity_bytes.copy()
    for server, capacity in enumerate(instance.capacity_bytes.tolist()):
        sizes = [problem.sizes for problem in problems if server in problem.servers]
        if sizes:
            usable[server] = usable_bytes(capacity, np.unique(np.concatenate(sizes)))
    return usable


def _supports(instance: Instance) -> str | None:
    entries = most_clauses(instance) * instance.top_k
    if entries > MAX_ENTRIES:
        return (
            f"up to {entries} experts in all clauses (rows x servers in reach x top_k), which take "
            f"about 90 bytes each; the limit is {MAX_ENTRIES}"
        )
    return None


def _no_ratio(instance: Instance) -> None:
    """Return None: the ratio follows from the bound of a run, not from the instance alone."""


LAYER_GENERATION = Algorithm(
    name="layer-generation",
    solve=layer_generation,
    exact=False,
    summary="column generation by layer, whole placements from the columns; reports a bound",
    source="Dantzig and Wolfe 1960; docs/theory.md, G5",
    complexity="rounds x layers x (E M 2^M + clauses), M servers in reach of a layer",
    supports=_supports,
    guarantee=Guarantee(
        formula="F >= LP - (sum of the N largest layer values), LP >= OPT",
        scope="runs that complete with exact pricing; the outcome states the bound",
        source="docs/theory.md, G5",
        ratio=_no_ratio,
    ),
    randomised=True,
    supplied=("integer_master",),
)
