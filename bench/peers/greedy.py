"""Greedy for K = 1 against submodlib's lazy greedy, and against one in plain Python and NumPy.

submodlib knows no storage of servers, so storage is not short here and the number of picks is
given. The saving takes two of its forms: facility location over all (server, expert) pairs, which
is how one would write it, and weighted set cover over the clauses, which is sparse.
"""

import heapq
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bench.peers.race import (
    DisagreementError,
    MissingPeerError,
    Race,
    Row,
    race,
    require_equal,
    require_same,
    timed,
    titled,
)
from bench.peers.shapes import whole_number_instance
from heuristics.greedy_single import single_picks
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance

NAME = "greedy"
SUMMARY = "greedy for K = 1: submodlib's LazyGreedy, and a lazy greedy with heapq"

SHAPES = {"toy": (5, 3, 20, 12), "full": (50, 6, 256, 300)}
"""Users, servers, experts, picks."""

ROUNDS = {"toy": 2, "full": 5}
CALLS = 20
"""Calls of ours for each of the peer's."""

Pairs = NDArray[np.int64]
Maximise = Callable[[], Pairs]


def compare(size: str) -> Iterator[Row]:
    """Measure."""
    users, servers, experts, picks = SHAPES[size]
    instance = whole_number_instance(users=users, servers=servers, experts=experts)
    case = f"{users} users, {servers} servers, {experts} experts, {picks} picks"
    for name, prepare in PEERS.items():
        try:
            peer, maximise, set_up_s = prepare(instance, picks)
        except MissingPeerError as missing:
            yield Row(comparison=NAME, case=case, ours="greedy", peer=name, checked=str(missing))
            continue

        def ours() -> Pairs:
            return single_picks(instance, most=picks)

        result = race(ours, maximise, rounds=ROUNDS[size], calls=CALLS)
        yield Row(
            comparison=NAME,
            case=case,
            ours="greedy",
            peer=peer,
            checked=check(instance, result),
            ours_s=result.ours_s,
            peer_s=result.peer_s,
            detail={"picks": picks, "peer_set_up_seconds": set_up_s},
        )


def check(instance: Instance, result: Race[Pairs, Pairs]) -> str:
    """Check that both have picked by the rule and have the same value; say what was checked.

    Raises
    ------
    DisagreementError
        When a pick of either side is not one of the largest gain, or the values differ.
    """
    for side, picks in (("moeplace", result.ours), ("peer", result.peer)):
        gain, largest = gains(instance, picks)
        for step in np.flatnonzero(gain < largest)[:1]:
            raise DisagreementError(
                f"pick {step} of {side}, {picks[step].tolist()}, gains {gain[step]} where "
                f"{largest[step]} is possible"
            )
    values = [
        evaluate(instance, Placement.of(instance, [(int(n), int(x)) for n, x in picks])).saving_ms
        for picks in (result.ours, result.peer)
    ]
    value = require_same("value", *values)
    if np.array_equal(result.ours, result.peer):
        return f"same picks, {value}"
    require_equal("gains of picks", *(gains(instance, p)[0] for p in (result.ours, result.peer)))
    return f"same picks up to ties, {value}"


def gains(instance: Instance, picks: Pairs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each pick gained, and the largest gain that was possible then; exact."""
    rate, wait = demand_table(instance)
    gain = np.stack([pair_gains(instance, rate, wait, x) for x in range(instance.num_experts)])
    gained, largest = [], []
    for server, expert in picks:
        gained.append(gain[expert, server])
        largest.append(gain.max())
        wait[:, expert] = np.minimum(wait[:, expert], instance.latency_ms[:, server])
        gain[expert] = pair_gains(instance, rate, wait, expert)
    return np.array(gained), np.array(largest)


def demand_table(instance: Instance) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rate and wait of every user and expert of a single layer, nothing stored; (U, E)."""
    rate = np.zeros((instance.num_users, instance.num_experts))
    rate[instance.demand_user, instance.demand_experts] = instance.demand_rate
    wait = np.repeat(instance.cloud_latency_ms[:, None], instance.num_experts, axis=1)
    return rate, wait


def pair_gains(
    instance: Instance, rate: NDArray[np.float64], wait: NDArray[np.float64], expert: int
) -> NDArray[np.float64]:
    """Return what storing an expert on each server gains; (N,)."""
    saved = np.maximum(wait[:, expert, None] - instance.latency_ms, 0.0)
    total: NDArray[np.float64] = rate[:, expert] @ saved
    return total


def facility_location(instance: Instance, picks: int) -> tuple[str, Maximise, float]:
    """Prepare submodlib's facility location: pairs represent (user, expert) pairs."""
    peer = titled("submodlib-py")
    from submodlib import FacilityLocationFunction

    num_users, num_experts = instance.num_users, instance.num_experts
    rate, wait = demand_table(instance)
    kernel = np.zeros((num_users * num_experts, instance.num_servers * num_experts), np.float32)
    expert = np.arange(num_experts)
    for user in range(num_users):
        for server in range(instance.num_servers):
            saved = np.maximum(wait[user] - instance.latency_ms[user, server], 0.0)
            rows, columns = user * num_experts + expert, server * num_experts + expert
            kernel[rows, columns] = rate[user] * saved
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it asks SciPy for an old name
        function, set_up_s = timed(
            lambda: FacilityLocationFunction(
                n=kernel.shape[1],
                mode="dense",
                separate_rep=True,
                n_rep=kernel.shape[0],
                sijs=kernel,
            )
        )
    return f"{peer}: LazyGreedy, facility location", _lazy(function, picks, instance), set_up_s.wall


def set_cover(instance: Instance, picks: int) -> tuple[str, Maximise, float]:
    """Prepare submodlib's weighted set cover: a pair covers the steps that it saves a user."""
    peer = titled("submodlib-py")
    from submodlib import SetCoverFunction

    num_experts = instance.num_experts
    rate, _ = demand_table(instance)
    cover: list[set[int]] = [set() for _ in range(instance.num_servers * num_experts)]
    weight: list[float] = []
    for user in range(instance.num_users):
        latency, cloud = instance.latency_ms[user], instance.cloud_latency_ms[user]
        levels = np.unique(latency[latency < cloud])
        for level, reach in zip(levels, np.append(levels, cloud)[1:], strict=True):
            for server in np.flatnonzero(latency <= level):
                for expert in range(num_experts):
                    cover[server * num_experts + expert].add(len(weight) + expert)
            weight.extend((rate[user] * (reach - level)).tolist())
    function, set_up_s = timed(
        lambda: SetCoverFunction(
            n=len(cover), cover_set=cover, num_concepts=len(weight), concept_weights=weight
        )
    )
    return (
        f"{peer}: LazyGreedy, weighted set cover",
        _lazy(function, picks, instance),
        set_up_s.wall,
    )


def _lazy(function: object, picks: int, instance: Instance) -> Maximise:
    def maximise() -> Pairs:
        chosen = function.maximize(  # type: ignore[attr-defined]
            budget=picks, optimizer="LazyGreedy", show_progress=False
        )
        pairs = np.array([pair for pair, _ in chosen], dtype=np.int64)
        return np.stack(np.divmod(pairs, instance.num_experts), axis=1)

    return maximise


def with_heapq(instance: Instance, picks: int) -> tuple[str, Maximise, float]:
    """Prepare the lazy greedy that one would write: a heap of pairs, gains by NumPy."""
    rate, nothing_stored = demand_table(instance)
    latency = np.ascontiguousarray(instance.latency_ms.T)

    def maximise() -> Pairs:
        wait = nothing_stored.copy()

        def gain(server: int, expert: int) -> float:
            saved = np.maximum(wait[:, expert] - latency[server], 0.0)
            return float(rate[:, expert] @ saved)

        heap = [
            (-gain(server, expert), server, expert)
            for server in range(instance.num_servers)
            for expert in range(instance.num_experts)
        ]
        heapq.heapify(heap)
        chosen: list[tuple[int, int]] = []
        while heap and len(chosen) < picks:
            known, server, expert = heap[0]
            true = -gain(server, expert)
            if true > known:
                heapq.heapreplace(heap, (true, server, expert))
                continue
            heapq.heappop(heap)
            chosen.append((server, expert))
            wait[:, expert] = np.minimum(wait[:, expert], latency[server])
        return np.array(chosen, dtype=np.int64)

    return f"heapq and {titled('numpy', 'NumPy')}: lazy greedy", maximise, 0.0


PEERS: dict[str, Callable[[Instance, int], tuple[str, Maximise, float]]] = {
    "submodlib-py: LazyGreedy, facility location": facility_location,
    "submodlib-py: LazyGreedy, weighted set cover": set_cover,
    "heapq and NumPy: lazy greedy": with_heapq,
}
"""Prepares each peer: its name with version, the call that is timed, and seconds of its set-up."""
