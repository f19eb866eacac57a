"""The oracle of the tests: every placement that could be best, one by one.

It reads the rows of the instance as they are, and shares nothing with the clause form or with the
other exact methods.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from formulations.start import check_start
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, StopReason

MAX_PLACEMENTS = 100_000
"""Most placements that are tried."""

CHUNK = 4096
"""Placements scored between two looks at the clock."""

Contents = tuple[int, ...]
"""Flat experts that one server stores."""


def brute_force(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
) -> Outcome:
    """Return a proven optimum by trying every maximal placement.

    The saving never falls when a server stores more, so it is enough to try, for each server, the
    sets of useful experts to which none can be added. The first of several best placements is
    returned, or the start if none is better.

    Time: the number of placements times the size of the demand.

    Parameters
    ----------
    start
        The placement to beat; it is what is left when time runs out at once.

    Raises
    ------
    InputError
        When the start is not feasible.
    """
    del rng
    deadline = Deadline.after(time_limit)
    best = Placement.empty(instance)
    if start is not None:
        check_start(instance, start)
        best = start
    least_ms = evaluate(instance, best).latency_ms
    choices = [list(_maximal_contents(instance, n)) for n in range(instance.num_servers)]
    combinations = itertools.product(*choices)
    while chunk := list(itertools.islice(combinations, CHUNK)):
        if deadline.passed:
            return Outcome(
                stop_reason=StopReason.TIME_LIMIT,
                placement=best,
                proven_optimal=False,
                claimed_saving_ms=evaluate(instance, best).saving_ms,
                reason="not every placement was tried",
            )
        latency_ms = _latency_ms(instance, chunk)
        first = int(latency_ms.argmin())
        if latency_ms[first] < least_ms:
            least_ms = float(latency_ms[first])
            best = Placement.of(
                instance, [(n, x) for n, held in enumerate(chunk[first]) for x in held]
            )
    saving_ms = evaluate(instance, best).saving_ms
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=best,
        proven_optimal=True,
        bound_saving_ms=saving_ms,
        claimed_saving_ms=saving_ms,
    )


def supports(instance: Instance) -> str | None:
    """Tell whether there are few enough placements to try."""
    count = 1
    for server in range(instance.num_servers):
        room = MAX_PLACEMENTS // count + 1
        count *= sum(1 for _ in itertools.islice(_maximal_contents(instance, server), room))
        if count > MAX_PLACEMENTS:
            return f"there are at least {count} placements; at most {MAX_PLACEMENTS} are tried"
    return None


def _useful_experts(instance: Instance, server: int) -> list[int]:
    """List the experts that some user would fetch from a server, largest first."""
    useful = set()
    local = [set(instance.user_local_experts(u).tolist()) for u in range(instance.num_users)]
    for row in range(instance.num_rows):
        user = int(instance.demand_user[row])
        beats_cloud = instance.latency_ms[user, server] < instance.cloud_latency_ms[user]
        if beats_cloud and instance.demand_rate[row] > 0.0:
            useful |= set(_row_experts(instance, row)) - local[user]
    return sorted(useful, key=lambda x: (-int(instance.expert_bytes[x]), x))


def _row_experts(instance: Instance, row: int) -> list[int]:
    """List the flat experts of a demand row."""
    model = int(instance.user_model[instance.demand_user[row]])
    layer = int(instance.model_layer_offset[model]) + int(instance.demand_layer[row])
    experts = instance.demand_experts[
        instance.demand_offsets[row] : instance.demand_offsets[row + 1]
    ]
    return [int(instance.layer_expert_offset[layer]) + int(e) for e in experts]


def _maximal_contents(instance: Instance, server: int) -> Iterator[Contents]:
    """Yield the sets of useful experts that fit into a server and to which none can be added."""
    experts = _useful_experts(instance, server)
    sizes = [int(instance.expert_bytes[x]) for x in experts]
    after = [0, *itertools.accumulate(reversed(sizes))][::-1]  # bytes of experts i, i + 1, ...
    # Depth first: (next expert, taken so far, bytes left, smallest expert that was passed over).
    stack: list[tuple[int, Contents, int, float]] = [
        (0, (), int(instance.capacity_bytes[server]), math.inf)
    ]
    while stack:
        i, taken, free, passed_over = stack.pop()
        # Were everything still to come taken, would one that was passed over fit nonetheless?
        # Sizes descend, so if not, taking whatever fits leads to a maximal set: no dead ends.
        if free - after[i] >= passed_over:
            continue
        if i == len(experts):
            yield taken
            continue
        stack.append((i + 1, taken, free, min(passed_over, sizes[i])))
        if sizes[i] <= free:
            stack.append((i + 1, (*taken, experts[i]), free - sizes[i], passed_over))


def _latency_ms(instance: Instance, placements: list[tuple[Contents, ...]]) -> NDArray[np.float64]:
    """Evaluate placements row by row, all at once; float64 (placements,)."""
    stored = np.zeros((instance.num_servers, instance.num_experts, len(placements)), dtype=np.bool_)
    for p, placement in enumerate(placements):
        for server, held in enumerate(placement):
            stored[server, list(held), p] = True
    fetched: dict[tuple[int, int], NDArray[np.float64]] = {}
    local = [set(instance.user_local_experts(u).tolist()) for u in range(instance.num_users)]
    total = np.zeros(len(placements))
    for row in range(instance.num_rows):
        user = int(instance.demand_user[row])
        wait = np.zeros(len(placements))
        for expert in _row_experts(instance, row):
            if (user, expert) not in fetched:
                best = np.full(len(placements), instance.cloud_latency_ms[user])
                for server in range(instance.num_servers):
                    here = np.where(stored[server, expert], instance.latency_ms[user, server], best)
                    best = np.minimum(best, here)
                if expert in local[user]:
                    best[:] = instance.local_latency_ms[user]
                fetched[user, expert] = best
            wait = np.maximum(wait, fetched[user, expert])
        total += instance.demand_rate[row] * wait
    return total


BRUTE_FORCE = Algorithm(
    name="brute-force",
    solve=brute_force,
    exact=True,
    summary=f"every maximal placement, at most {MAX_PLACEMENTS:,}: the oracle of the tests",
    source="definition of the problem",
    complexity="number of placements x size of the demand",
    supports=supports,
)
