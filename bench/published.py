"""What is known of the published instances, family by family, from the archive beside the code."""

from collections.abc import Iterable
from dataclasses import dataclass

from instances.best_known.entry import Entry
from instances.families import FAMILIES


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSize:
    """The published instances of one family and size.

    Parameters
    ----------
    instances
        How many there are.
    proven
        How many of them have a proven optimum.
    worst_gap
        Largest certified gap, 0 for a proven optimum, infinite where a bound is missing.
    worst_on
        The instance with that gap.
    """

    instances: int
    proven: int
    worst_gap: float
    worst_on: str


def published_sizes(entries: Iterable[Entry]) -> dict[str, dict[str, PublishedSize]]:
    """Return for every family, and every size of it that is published, what is known."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.family, entry.size), []).append(entry)
    table: dict[str, dict[str, PublishedSize]] = {}
    for family in FAMILIES:
        for size in family.sizes:
            group = groups.get((family.name, size))
            if group:
                table.setdefault(family.name, {})[size] = _size(group)
    return table


def _size(entries: list[Entry]) -> PublishedSize:
    gaps = {entry.instance: 0.0 if entry.proven else entry.gap for entry in entries}
    worst_on = max(gaps, key=lambda name: gaps[name])
    return PublishedSize(
        instances=len(entries),
        proven=sum(entry.proven is not None for entry in entries),
        worst_gap=gaps[worst_on],
        worst_on=worst_on,
    )
