"""What more storage would bring, server by server: what is found, and what is possible at most."""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from heuristics.search import Search, tables_or_hull
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import Clauses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What additional storage on one server brings, ms per token.

    Parameters
    ----------
    found_ms
        Saving beyond the plan's that was found by storing more there; NaN when nothing was tried.
    most_ms
        No placement saves more than this beyond the plan's; infinite when unknown.
    """

    found_ms: float
    most_ms: float


def find_growth(
    instance: Instance,
    clauses: Clauses,
    placement: Placement,
    bounds_with_more_ms: NDArray[np.float64],
    extra_bytes: int,
    deadline: Deadline,
) -> list[Growth]:
    """Try more storage on each server alone, while there is time.

    That server is re-solved with the additional storage, then each of the others once.
    """
    before = evaluate(instance, placement).saving_ms
    growths = []
    for server, bound in enumerate(bounds_with_more_ms.tolist()):
        found = math.nan
        if not deadline.passed:
            capacity = instance.capacity_bytes.copy()
            capacity[server] += extra_bytes
            grown = dataclasses.replace(instance, capacity_bytes=capacity)
            search = Search(grown, clauses, deadline)
            stored = placement.stored
            others = [n for n in range(instance.num_servers) if n != server]
            for n in (server, *others):
                if deadline.passed:
                    break
                proposal = stored.copy()
                proposal[n] = search.response(stored, n, tables_or_hull)
                stored = search.better(stored, proposal)
            # nothing is known of a server that was not looked at to the end
            if stored is not placement.stored or not deadline.passed:
                found = max(0.0, evaluate(grown, Placement(stored)).saving_ms - before)
        growths.append(Growth(found_ms=found, most_ms=max(0.0, bound - before)))
    return growths
