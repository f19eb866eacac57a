"""Exact beyond layer enumeration: only what can be part of an optimum, by prices of storage.

Prices bound the saving: every layer takes its best placement at these prices, plus the price of all
storage. Every placement's value is this bound minus the losses of its layers minus the price of
storage that stays unused. So with a budget on the loss few placements of each layer are left; all
are enumerated, and summed up over the layers (docs/theory.md, section 12).
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from formulations.start import check_start
from formulations.within_gap.allowances import Allowance, allowance, constant
from formulations.within_gap.combination import Combination, GaveUpError
from formulations.within_gap.option_kernels import share_out
from formulations.within_gap.options import Options, PricedLayer
from formulations.within_gap.packing import MAX_BITS, Packing, bits_needed
from formulations.within_gap.prices import find_prices
from formulations.within_gap.projections import (
    MAX_CELLS,
    MAX_TABLE_BYTES,
    Projection,
    num_cells,
    project,
    rests,
    rests_of_uses,
    select,
)
from formulations.within_gap.storage import Storage, storage_of
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import OnProgress, Outcome, StopReason
from instances.structure.label_pricing import MAX_LABEL_SERVERS, LabelPricer

FIRST_SHARE = 2e-4
"""First budget as a share of the bound, or a part of the gap where that is less."""

GROWTHS = ((1000, 2.0), (4000, 1.5))
"""Growth of the budget from round to round while there are at most so many options."""

SLOW_GROWTH = 1.25
"""Growth when there are more: their number grows fast with the budget, and so does the work."""

STEPS = (0.25, 0.5, 0.75, 1.0)
"""Parts of what is not excluded yet of a budget, after which the sum of layers looks for a
placement: least losses are often well below the budget."""

BEAM = 3000
"""States kept when only a good placement within the budget is looked for."""

SCOUT = 300
"""States kept when any good placement will do."""

SCOUT_OPTIONS = 100
"""Options of each layer then."""

FAR = 3.0
"""Gap, in budgets, above which a placement is looked for beyond the budget."""


def column_enumeration(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Return a proven optimum, or the best placement and a certified bound when time is up.

    Exponential in the worst case; what counts is the least loss against the bound by prices, mostly
    some tenths of a percent, which falls as layers outnumber servers. Deterministic. All sums are
    exact on weights rounded up to a common unit, so every bound holds in exact arithmetic.

    Source: Lagrangian relaxation by layers; enumeration of columns within the gap: Baldacci,
    Christofides, Mingozzi 2008; docs/theory.md, section 12.

    Parameters
    ----------
    start
        A placement to start from; better ones are looked for on the way.
    on_progress
        Told of every better placement and every better bound.

    Raises
    ------
    InputError
        When the start does not fit.
    """
    del rng
    if start is not None:
        start.check_shape(instance)
        check_start(instance, start)
    return _Run(instance, start, Deadline.after(time_limit), on_progress).outcome()


class _Run:
    """One run: bound, best placement, and the least loss that is not excluded."""

    def __init__(
        self,
        instance: Instance,
        start: Placement | None,
        deadline: Deadline,
        on_progress: OnProgress | None,
    ) -> None:
        self.deadline = deadline
        self.on_progress = on_progress
        self.storage: Storage = storage_of(instance)
        self.best = Placement(self.storage.settled)
        self.best_ms = self.storage.clauses.saving_ms(self.best)
        if start is not None and self.storage.clauses.saving_ms(start) > self.best_ms:
            self.best, self.best_ms = start, self.storage.clauses.saving_ms(start)
        self.top_ms = self.storage.settled_ms + self.storage.worth_ms  # before any price
        self.excluded_ms = 0.0
        self.layers: list[PricedLayer] = []
        self.tops: list[float] = []
        self.price = np.zeros(self.storage.servers.size)
        self.packing = Packing(self.storage.capacity)

    def outcome(self) -> Outcome:
        """Enumerate until the best placement is proven best, or nothing more can be done."""
        reason = "every layer is settled beforehand"
        if self.storage.layers:
            try:
                reason = self.enumerate()
            except GaveUpError:
                reason = "time is up" if self.deadline.passed else "too many partial sums"
        if self.gap_ms <= 0.0:
            return self.told(StopReason.COMPLETED, reason, is_proven=True)
        stopped = StopReason.TIME_LIMIT if self.deadline.passed else StopReason.MEMORY_LIMIT
        return self.told(stopped, f"{reason}; losses up to {self.excluded_ms:.3g} ms are excluded")

    @property
    def gap_ms(self) -> float:
        """What the bound is above the best placement; exact."""
        return self.top_ms - self.excluded_ms - self.best_ms

    def told(self, stop: StopReason, reason: str, *, is_proven: bool = False) -> Outcome:
        """Say what is known."""
        above = self.best_ms if is_proven else self.top_ms - self.excluded_ms
        return Outcome(
            stop_reason=stop,
            placement=self.best,
            proven_optimal=is_proven,
            bound_saving_ms=self.storage.upper.bound_ms(above),
            bound_certified=True,
            claimed_saving_ms=self.best_ms,
            reason=reason,
        )

    def tell(self) -> None:
        """Tell of progress."""
        if self.on_progress is not None:
            self.on_progress(self.told(StopReason.TIME_LIMIT, ""))

    def exclude(self, loss_ms: float) -> None:
        """No placement loses less than this."""
        if loss_ms > self.excluded_ms:
            self.excluded_ms = loss_ms
            self.tell()

    def improve(self, placement: Placement) -> None:
        """Keep a placement that is better."""
        value = self.storage.clauses.saving_ms(placement)
        if value > self.best_ms:
            self.best, self.best_ms = placement, value
            self.tell()

    # -- prices -----------------------------------------------------------------------------

    def set_prices(self) -> None:
        """Find prices, and the largest value less price of every layer at them."""
        storage, down = self.storage, self.storage.upper.down
        pricers = tuple(LabelPricer(layer) for layer in storage.layers)
        prices = find_prices(storage, pricers, self.deadline)
        if prices is None:
            raise GaveUpError
        self.improve(self.assembled(prices.rounded))
        self.price = down(prices.price)
        if self.price @ storage.capacity > storage.worth_ms:  # sums would not be exact
            self.price = np.zeros_like(self.price)
        for number, layer in enumerate(storage.layers):
            split, rent = down(prices.split[number]), down(prices.rent[number])
            share_out(layer.weight, layer.offsets, split)
            rent = down(rent / layer.capacity_bytes)
            if rent @ layer.capacity_bytes > storage.worth_ms:
                rent = np.zeros_like(rent)
            position = storage.position(layer)
            self.layers.append(
                PricedLayer(
                    layer=layer,
                    pricer=pricers[number],
                    position=position,
                    price=self.price[position],
                    rent=rent,
                    split=split,
                    packing=self.packing,
                )
            )
        for priced, part in zip(self.layers, prices.best, strict=True):
            self.tops.append(self.largest(priced, max(0.0, priced.value_ms(part))))
        top_ms = math.fsum([*self.tops, storage.settled_ms, self.price @ storage.capacity])
        if top_ms < self.top_ms:
            self.top_ms = top_ms
            self.tell()

    def largest(self, priced: PricedLayer, known_ms: float) -> float:
        """Return the largest value less price of a layer; at least ``known_ms``."""
        bound = min(priced.bound_ms(), priced.layer.worth_ms)
        if bound <= known_ms:
            return known_ms
        found = priced.options(known_ms, constant(0.0, priced.layer.sizes.size), self.deadline)
        return bound if found is None else known_ms - float(found.loss.min(initial=0.0))

    # -- rounds -----------------------------------------------------------------------------

    def enumerate(self) -> str:
        """Enumerate with growing budgets; returns why it ended."""
        self.set_prices()
        if self.top_ms < math.fsum(
            [*self.tops, self.storage.settled_ms, self.price @ self.storage.capacity]
        ):
            return "prices do not bound the saving better than the worth of everything"
        budget = self.first_budget()
        while self.gap_ms > 0.0:
            budget = min(budget, self.top_ms - self.best_ms)
            options = self.options_within(budget)
            if options is None:
                return "time is up" if self.deadline.passed else "a layer has too many placements"
            if self.gap_ms > FAR * budget:
                self.scout(options)
            self.sum_up(options, budget)
            budget = self.down(growth(sum(layer.key.size for layer in options)) * budget)
        return "every placement that could save more is excluded"

    def options_within(self, budget: float) -> list[Options] | None:
        """Return all options that can be part of a placement that loses at most the budget.

        None when there are too many, or time is up. Layers are ordered by their number of options.
        """
        half = self.down(budget / 2)
        small = self.options([constant(half, layer.layer.sizes.size) for layer in self.layers])
        if small is None:
            return None
        found = self.options(self.allowances(small, half, budget))
        if found is None:
            return None
        order = sorted(range(len(found)), key=lambda number: (found[number].key.size, number))
        self.layers = [self.layers[number] for number in order]
        self.tops = [self.tops[number] for number in order]
        return [found[number] for number in order]

    def allowances(self, small: Sequence[Options], known: float, budget: float) -> list[Allowance]:
        """Return what layers may lose; ``small`` are all options that lose at most ``known``."""
        servers = range(self.price.size)
        sizes = [layer.layer.sizes for layer in self.layers]
        found: list[tuple[int, ...]] = []
        rests: list[list[NDArray[np.float64]]] = []
        for count in (1, 2):
            for few in itertools.combinations(servers, count):
                made = self.project(few, small, known)
                if made is not None:
                    found.append(few)
                    rests.append(rests_of_uses(made, small, sizes, known))
        return [
            allowance(layer.position, size, found, [rest[k] for rest in rests], known, budget)
            if np.all(size == size[0])
            else constant(budget, size.size)
            for k, (layer, size) in enumerate(zip(self.layers, sizes, strict=True))
        ]

    def down(self, value_ms: float) -> float:
        """Round down to a multiple of the unit of weights."""
        return float(self.storage.upper.down(np.array([value_ms]))[0])

    def first_budget(self) -> float:
        """Return the first budget, at least one unit of weights."""
        return max(
            self.down(min(FIRST_SHARE * self.top_ms, self.gap_ms / 4)),
            2 * self.storage.upper.unit_ms,
        )

    def options(self, allowed: Sequence[Allowance]) -> list[Options] | None:
        """Enumerate the options of every layer; None when it takes too long."""
        found = []
        for priced, top, most in zip(self.layers, self.tops, allowed, strict=True):
            options = priced.options(top, most, self.deadline)
            if options is None:
                return None
            found.append(options)
        return found

    def scout(self, options: Sequence[Options]) -> None:
        """Look for a good placement of any loss among the options that lose least."""
        few = [layer.only(np.arange(min(layer.loss.size, SCOUT_OPTIONS))) for layer in options]
        gap = self.gap_ms + self.excluded_ms
        servers = range(self.price.size)
        singles = self.projected([(m,) for m in servers], few, gap)
        self.take(Combination(few, self.price, self.packing, singles), few, gap, SCOUT)

    def sum_up(self, options: Sequence[Options], budget: float) -> None:
        """Look for the least loss within a budget; excludes the budget when there is none."""
        servers = range(self.price.size)
        singles = self.projected([(m,) for m in servers], options, budget)
        if not self.narrowed(singles, budget):
            return
        two = list(itertools.combinations(servers, 2))
        pairs = self.projected(two, options, budget)
        if not self.narrowed(pairs, budget):
            return
        kept = self.fixed(options, [*singles, *pairs], budget)
        pairs = self.projected(two, kept, budget)
        if not self.narrowed(pairs, budget):
            return
        triples = self.projected(self.affordable(pairs), kept, budget)
        if not self.narrowed(triples, budget):
            return
        combination = Combination(kept, self.price, self.packing, [*singles, *pairs, *triples])
        self.take(combination, kept, budget, BEAM)
        budget = min(budget, self.top_ms - self.best_ms)
        begin = self.excluded_ms
        for step in STEPS:
            limit = begin + self.down(step * (budget - begin)) if step < STEPS[-1] else budget
            if self.take(combination, kept, limit, 0):
                self.exclude(self.top_ms - self.best_ms)
                return
            self.exclude(limit)

    def projected(
        self, sets: Sequence[tuple[int, ...]], options: Sequence[Options], budget: float
    ) -> list[Projection]:
        """Make projections; stops after one that leaves nothing within the budget."""
        found = []
        for servers in sets:
            made = self.project(servers, options, budget)
            if made is not None:
                found.append(made)
                if made.least_ms > budget:
                    break
        return found

    def project(
        self, servers: tuple[int, ...], options: Sequence[Options], budget: float
    ) -> Projection | None:
        """Make a projection; None when it is too large."""
        capacity = self.storage.capacity
        if num_cells(capacity, servers) > MAX_CELLS:
            return None
        made = project(options, self.price, capacity, servers, budget, self.deadline)
        if made is None:
            raise GaveUpError
        return made

    def narrowed(self, projections: Sequence[Projection], budget: float) -> bool:
        """Exclude what projections exclude; False when that is the whole budget."""
        least = max((projection.least_ms for projection in projections), default=0.0)
        self.exclude(min(least, budget))
        return least <= budget and self.gap_ms > 0.0

    def fixed(
        self, options: Sequence[Options], projections: Sequence[Projection], budget: float
    ) -> list[Options]:
        """Leave out options beside which the other layers lose too much."""
        kept = list(options)
        masks = [np.ones(layer.loss.size, dtype=np.bool_) for layer in kept]
        for projection in projections:
            if self.deadline.passed:
                raise GaveUpError
            for number, rest in enumerate(rests(projection, kept, budget)):
                masks[number] &= kept[number].loss + rest <= budget
        return [layer.only(mask) for layer, mask in zip(kept, masks, strict=True)]

    def affordable(self, pairs: Sequence[Projection]) -> list[tuple[int, ...]]:
        """Choose triples of servers whose tables fit into memory."""
        room = MAX_TABLE_BYTES
        chosen = []
        for triple in select(self.storage.capacity, pairs):
            room -= 8 * num_cells(self.storage.capacity, triple) * (len(self.layers) + 1)
            if room >= 0:
                chosen.append(triple)
        return chosen

    def take(
        self, combination: Combination, options: Sequence[Options], budget: float, width: int
    ) -> bool:
        """Keep the best sum of options within a budget, if there is one."""
        choice = combination.best(budget, width, self.deadline)
        if choice is None:
            return False
        parts: dict[int, NDArray[np.bool_]] = {}
        for priced, layer, option in zip(self.layers, options, choice.options, strict=True):
            parts[priced.layer.layer] = priced.part(layer.label[option])
        self.improve(self.assembled([parts[layer.layer] for layer in self.storage.layers]))
        return True

    def assembled(self, parts: Sequence[NDArray[np.bool_]]) -> Placement:
        """Put placements of all layers into one."""
        stored = np.zeros_like(self.storage.settled)
        for layer, part in zip(self.storage.layers, parts, strict=True):
            layer.paste(part, stored)
        return Placement(stored | self.storage.settled)


def growth(num_options: int) -> float:
    """Return the factor from one budget to the next."""
    return next((factor for most, factor in GROWTHS if num_options <= most), SLOW_GROWTH)


def _supports(instance: Instance) -> str | None:
    storage = storage_of(instance)
    most = max((layer.servers.size for layer in storage.layers), default=0)
    if most > MAX_LABEL_SERVERS:
        return f"a layer is wanted from {most} servers; at most {MAX_LABEL_SERVERS} are solved"
    bits = bits_needed(storage.capacity)
    if bits > MAX_BITS:
        return (
            f"storage of {storage.servers.size} servers in units of {storage.unit_bytes} bytes "
            f"takes {bits} bits; at most {MAX_BITS} are solved"
        )
    return None


COLUMN_ENUMERATION = Algorithm(
    name="column-enumeration",
    solve=column_enumeration,
    exact=True,
    summary="placements of each layer within the gap of a bound by prices, summed up exactly",
    source="Baldacci, Christofides, Mingozzi 2008; docs/theory.md, section 12",
    complexity="exponential in the gap between bound and optimum; mostly linear in users",
    supports=_supports,
)
