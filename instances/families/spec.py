"""A family of instances: a name, sizes, options, and a function that makes one from a seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from instances.errors import InputError
from instances.problem import Instance
from instances.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which instance of a family is wanted.

    Parameters
    ----------
    size, seed
        As the user gave them.
    options
        All options of the family, with their defaults where the user gave none.
    name
        ``{family}-{size}-s{seed}``, followed by the options that differ from their defaults.
    """

    size: str
    seed: int
    options: Mapping[str, str]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Instances of one kind, the same for the same size and seed on every machine.

    Parameters
    ----------
    name
        Registry name.
    summary
        One line for lists.
    source
        Where the kind of instance comes from.
    sizes
        Names of its sizes, ascending.
    build
        Makes the instance.
    options
        Values that each option may take; the first is the default.
    """

    name: str
    summary: str
    source: str
    sizes: tuple[str, ...]
    build: Callable[[Request], Instance]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def generate(self, size: str, seed: int, **options: str) -> Instance:
        """Make one instance.

        Parameters
        ----------
        size
            One of :attr:`sizes`.
        seed
            Any whole number >= 0.
        options
            Values for some of :attr:`options`.

        Raises
        ------
        InputError
            When the size, the seed or an option is not valid.
        """
        if size not in self.sizes:
            raise InputError("size", f"{size!r} is not one of {', '.join(self.sizes)}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InputError("seed", f"{seed!r} is not a whole number >= 0")
        for name, value in options.items():
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise InputError(name, f"family {self.name!r} has no such option; it has: {known}")
            if value not in self.options[name]:
                raise InputError(name, f"{value!r} is not one of {', '.join(self.options[name])}")
        chosen = {name: options.get(name, values[0]) for name, values in self.options.items()}
        changed = [f"-{chosen[n]}" for n, values in self.options.items() if chosen[n] != values[0]]
        return self.build(
            Request(
                size=size,
                seed=seed,
                options=chosen,
                name=f"{self.name}-{size}-s{seed}{''.join(changed)}",
            )
        )


FAMILIES = Registry[Family]("family", entry_point_group="moeplace.families")


def generate(family_name: str, *, size: str, seed: int, **options: str) -> Instance:
    """Make one instance of the family of that name.

    Raises
    ------
    InputError
        When the family, the size, the seed or an option is not valid.

    Examples
    --------
    >>> generate("tiny", size="tiny", seed=0).name
    'tiny-tiny-s0'
    """
    return FAMILIES.get(family_name).generate(size, seed, **options)
