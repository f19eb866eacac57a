"""A plan: a placement for one's own boxes, what it is worth, and why it is as it is."""

import math
import time
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from bench.planning.comparison import Alternative, alternative, everywhere, token_shares
from bench.planning.copies import Calls, Replica, find_calls, find_replicas, losses_ms
from bench.planning.inputs import Inputs
from bench.planning.moves import Moves, find_moves
from bench.planning.search import BASELINE, Finder, Found
from bench.planning.spare import with_missing_experts
from bench.planning.storage import Growth, find_growth
from bench.planning.warming import warm_planning
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import Evaluation, evaluate
from instances.files import placement_from_dict, read_json
from instances.placement import Placement
from instances.problem import MAX_BYTES, Instance
from instances.result import relative_gap
from instances.structure.clauses import build_clauses

_SEARCH, _SEARCH_BESIDE_MOVES, _MOVES = 0.85, 0.45, 0.45
"""Shares of the time for the placement, the same where moves are counted, and for the moves; what
is left is for the growth of storage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a plan is to be made.

    Parameters
    ----------
    method
        What makes the placement; None for whatever is good.
    gap
        Gap that is good enough.
    time_limit
        Seconds for all of it, about.
    memory_bytes
        Memory for each method; None for no limit.
    seed
        For randomised methods.
    extra_bytes
        Additional storage whose worth is looked for.
    old_file
        Placement that is stored now; None for none.
    budget_bytes
        Most bytes that may be loaded; None for no budget.
    """

    method: str | None = None
    gap: float = 0.002
    time_limit: float = 15.0
    memory_bytes: int | None = None
    seed: int = 0
    extra_bytes: int = 10**9
    old_file: str | None = None
    budget_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A plan with everything that is told about it. N servers, U users.

    Parameters
    ----------
    inputs, wishes
        What it was made for, and how.
    placement, evaluation
        The placement that is recommended, and its worth. Where nothing is said of what is stored
        now, experts that are on no server fill free room.
    found
        How placement and bound were found, without regard to moves.
    alternatives
        Other ways, the slowest first: all from the cloud, what is stored now if that is known, by
        popularity, the plan, and everything everywhere.
    shares
        Share of all tokens that are each user's; float64 (U,).
    calls
        Who serves which calls.
    losses
        What is lost without each copy, ms per token; float64 (N, X).
    replicas
        Experts that are stored more than once.
    growths
        What more storage would bring, for each server, without regard to moves.
    moves
        How to get there from what is stored now; None when that is not known.
    seconds
        Time that it took.
    made
        When.
    """

    inputs: Inputs
    wishes: Wishes
    placement: Placement
    evaluation: Evaluation
    found: Found
    alternatives: tuple[Alternative, ...]
    shares: NDArray[np.float64]
    calls: Calls
    losses: NDArray[np.float64]
    replicas: tuple[Replica, ...]
    growths: tuple[Growth, ...]
    moves: Moves | None
    seconds: float
    made: datetime

    @property
    def instance(self) -> Instance:
        """The instance."""
        return self.inputs.instance

    @property
    def gap(self) -> float:
        """(bound - saving) / bound over all placements; infinite when no bound is known."""
        return relative_gap(self.evaluation.saving_ms, self.found.bound_ms)

    @property
    def least_latency_ms(self) -> float:
        """No placement that fits is faster than this, ms per token; NaN when unknown."""
        if not math.isfinite(self.found.bound_ms):
            return math.nan
        return max(0.0, self.evaluation.empty_latency_ms - self.found.bound_ms)

    @property
    def best_saving_ms(self) -> float:
        """Saving of the best placement that is known, without regard to moves, ms per token."""
        if self.moves is None:
            return self.evaluation.saving_ms
        return self.moves.frontier[-1].saving_ms

    @property
    def best_growth(self) -> int | None:
        """Server on which more storage was found to be worth most; None unless all were tried."""
        found = [growth.found_ms for growth in self.growths]
        if any(math.isnan(value) for value in found):
            return None
        return max(range(len(found)), key=found.__getitem__)


def make_plan(inputs: Inputs, wishes: Wishes, now: datetime) -> Plan | None:
    """Make a plan; None when no method found a placement.

    Raises
    ------
    InputError
        When the old placement is wrong, or storage would grow beyond all limits.
    """
    instance = inputs.instance
    old = None if wishes.old_file is None else _old_placement(wishes.old_file, instance)
    if int(instance.capacity_bytes.max()) + wishes.extra_bytes > MAX_BYTES:
        raise InputError("--more-storage", f"makes a server larger than {MAX_BYTES} bytes")
    warm_planning(with_moves=old is not None)
    begin = time.monotonic()
    share = _SEARCH if old is None else _SEARCH_BESIDE_MOVES
    finder = Finder(
        instance,
        time_limit=share * wishes.time_limit,
        memory_bytes=wishes.memory_bytes,
        seed=wishes.seed,
    )
    popular = finder.baseline()
    found = finder.find(wishes.method, gap=wishes.gap, extra_bytes=wishes.extra_bytes)
    if found.placement is None:
        return None
    best = with_missing_experts(instance, found.placement)
    placement, moves = best, None
    if old is not None and wishes.old_file is not None:
        moves = find_moves(
            instance,
            old=old,
            old_file=wishes.old_file,
            new=found.placement,
            budget_bytes=wishes.budget_bytes,
            unrestricted_bound_ms=found.bound_ms if found.certified else math.inf,
            time_limit=_MOVES * wishes.time_limit,
            memory_bytes=wishes.memory_bytes,
            seed=wishes.seed,
        )
        placement = moves.move.placement
        best = moves.frontier[-1].placement  # what is stored now may be better than what was found
    clauses = build_clauses(instance)
    calls = find_calls(instance, placement)
    losses = losses_ms(instance, clauses, placement)
    left = wishes.time_limit - (time.monotonic() - begin)
    deadline = Deadline.after(max(left, (1.0 - _SEARCH) * wishes.time_limit))
    growths = find_growth(
        instance, clauses, best, found.bounds_with_more_ms, wishes.extra_bytes, deadline
    )
    shares = token_shares(instance)
    return Plan(
        inputs=inputs,
        wishes=wishes,
        placement=placement,
        evaluation=evaluate(instance, placement),
        found=found,
        alternatives=_alternatives(instance, shares, old=old, popular=popular, plan=placement),
        shares=shares,
        calls=calls,
        losses=losses,
        replicas=tuple(find_replicas(instance, placement, calls, losses)),
        growths=tuple(growths),
        moves=moves,
        seconds=time.monotonic() - begin,
        made=now,
    )


def _alternatives(
    instance: Instance,
    shares: NDArray[np.float64],
    *,
    old: Placement | None,
    popular: Placement | None,
    plan: Placement,
) -> tuple[Alternative, ...]:
    wanted: list[tuple[Placement | None, str, str]] = [
        (Placement.empty(instance), "cloud", "every expert from the cloud"),
        (popular, BASELINE, "each server stores what its users want most, expert by expert"),
        (old, "now", "what the servers store now"),
        (plan, "plan", "what is recommended below"),
        (
            everywhere(instance),
            "everywhere",
            "every expert on every server: the storage is no limit",
        ),
    ]
    return tuple(
        alternative(instance, placement, shares, name, about)
        for placement, name, about in wanted
        if placement is not None
    )


def _old_placement(path: str, instance: Instance) -> Placement:
    """Read what is stored now, whatever instance it was made for: servers and models must fit."""
    data = read_json(path)
    if isinstance(data, dict) and isinstance(data.get("instance"), str):
        data["instance"] = instance.name
    try:
        return placement_from_dict(data, instance)
    except InputError as error:
        raise error.in_file(path) from None
