"""Our exact methods against the compact program in plain PuLP and CBC, SCIP, HiGHS.

Every configuration goes from the instance to the proof, on one thread, by
:mod:`bench.formulation_comparison`, which has all formulations, solvers and families. Here each
peer is held against the method of ours that is meant for the instance.
"""

import math
from collections.abc import Iterator

from bench.formulation_comparison import Row as Run
from bench.formulation_comparison import measure
from bench.peers.race import DisagreementError, Row, Seconds, best, require_same, timed, titled
from instances.families import generate
from instances.problem import Instance

NAME = "exact"
SUMMARY = "a proven optimum: the compact program by PuLP and CBC, SCIP, HiGHS"

CASES = {
    "toy": (("switch", "tiny", "column-enumeration"),),
    "full": (
        ("switch", "small", "column-enumeration"),
        ("mixtral", "small", "column-enumeration"),
        ("mixed", "small", "layer-enumeration"),
    ),
}
"""Family, size, and our method."""

PEERS = {
    "compact cbc": ("pulp", "PuLP"),
    "compact scip": ("ortools", "OR-Tools"),
    "compact highs": ("ortools", "OR-Tools"),
}
"""Configurations of the peers, with their distribution and its title."""

LIMIT_S = 60.0
"""Seconds for each run."""

ROUNDS = {"toy": 1, "full": 3}
"""Repeats of either side, for as long as it takes less than :data:`LONG_S`."""
LONG_S = 5.0


def compare(size: str) -> Iterator[Row]:
    """Measure."""
    warm_up = generate("mixed", size="tiny", seed=0)
    for family, instance_size, method in CASES[size]:
        instance = generate(family, size=instance_size, seed=0)
        _measure(warm_up, method)
        for peer in PEERS:
            _measure(warm_up, peer)
            yield compare_on(instance, method, peer, ROUNDS[size])


def compare_on(instance: Instance, method: str, peer: str, rounds: int) -> Row:
    """Compare one of our methods with one peer."""
    our_run, our_seconds = _measure(instance, method)
    peer_run, peer_seconds = _measure(instance, peer)
    checked = check(our_run, peer_run)
    our_times, peer_times = [our_seconds], [peer_seconds]
    while len(our_times) < rounds and our_times[-1].wall < LONG_S:
        our_times.append(_measure(instance, method)[1])
        if peer_times[-1].wall < LONG_S:
            peer_times.append(_measure(instance, peer)[1])
    distribution, title = PEERS[peer]
    return Row(
        comparison=NAME,
        case=f"{instance.name}, {instance.num_rows:,} rows",
        ours=method,
        peer=f"{titled(distribution, title)}: {peer}",
        checked=checked,
        ours_s=best(our_times),
        peer_s=best(peer_times),
        finished=peer_run.proven,
        detail={
            "optimum_ms": our_run.saving_ms,
            "peer_saving_ms": peer_run.saving_ms if _has_saving(peer_run) else None,
            "peer_bound_ms": peer_run.bound_ms if math.isfinite(peer_run.bound_ms) else None,
        },
    )


def check(ours: Run, peer: Run) -> str:
    """Check a proven optimum against what the peer has found; say what was checked.

    Raises
    ------
    DisagreementError
        When we have no proof; when the peer's optimum is another, or, where it ran out of time, its
        placement is better or its bound lower than the optimum.
    """
    if not ours.proven:
        raise DisagreementError(f"{ours.configuration} has not solved {ours.instance}: {ours.note}")
    if peer.proven:
        return require_same("optimum", ours.saving_ms, peer.saving_ms)
    slack = 1e-9 * ours.saving_ms
    if _has_saving(peer) and peer.saving_ms > ours.saving_ms + slack:
        raise DisagreementError(f"optimum: {ours.saving_ms} where the peer has {peer.saving_ms}")
    if peer.bound_ms < ours.saving_ms - slack:
        raise DisagreementError(f"optimum: {ours.saving_ms} above the peer's {peer.bound_ms}")
    return f"no proof in {LIMIT_S:g} s, nothing better"


def _has_saving(run: Run) -> bool:
    return not math.isnan(run.saving_ms)


def _measure(instance: Instance, configuration: str) -> tuple[Run, Seconds]:
    """Run one configuration: its own wall clock, and processor time on our clock, a finer one."""
    result, seconds = timed(lambda: measure(instance, configuration, LIMIT_S))
    return result, Seconds(wall=result.seconds, cpu=seconds.cpu)
