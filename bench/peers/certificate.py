"""The bound of server-set against that of PDLP on the linear relaxation, at the same gap.

PDLP tells nothing on its way, so it is run at finer and finer tolerances. Either side is timed
until it has a bound that both reach: the weaker one of the best bound of each. Gaps are those of
successive-hull's placement, or a better one that came with a bound.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.peers.race import DisagreementError, Row, Seconds, best, cpu_seconds, timed, titled
from formulations import BOUNDS
from heuristics import HEURISTICS
from instances.evaluation import evaluate
from instances.families import generate
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome

NAME = "certificate"
SUMMARY = "a certified bound: the linear relaxation by PDLP, at the same gap"

FAMILY = "gpt-oss"
SIZES = {"toy": ("tiny",), "full": ("small", "medium", "real")}
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
LIMIT_S = 120.0
"""Seconds for each run of PDLP."""

ROUNDS = 3
"""Repeats of either side, for as long as it takes less than :data:`LONG_S`."""
LONG_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One run of PDLP: its tolerance, its certified bound, and its time."""

    tolerance: float
    bound_ms: float
    seconds: Seconds


def compare(size: str) -> Iterator[Row]:
    """Measure."""
    for instance_size in SIZES[size]:
        yield compare_on(generate(FAMILY, size=instance_size, seed=0))


def compare_on(instance: Instance) -> Row:
    """Compare on one instance."""
    ours = server_set(instance)
    placed = run(HEURISTICS.get("successive-hull"), instance, rng=np.random.default_rng(0))
    known_ms = max(saving_of(instance, ours), _saving(instance, placed))
    rungs: list[Rung] = []
    for tolerance in TOLERANCES:
        outcome, seconds = timed(lambda tolerance=tolerance: pdlp(instance, tolerance))  # type: ignore[misc]
        rungs.append(Rung(tolerance=tolerance, bound_ms=outcome.bound_saving_ms, seconds=seconds))
        known_ms = max(known_ms, saving_of(instance, outcome))
        if outcome.bound_saving_ms <= ours.bound_saving_ms or seconds.wall >= LIMIT_S:
            break
    best_bound_ms = min(rung.bound_ms for rung in rungs)
    for side, bound_ms in (("server-set", ours.bound_saving_ms), ("PDLP", best_bound_ms)):
        if bound_ms < known_ms:
            raise DisagreementError(f"bound of {side}: {bound_ms} where {known_ms} is possible")
    target_ms = max(ours.bound_saving_ms, best_bound_ms)
    rung = min((rung for rung in rungs if rung.bound_ms <= target_ms), key=lambda r: r.seconds.wall)
    our_times, peer_times = [time_to(instance, target_ms)], [rung.seconds]
    while len(our_times) < ROUNDS and our_times[-1].wall < LONG_S:
        our_times.append(time_to(instance, target_ms))
        if peer_times[-1].wall < LONG_S:
            peer_times.append(timed(lambda: pdlp(instance, rung.tolerance))[1])
    gap = (target_ms - known_ms) / target_ms
    return Row(
        comparison=NAME,
        case=f"{instance.name}, {instance.num_rows:,} rows, until a gap of {gap:.2%}",
        ours="server-set",
        peer=f"{titled('ortools', 'OR-Tools')}: PDLP, tolerance {rung.tolerance:g}",
        checked="both certified",
        ours_s=best(our_times),
        peer_s=best(peer_times),
        detail={
            "gap": gap,
            "known_saving_ms": known_ms,
            "target_bound_ms": target_ms,
            "server_set_bound_ms": ours.bound_saving_ms,
            "pdlp_tolerances": [rung.tolerance for rung in rungs],
            "pdlp_bounds_ms": [rung.bound_ms for rung in rungs],
            "pdlp_seconds": [rung.seconds.wall for rung in rungs],
        },
    )


def server_set(instance: Instance) -> Outcome:
    """Run the bound method to its end."""
    return run(BOUNDS.get("server-set"), instance, rng=np.random.default_rng(0))


def pdlp(instance: Instance, tolerance: float) -> Outcome:
    """Bound by PDLP; the dual values are evaluated as for every LP bound."""
    return run(
        BOUNDS.get("lp"),
        instance,
        rng=np.random.default_rng(0),
        solver="pdlp",
        tolerance=tolerance,
        time_limit=LIMIT_S,
    )


def saving_of(instance: Instance, outcome: Outcome) -> float:
    """Return the saving of the placement that came with a bound, checking the bound's kind.

    Raises
    ------
    DisagreementError
        When the bound is not certified.
    """
    if not outcome.bound_certified:
        raise DisagreementError(f"a bound on {instance.name} is not certified")
    return _saving(instance, outcome)


def _saving(instance: Instance, outcome: Outcome) -> float:
    return 0.0 if outcome.placement is None else evaluate(instance, outcome.placement).saving_ms


class _ReachedError(Exception):
    """The bound is good enough."""


def time_to(instance: Instance, target_ms: float) -> Seconds:
    """Return how long server-set takes until its bound is at most this."""
    wall, cpu = time.perf_counter(), cpu_seconds()

    def listen(outcome: Outcome) -> None:
        if outcome.bound_saving_ms <= target_ms:
            raise _ReachedError

    try:
        outcome = run(
            BOUNDS.get("server-set"),
            instance,
            rng=np.random.default_rng(0),
            on_progress=listen,
        )
    except _ReachedError:
        pass
    else:
        if outcome.bound_saving_ms > target_ms:
            raise DisagreementError(
                f"server-set has {outcome.bound_saving_ms} where it had {target_ms} before"
            )
    return Seconds(wall=time.perf_counter() - wall, cpu=cpu_seconds() - cpu)
