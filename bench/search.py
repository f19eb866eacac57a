"""A random search for bad instances: small ones, solved exactly, changed a little at a time.

For every method it climbs towards the smallest ratio F / OPT, once where the method claims a ratio
and once where it claims nothing. Each climb gets the same share of the time.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from bench.contradictions import OPTIMUM_TOLERANCE
from bench.mutation import mutated
from bench.summary import ratio_to_optimum
from bench.warmup import warm
from instances.draws import Draws
from instances.evaluation import evaluate
from instances.families.sampling import draw_small_instance
from instances.problem import Instance
from instances.registry import Algorithm, run
from instances.result import Status, StopReason, judge
from instances.structure.exhaustive import best_placement, why_not_exhaustive

MOST_PLACEMENTS = 50_000
"""Combinations that the oracle tries for one instance: milliseconds."""

PATIENCE = 60
"""Changes in a row without a smaller value, after which a climb starts anew."""

TRIES = 40
"""Random instances looked at for one of the kind that is wanted."""

MISSES = 5
"""Times that so many tries may all fail before a climb that never began is given up."""

CLAIMED, UNCLAIMED = "claimed", "unclaimed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A method on an instance with known optimum.

    Parameters
    ----------
    algorithm
        Name of the method.
    instance
        The instance.
    ratio
        F / OPT; 0 when the method gave no feasible placement.
    bound
        The ratio that it claims there; NaN when it claims nothing.
    saving_ms, optimum_ms
        What it saves and what can be saved, ms per token.
    problem
        What is wrong with its answer, when something is; empty otherwise.
    """

    algorithm: str
    instance: Instance
    ratio: float
    bound: float
    saving_ms: float
    optimum_ms: float
    problem: str = ""

    @property
    def broken(self) -> bool:
        """Whether the method broke its word."""
        return bool(self.problem) or self.ratio < self.bound * (1 - OPTIMUM_TOLERANCE)

    @property
    def kind(self) -> str:
        """Whether the method claims a ratio above 0 there."""
        return CLAIMED if self.bound > 0 else UNCLAIMED


@dataclass(slots=True)
class Climb:
    """One method's way towards its worst instance of one kind.

    Parameters
    ----------
    algorithm, kind
        The method, and whether it claims a ratio there.
    draws
        Where every random number comes from.
    tried, seconds
        Steps made, and the time that they took.
    worst, broken
        The smallest ratio so far, and the first broken claim.
    """

    algorithm: Algorithm
    kind: str
    draws: Draws
    tried: int = 0
    seconds: float = 0.0
    worst: Found | None = None
    broken: Found | None = None
    _current: Found | None = None
    _failures: int = 0
    _misses: int = 0

    @property
    def hopeless(self) -> bool:
        """Whether no instance of the kind turns up: a method that claims something everywhere."""
        return self.worst is None and self._misses >= MISSES

    def step(self) -> None:
        """Try one more instance."""
        if self._current is not None and self._failures < PATIENCE:
            candidate = mutated(self._current.instance, self.draws)
            found = try_out(self.algorithm, candidate)
            self._failures += 1
            if found is None or found.kind != self.kind or found.ratio > self._current.ratio:
                found = None
            elif found.ratio < self._current.ratio:
                self._failures = 0
        else:
            found = self._anew()
        self.tried += 1
        if found is None:
            return
        self._current = found
        if self.worst is None or found.ratio < self.worst.ratio:
            self.worst = found
        if found.broken and self.broken is None:
            self.broken = found

    def _anew(self) -> Found | None:
        """Draw instances until the method claims something (or nothing) on one."""
        self._failures = 0
        for _ in range(TRIES):
            name = f"random-{self.draws.integer(10**9)}"
            instance = draw_small_instance(
                self.draws,
                name,
                top_k=1 if self.draws.chance(0.5) else None,
                servers=1 if self.draws.chance(0.3) else None,
                ties=self.draws.chance(0.5),
            )
            if _kind(self.algorithm, instance) == self.kind:
                return try_out(self.algorithm, instance)
        self._misses += 1
        return None


@dataclass(slots=True)
class Search:
    """A search over several methods.

    Parameters
    ----------
    algorithms
        The methods.
    seed
        The same seed tries the same instances in the same order; how many depends on the time.
    """

    algorithms: Iterable[Algorithm]
    seed: int
    climbs: list[Climb] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.climbs = [
            Climb(algorithm, kind, Draws("search", algorithm.name, kind, self.seed))
            for algorithm in self.algorithms
            for kind in (CLAIMED, UNCLAIMED)
            if kind == UNCLAIMED or algorithm.exact or algorithm.guarantee is not None
        ]

    def run(self, seconds: float) -> None:
        """Go on for some time, and until every climb has begun or was given up.

        What a method needs to compile is not part of its share.
        """
        warm({climb.algorithm.name: climb.algorithm for climb in self.climbs}.values())
        end = time.monotonic() + seconds
        while pending := [
            climb
            for climb in self.climbs
            if not climb.hopeless and (climb.worst is None or time.monotonic() < end)
        ]:
            climb = min(pending, key=lambda each: each.seconds)
            before = time.monotonic()
            climb.step()
            climb.seconds += time.monotonic() - before

    @property
    def found(self) -> list[Found]:
        """The worst instance of each method and kind, renamed after it; broken claims first."""
        records = [
            replace(record, instance=_renamed(record, climb.kind))
            for climb in self.climbs
            if (record := climb.broken or climb.worst) is not None
        ]
        return sorted(records, key=lambda record: not record.broken)


def claimed_ratio(algorithm: Algorithm, instance: Instance) -> float:
    """Return the ratio F / OPT that a method claims on an instance; NaN for none."""
    if algorithm.exact:
        return 1.0
    ratio = None if algorithm.guarantee is None else algorithm.guarantee.ratio(instance)
    return math.nan if ratio is None else ratio


def try_out(algorithm: Algorithm, instance: Instance) -> Found | None:
    """Run a method and measure it; None when it cannot be measured on this instance."""
    if algorithm.supports(instance) is not None:
        return None
    if why_not_exhaustive(instance, max_placements=MOST_PLACEMENTS) is not None:
        return None
    optimum = evaluate(instance, best_placement(instance)).saving_ms
    if optimum <= 0:
        return None
    outcome = run(algorithm, instance, rng=np.random.default_rng(0))
    result = judge(instance, outcome, seconds=0.0)
    saving = 0.0 if math.isnan(result.saving_ms) else result.saving_ms
    bound = claimed_ratio(algorithm, instance)
    problem = result.reason if result.status is Status.ERROR else ""
    if not problem and result.stop_reason is not StopReason.COMPLETED:
        bound = math.nan  # a run that was cut off promises nothing
    ratio = ratio_to_optimum(saving, optimum)
    if ratio > 1 + OPTIMUM_TOLERANCE:
        problem = f"saves {saving!r} ms where the oracle finds {optimum!r} ms"
    return Found(
        algorithm=algorithm.name,
        instance=instance,
        ratio=ratio,
        bound=bound,
        saving_ms=saving,
        optimum_ms=optimum,
        problem=problem,
    )


def _kind(algorithm: Algorithm, instance: Instance) -> str:
    """Tell in which search an instance belongs; empty when the method does not take it."""
    if algorithm.supports(instance) is not None:
        return ""
    return CLAIMED if claimed_ratio(algorithm, instance) > 0 else UNCLAIMED


def _renamed(record: Found, kind: str) -> Instance:
    return replace(record.instance, name=f"worst-{record.algorithm}-{kind}")
