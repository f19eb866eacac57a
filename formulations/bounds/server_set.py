"""The server-set bound: server sets by themselves, experts by themselves, credits between them.

Code of the parts: credits and blocks (splits of clause weights), split_search (how good ones are
found), set_tables (what a server set gains beyond the credits), labels (what the storage can earn
from the credits). Proof: docs/theory.md, section 7.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.credits import Credits
from formulations.bounds.labels import Labels
from formulations.bounds.more_storage import bounds_with_more_storage
from formulations.bounds.search import Search
from formulations.bounds.server_groups import ServerGroups
from formulations.bounds.set_tables import SetTables
from formulations.bounds.split_search import find_splits
from formulations.start import check_start
from instances.deadline import Deadline
from instances.errors import InputError
from instances.parallel import require_threads
from instances.placement import Placement
from instances.problem import MAX_BYTES, Instance
from instances.registry import Algorithm
from instances.result import OnProgress, Outcome, StopReason
from instances.structure.clauses import build_clauses
from instances.structure.upper_weights import upper_weights

MAX_SERVERS = 8
"""More servers are merged into so many groups: labels distinguish 2^8 sets of groups."""

_ROUNDINGS = 20
"""Steps between two roundings to a placement while credits of tables are found."""

_INERTIA = 0.8
"""Share of the last direction in the next one."""

_FIRST_STEP, _LAST_STEP = 0.3, 0.02
"""Lengths of the subgradient steps as shares of Polyak's, falling geometrically."""

_AHEAD = 0.1
"""Share of the time that may be spent before the same share of the steps is done."""

_SEARCH = 0.8
"""Share of the time for the bound itself where bounds with more storage are wanted, too."""

_SPECK = 1e-9
"""Share of all weight that is added to what others are divided by."""

_TOO_FAR = 0.5
"""Credits whose bound is worse by this share of all weight are given up, and steps are halved."""

_WARM, _COLD = 0.005, 0.0002
"""What counts as a small amount for labels, as shares of an average expert's price; falling."""


def server_set(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    gap: float = 0.0,
    steps: int = 240,
    extra_bytes: int = 0,
    threads: int = 1,
) -> Outcome:
    """F <= sum over server sets of max (f_S(C) - credits of C) + what storage earns from credits.

    For any credits >= 0 of pairs (server set, expert): the first maxima over the sets C of experts
    that fit into the servers of S together, exactly where layers have few experts of one size
    (subset tables, max-plus over layers); where they have many, credits are splits of the clause
    weights, and the maximum is 0. Storage earns at most sum of price times storage + sum over
    experts of its best label, the set of servers that store it, at any prices. Certified: weights
    are rounded upwards once, and everything after that is exact.

    Splits and mixed labels are found by a primal-dual method in entropy distances, whose state is
    X S numbers, with step lengths and restarts as in PDLP; then credits of small layers by a
    deflected subgradient method towards the value of the best placement. Mixed labels round to
    placements on the way, and servers respond to these in turn.

    Time O(steps (R S K + X 2^N + sum over server sets and layers of 2^E)), S here the sets of one
    user, N at most 8: more servers are merged into groups, which keeps the bound valid, but not as
    strong.

    Source: docs/theory.md, section 7; primal-dual steps: Chambolle, Pock 2016; their lengths:
    Applegate et al. 2021 (PDLP); target steps: Polyak 1969; deflection: Camerini, Fratta, Maffioli
    1975.

    Parameters
    ----------
    start
        A feasible placement: the one that better ones must beat, and the target of the steps.
    gap
        Stop when (bound - saving) / bound of the best placement is at most this.
    steps
        Steps of the first method; the second takes three times as many.
    extra_bytes
        Also bound the saving with so many bytes more on each server alone, as far as time allows;
        0 for no such bounds.
    threads
        Threads that work on layers side by side; the answer is the same for any number of them, as
        long as time does not run out.

    Raises
    ------
    InputError
        When the start is not feasible, the gap is not in 0..1, the steps or threads are not a
        whole number >= 1, or the extra bytes are not a whole number from 0 that leaves storage
        within limits.
    """
    del rng
    if not 0.0 <= gap <= 1.0:
        raise InputError("gap", f"{gap!r} is not in 0..1")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError("steps", f"{steps!r} is not a whole number >= 1")
    require_threads(threads)
    _check_extra(instance, extra_bytes)
    if start is not None:
        check_start(instance, start)
    deadline = Deadline.after(time_limit)
    until = Deadline.after(_SEARCH * time_limit) if extra_bytes and time_limit else deadline
    clauses = build_clauses(instance)
    upper = upper_weights(instance, clauses)
    groups = ServerGroups.of(instance, clauses, upper.weight_ms, MAX_SERVERS)
    credits = Credits.of(instance, clauses, upper, groups)
    is_asked = np.zeros(instance.num_experts, dtype=np.bool_)
    is_asked[clauses.itemset_experts] = True
    asked_bytes = np.unique(instance.expert_bytes[is_asked])
    unit_ms, vanished_ms = upper.unit_ms, upper.vanished_ms
    del clauses, upper  # a good part of what millions of rows need

    def tell(search: Search) -> None:
        if on_progress is not None:
            on_progress(_outcome(search, StopReason.TIME_LIMIT))

    search = Search(
        instance,
        credits,
        start,
        tell,
        unit_ms=unit_ms,
        vanished_ms=vanished_ms,
        deadline=until,
        gap=gap,
        threads=threads,
    )
    tables: SetTables | None = None
    tell(search)
    if credits.experts.size and not search.must_stop():
        labels = Labels(credits, threads)
        credit = find_splits(search, credits, labels, steps)
        if start is None:
            search.respond()
        tables = None if search.must_stop() else SetTables.of(credits)
        if tables is not None:
            _shift(search, credits, labels, tables, credit, 3 * steps)
    is_late = search.was_hurried and not search.is_closed
    outcome = _outcome(search, StopReason.TIME_LIMIT if is_late else StopReason.COMPLETED)
    if not extra_bytes:
        return outcome
    more = bounds_with_more_storage(search, asked_bytes, credits, tables, extra_bytes, deadline)
    return dataclasses.replace(outcome, bounds_with_more_ms=more)


def _check_extra(instance: Instance, extra_bytes: int) -> None:
    if isinstance(extra_bytes, bool) or not isinstance(extra_bytes, int) or extra_bytes < 0:
        raise InputError("extra_bytes", f"{extra_bytes!r} is not a whole number >= 0")
    if int(instance.capacity_bytes.max()) + extra_bytes > MAX_BYTES:
        raise InputError("extra_bytes", f"{extra_bytes} more is more than {MAX_BYTES} bytes")


def _outcome(search: Search, stop_reason: StopReason) -> Outcome:
    return Outcome(
        stop_reason=stop_reason,
        placement=search.placement,
        proven_optimal=False,
        bound_saving_ms=search.bound_ms,
        bound_certified=True,
    )


def _shift(
    search: Search,
    credits: Credits,
    labels: Labels,
    tables: SetTables,
    credit: NDArray[np.float64],
    steps: int,
) -> None:
    """Move the credits of small layers, by subgradients, towards what sets and labels agree on."""
    most = credits.most()
    metric = np.sqrt(most / most.max()) * tables.free
    paid = float((labels.on @ labels.price) @ credits.sizes)
    scale = np.full(credits.experts.size, paid / max(1.0, float(labels.on.sum())))
    scale += _SPECK * credits.total
    labels.price = search.price  # these credits' own
    chosen = np.zeros_like(credit)
    direction = np.zeros_like(credit)
    recent = np.zeros_like(credit)
    best, best_total = credit, math.inf
    caution = 1.0
    time_left = max(search.deadline.remaining, 1e-9)
    for step in range(steps):
        if search.must_stop():
            break
        done = step / steps
        if math.isfinite(time_left):  # shorter steps in time for the end
            spent = 1.0 - search.deadline.remaining / time_left
            if spent > done + _AHEAD:
                search.was_hurried = True
                done = spent
        length = caution * _FIRST_STEP * (_LAST_STEP / _FIRST_STEP) ** done
        warmth = scale * _WARM * (_COLD / _WARM) ** done
        gains = tables.value(credit, chosen)
        labels.look_at(credit)
        labels.mix(credit, warmth)
        bound = gains + labels.value()
        search.lower(bound, credit, labels.best_price)
        if bound < best_total:
            best, best_total = credit, bound
        recent += credit
        if step % _ROUNDINGS == _ROUNDINGS - 1 or step == steps - 1:
            search.round(labels.on)
            # bounds are convex in the credits, and steps go back and forth
            mean = np.where(tables.free, np.rint(recent / (step % _ROUNDINGS + 1)), credit)
            recent[:] = 0.0
            gained = tables.value(mean, np.zeros_like(chosen))
            labels.look_at(mean)
            search.lower(gained + labels.value(), mean, labels.best_price)
        direction = _INERTIA * direction + (1.0 - _INERTIA) * (labels.met - chosen)
        stays = ((credit <= 0.0) & (direction > 0.0)) | ((credit >= most) & (direction < 0.0))
        allowed = np.where(stays, 0.0, direction)
        norm = float((metric * allowed**2).sum())
        if norm == 0.0 or not bound <= best_total + _TOO_FAR * credits.total:
            credit, caution = best, 0.5 * caution
            direction[:] = 0.0
            continue
        move = length * (bound - search.target) / norm
        moved = np.clip(np.rint(credit - move * metric * allowed), 0.0, most)
        credit = np.where(tables.free, moved, credit)


SERVER_SET = Algorithm(
    name="server-set",
    solve=server_set,
    exact=False,
    summary="server sets alone, experts alone, credits between them: at least as tight as the LP",
    source="docs/theory.md, section 7",
    complexity="O(steps (R S K + X 2^N + sum over server sets and layers of 2^E)), N at most 8",
)
