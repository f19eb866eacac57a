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
from instances.rounding_up import grown, sum_up
from instances.structure.upper_weights import vanished_ms

MAX_PLACEMENTS = 100_000
"""Most placements that are tried."""

CHUNK = 4096
"""Placements scored between two looks at the clock."""

Contents = tuple[int, ...]
"""Flat experts that one server stores."""

Holders = dict[int, NDArray[np.bool_]]
"""For each expert: which of a server's choices of contents hold it; bool (choices,)."""


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
    most_ms = evaluate(instance, best).saving_ms
    choices = [list(_maximal_contents(instance, n)) for n in range(instance.num_servers)]
    shape = tuple(len(contents) for contents in choices)
    held = [_holders(contents) for contents in choices]
    count = math.prod(shape)
    for begin in range(0, count, CHUNK):
        if deadline.passed:
            return Outcome(
                stop_reason=StopReason.TIME_LIMIT,
                placement=best,
                proven_optimal=False,
                claimed_saving_ms=most_ms,
                reason=f"{begin} of {count} placements tried",
            )
        chosen = np.unravel_index(np.arange(begin, min(begin + CHUNK, count)), shape)
        saving_ms = _saving_ms(instance, held, chosen)
        first = int(saving_ms.argmax())
        if saving_ms[first] > most_ms:
            most_ms = float(saving_ms[first])
            contents = [choices[n][chosen[n][first]] for n in range(instance.num_servers)]
            best = Placement.of(instance, [(n, x) for n, c in enumerate(contents) for x in c])
    # No placement was worth more as computed: a difference, a product and an addition for each row,
    # all of numbers that are not negative.
    bound_ms = sum_up([grown(most_ms, instance.num_rows + 2), vanished_ms(instance)])
    return Outcome(
        stop_reason=StopReason.COMPLETED,
        placement=best,
        proven_optimal=True,
        bound_saving_ms=bound_ms,
        bound_certified=True,
        claimed_saving_ms=most_ms,
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
    lengths = np.diff(instance.demand_offsets)
    user = np.repeat(instance.demand_user.astype(np.int64), lengths)
    layer = instance.model_layer_offset[instance.user_model[user]] + np.repeat(
        instance.demand_layer, lengths
    )
    expert = instance.layer_expert_offset[layer] + instance.demand_experts
    own = np.repeat(np.arange(instance.num_users), np.diff(instance.local_offsets))
    on_device = instance.model_expert_offset[instance.user_model[own]] + instance.local_experts
    is_local = np.isin(user * instance.num_experts + expert, own * instance.num_experts + on_device)
    beats_cloud = instance.latency_ms[user, server] < instance.cloud_latency_ms[user]
    wanted = np.repeat(instance.demand_rate, lengths) > 0.0
    useful = np.unique(expert[wanted & beats_cloud & ~is_local]).tolist()
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


def _holders(choices: list[Contents]) -> Holders:
    """Tell, for each expert that one server may store, which of its choices hold it."""
    return {
        expert: np.array([expert in contents for contents in choices], dtype=np.bool_)
        for expert in sorted(set().union(*choices))
    }


def _saving_ms(
    instance: Instance, held: list[Holders], chosen: tuple[NDArray[np.int64], ...]
) -> NDArray[np.float64]:
    """Evaluate placements all at once, row by row, so that small savings stay exact.

    Element by element in a fixed order: the first of equal placements is the same everywhere.
    """
    local = [set(instance.user_local_experts(u).tolist()) for u in range(instance.num_users)]
    waits: dict[tuple[int, int], NDArray[np.float64]] = {}
    total = np.zeros(chosen[0].size)
    for row in range(instance.num_rows):
        user = int(instance.demand_user[row])
        wait, empty_wait = np.zeros(total.size), 0.0
        for expert in _row_experts(instance, row):
            if expert in local[user]:
                wait = np.maximum(wait, instance.local_latency_ms[user])
                empty_wait = max(empty_wait, float(instance.local_latency_ms[user]))
            else:
                if (user, expert) not in waits:
                    waits[user, expert] = _wait_ms(instance, user, expert, held, chosen)
                wait = np.maximum(wait, waits[user, expert])
                empty_wait = max(empty_wait, float(instance.cloud_latency_ms[user]))
        total += instance.demand_rate[row] * (empty_wait - wait)
    return total


def _wait_ms(
    instance: Instance,
    user: int,
    expert: int,
    held: list[Holders],
    chosen: tuple[NDArray[np.int64], ...],
) -> NDArray[np.float64]:
    """Return how long a user waits for an expert that is not local; float64 (placements,)."""
    wait = np.full(chosen[0].size, instance.cloud_latency_ms[user])
    for server, holders in enumerate(held):
        if expert in holders:
            here = holders[expert][chosen[server]]
            wait = np.where(here, np.minimum(wait, instance.latency_ms[user, server]), wait)
    return wait


BRUTE_FORCE = Algorithm(
    name="brute-force",
    solve=brute_force,
    exact=True,
    summary=f"every maximal placement, at most {MAX_PLACEMENTS:,}: the oracle of the tests",
    source="definition of the problem",
    complexity="number of placements x size of the demand",
    supports=supports,
)
