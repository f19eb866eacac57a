"""The published list: which instances best known values are kept of.

It only grows. Every instance is generated from its family, size and seed, the same everywhere; the
archive holds checksums against the day when that should no longer be so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from instances.errors import InputError
from instances.families import generate
from instances.problem import Instance


@dataclass(frozen=True, slots=True, order=True)
class Published:
    """One instance of the list.

    Parameters
    ----------
    family, size, seed
        What it is generated from.
    """

    family: str
    size: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the instance: ``mixtral-small-s0``."""
        return f"{self.family}-{self.size}-s{self.seed}"

    def load(self) -> Instance:
        """Generate the instance.

        Raises
        ------
        InputError
            When there is no such family or size.
        """
        return generate(self.family, size=self.size, seed=self.seed)


SIZES = ("tiny", "small", "medium", "large", "real")
"""All sizes, ascending."""

SEEDS: Mapping[str, int] = MappingProxyType(
    {"tiny": 3, "small": 3, "medium": 2, "large": 1, "real": 1}
)
"""How many seeds, from 0, each size of a class of architecture has."""

BY_HAND = 5
"""Seeds of ``tiny``, the family of oddities."""

CLASSES = (
    *("switch", "switch-independent", "mixtral", "mixtral-independent"),
    *("sixteen-expert", "sixteen-expert-independent", "gpt-oss", "gpt-oss-independent"),
    *("fine-grained", "fine-grained-independent", "mixed", "mixed-independent"),
)
"""Families with realistic demand."""

TRAPS = (
    *("coverage-tight", "density-trap", "coactivation-trap", "cross-server-trap"),
    *("order-trap", "hull-trap"),
)
"""Adversarial families, one seed of each size but real, which they do not have."""


def _catalogue() -> tuple[Published, ...]:
    oddities = [Published("tiny", "tiny", seed) for seed in range(BY_HAND)]
    realistic = [
        Published(family, size, seed)
        for size in SIZES
        for family in CLASSES
        for seed in range(SEEDS[size])
    ]
    traps = [Published(family, size, 0) for size in SIZES[:-1] for family in TRAPS]
    ranks = {size: rank for rank, size in enumerate(SIZES)}
    return tuple(sorted([*oddities, *realistic, *traps], key=lambda each: ranks[each.size]))


CATALOGUE: Mapping[str, Published] = MappingProxyType({each.name: each for each in _catalogue()})
"""The list by name, small instances first."""


def find_published(names: list[str]) -> list[Published]:
    """Return instances of the list by name, family or size; all of them for no name.

    Raises
    ------
    InputError
        When a name is none of these.
    """
    if not names:
        return list(CATALOGUE.values())
    found: dict[str, Published] = {}
    for name in names:
        chosen = [
            each for each in CATALOGUE.values() if name in (each.name, each.family, each.size)
        ]
        if not chosen:
            families = ", ".join(dict.fromkeys(each.family for each in CATALOGUE.values()))
            raise InputError(
                "instance",
                f"{name!r} is neither an instance of the archive nor one of its sizes "
                f"({', '.join(SIZES)}) or families ({families})",
            )
        found.update({each.name: each for each in chosen})
    return list(found.values())
