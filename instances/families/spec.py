"""A family of instances: a name, sizes, options, and a function that makes one from a seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from instances.errors import InputError
from instances.problem import Instance
from instances.registry import Registry
from instances.routing import Router
from instances.routing.files import NamedRouter


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
        ``{family}-{size}-s{seed}``, followed by the options that differ from their defaults and
        the name of the router.
    router
        A router of the user's own, instead of what ``options`` say of routing.
    """

    size: str
    seed: int
    options: Mapping[str, str]
    name: str
    router: Router | None = None


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
    takes_router
        Whether tokens can be routed by a router of the user's own.
    """

    name: str
    summary: str
    source: str
    sizes: tuple[str, ...]
    build: Callable[[Request], Instance]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    takes_router: bool = False

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
        return self._build(size, seed, options, None)

    def generate_routed(
        self, size: str, seed: int, router: NamedRouter, **options: str
    ) -> Instance:
        """Make one instance whose tokens a router of the user's own routes.

        Parameters
        ----------
        size, seed, options
            As for :meth:`generate`, but without the option ``routing``.
        router
            For example a fitted one; the instance's name ends in its name.

        Raises
        ------
        InputError
            When the size, the seed or an option is not valid, or the family takes no router.
        """
        if not self.takes_router:
            raise InputError("routing", f"family {self.name!r} takes no router of one's own")
        if "routing" in options:
            raise InputError("routing", f"given twice: {options['routing']!r} and a router")
        return self._build(size, seed, options, router)

    def _build(
        self, size: str, seed: int, options: Mapping[str, str], router: NamedRouter | None
    ) -> Instance:
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
        if router is not None:
            changed.append(f"-{router.name}")
        return self.build(
            Request(
                size=size,
                seed=seed,
                options=chosen,
                name=f"{self.name}-{size}-s{seed}{''.join(changed)}",
                router=None if router is None else router.router,
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
