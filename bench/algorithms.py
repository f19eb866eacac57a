"""Every method by name: heuristics, exact methods, bounds."""

import difflib
from collections.abc import Iterable

from formulations import BOUNDS, EXACT
from heuristics import HEURISTICS
from instances.errors import InputError
from instances.registry import Algorithm

GROUPS = {"heuristics": HEURISTICS, "exact": EXACT, "bounds": BOUNDS}
"""Words that stand for all methods of one kind."""

QUICK = ("successive-dp", "successive-hull", "greedy", "popularity")
"""Heuristics whose best placement an exact method starts from."""


def find_algorithm(name: str) -> Algorithm:
    """Return a method by its name.

    Raises
    ------
    InputError
        When there is none; the message lists the known names and the nearest.
    """
    for registry in GROUPS.values():
        if name in registry:
            algorithm: Algorithm = registry.get(name)
            return algorithm
    known = [algorithm.name for registry in GROUPS.values() for algorithm in registry]
    raise InputError("method", f"{name!r} is not one of {_listed(name, known)}")


def find_algorithms(names: Iterable[str]) -> list[Algorithm]:
    """Return methods by name, in the order given; ``heuristics`` and so on mean all of a kind.

    Raises
    ------
    InputError
        When a name is unknown; the message lists the known names and the nearest.
    """
    found: dict[str, Algorithm] = {}
    for name in names:
        group = GROUPS.get(name)
        for algorithm in [find_algorithm(name)] if group is None else group:
            found[algorithm.name] = algorithm
    return list(found.values())


def quick_heuristics() -> list[Algorithm]:
    """Return the methods that look for a start."""
    return [HEURISTICS.get(name) for name in QUICK]


def _listed(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{', '.join(names)}{hint}"
