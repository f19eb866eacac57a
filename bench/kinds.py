"""What kind of result a row is, in one word: for counting, filtering, and repeating what failed.

Status and stop reason stay the facts; a kind is derived from them, and nothing else decides it.
"""

from enum import StrEnum

from instances.result import Status, StopReason


class Kind(StrEnum):
    """The kinds of results.

    A solve that crashed or ran out of memory is counted as that, also when its incumbent is kept;
    a solve that ran into its time limit counts as ``time_limit`` only when it leaves no placement.
    """

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    NO_SOLUTION = "no_solution"
    INFEASIBLE = "infeasible"
    UNSUPPORTED = "unsupported"
    TIME_LIMIT = "time_limit"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    WRONG = "wrong"


SETTLED = frozenset({Kind.OPTIMAL, Kind.FEASIBLE, Kind.INFEASIBLE, Kind.UNSUPPORTED})
"""Kinds that another try would not change; the others are failures."""

_BY_STOP_REASON = {
    StopReason.WRONG_CLAIM: Kind.WRONG,
    StopReason.UNSUPPORTED: Kind.UNSUPPORTED,
    StopReason.MEMORY_LIMIT: Kind.OUT_OF_MEMORY,
    StopReason.CRASHED: Kind.CRASHED,
    StopReason.SOLVER_ERROR: Kind.CRASHED,
}

_BY_STATUS = {
    Status.OPTIMAL: Kind.OPTIMAL,
    Status.FEASIBLE: Kind.FEASIBLE,
    Status.INFEASIBLE: Kind.INFEASIBLE,
}


def kind_of(status: Status | str, stop_reason: StopReason | str) -> Kind:
    """Return the kind of a result.

    >>> kind_of("no_solution", "time_limit"), kind_of("feasible", "time_limit")
    (<Kind.TIME_LIMIT: 'time_limit'>, <Kind.FEASIBLE: 'feasible'>)
    """
    status, stop_reason = Status(status), StopReason(stop_reason)
    if stop_reason in _BY_STOP_REASON:
        return _BY_STOP_REASON[stop_reason]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if stop_reason is StopReason.TIME_LIMIT:
        return Kind.TIME_LIMIT
    return Kind.CRASHED if status is Status.ERROR else Kind.NO_SOLUTION
