"""What the server-set bound becomes when one server gets more storage."""

import math

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.credits import Credits
from formulations.bounds.labels import Labels
from formulations.bounds.search import Search
from formulations.bounds.set_tables import SetTables
from instances.deadline import Deadline


def bounds_with_more_storage(
    search: Search,
    asked_bytes: NDArray[np.int64],
    credits: Credits,
    tables: SetTables | None,
    extra_bytes: int,
    deadline: Deadline,
) -> NDArray[np.float64]:
    """Bound the saving with more storage on one server at a time, ms per token; float64 (N,).

    Credits and prices prove a bound for any storage, so those of the best bound are evaluated again
    and prices move a little. Certified as the bound itself; docs/theory.md, section 7. Infinite for
    a server that experts would fit into for the first time: they are not part of the proof.

    Parameters
    ----------
    search
        The finished search.
    asked_bytes
        Sizes of all experts in a clause, of those that fit nowhere, too; int64 (any,).
    credits, tables
        What it searched with.
    extra_bytes
        Additional storage, bytes.
    deadline
        When to stop; the bounds that are still lacking are infinite.
    """
    instance = search.instance
    bounds = np.full(instance.num_servers, math.inf)
    known: dict[tuple[int, ...], float] = {}  # servers of one group often come to the same
    for server in range(instance.num_servers):
        capacity = instance.capacity_bytes.copy()
        capacity[server] += extra_bytes
        before = instance.capacity_bytes[server]
        if np.any((asked_bytes > before) & (asked_bytes <= capacity[server])):
            continue
        grown = credits.with_storage(instance, capacity)
        key = tuple(grown.groups.capacity_bytes.tolist())
        if key not in known:
            if deadline.passed:
                continue
            known[key] = _bound(search, grown, tables)
        bounds[server] = known[key]
    return bounds


def _bound(search: Search, credits: Credits, tables: SetTables | None) -> float:
    total = credits.total  # all clauses are satisfied at most
    if search.credit is not None:
        labels = Labels(credits)
        labels.look_at(search.credit)
        gains = 0.0
        if tables is not None:
            chosen = np.zeros_like(search.credit)
            gains = tables.with_storage(credits).value(search.credit, chosen)
        total = min(total, gains + labels.value(search.price))
    return search.bound_of(total)
