"""Registries: what exists under which name. Frozen specs; duplicates and unknown names raise."""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from instances.deadline import Deadline
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.result import OnProgress, Outcome, StopReason


class Named(Protocol):
    """Anything that a registry can hold."""

    @property
    def name(self) -> str:
        """Name under which it is registered."""


Spec = TypeVar("Spec", bound=Named)


class Registry(Generic[Spec]):
    """Specs by name, in the order of registration.

    Parameters
    ----------
    noun
        What the registry holds, for messages: "heuristic".
    entry_point_group
        Installed packages add their specs through this group; None for no plug-ins.
    """

    def __init__(self, noun: str, *, entry_point_group: str | None = None) -> None:
        self.noun = noun
        self._specs: dict[str, Spec] = {}
        self._points: dict[str, metadata.EntryPoint] = {}
        self._pending_group = entry_point_group

    def register(self, spec: Spec) -> Spec:
        """Add a spec.

        Raises
        ------
        ValueError
            When the name is taken.
        """
        if spec.name in self._specs:
            raise ValueError(f"{self.noun} {spec.name!r} is already registered")
        self._specs[spec.name] = spec
        return spec

    def get(self, name: str) -> Spec:
        """Return the spec of that name.

        Raises
        ------
        InputError
            When there is none; the message lists the known names.
        """
        self._load_plugins()
        if name not in self._specs:
            close = difflib.get_close_matches(name, self._specs, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(
                self.noun, f"{name!r} is not one of {', '.join(sorted(self._specs))}{hint}"
            )
        return self._specs[name]

    def entry_point(self, name: str) -> metadata.EntryPoint | None:
        """Return where a plug-in came from; None for our own, and for what there is not."""
        self._load_plugins()
        return self._points.get(name)

    def __iter__(self) -> Iterator[Spec]:
        self._load_plugins()
        return iter(self._specs.values())

    def __contains__(self, name: object) -> bool:
        self._load_plugins()
        return name in self._specs

    def __len__(self) -> int:
        self._load_plugins()
        return len(self._specs)

    def _load_plugins(self) -> None:
        """Register what installed packages offer; all of it, or nothing and an error each time."""
        if self._pending_group is None:
            return
        own = dict(self._specs)
        try:
            for point in metadata.entry_points(group=self._pending_group):
                self._register_plugin(point, own)
        except InputError:
            self._specs, self._points = own, {}
            raise
        self._pending_group = None

    def _register_plugin(self, point: metadata.EntryPoint, own: Mapping[str, Spec]) -> None:
        package = point.dist.name if point.dist else "an installed package"
        place = f"plug-in {point.name!r} of {package}"
        try:
            spec = point.load()
        except Exception as error:  # a stranger's module may raise anything; it is named here
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(place, f"cannot be loaded: {what}") from error
        kinds = tuple({type(each) for each in own.values()})  # plug-ins are of the kind of our own
        if kinds and not isinstance(spec, kinds):
            named = " or ".join(sorted(kind.__name__ for kind in kinds))
            raise InputError(place, f"{point.value} is no {named}, but {type(spec).__name__}")
        if spec.name in self._specs:
            raise InputError(place, f"{self.noun} {spec.name!r} is already registered")
        self._specs[spec.name] = spec
        self._points[spec.name] = point


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """A proved lower bound on the saving relative to the optimum.

    Parameters
    ----------
    formula
        The bound, as it stands in the docstring and in docs/theory.md.
    scope
        The instances for which it is proved.
    source
        Where the proof is.
    ratio
        The bound on F / OPT for one instance, or None where nothing is claimed.
    """

    formula: str
    scope: str
    source: str
    ratio: Callable[[Instance], float | None]


def supports_everything(instance: Instance) -> str | None:
    """Return None: there is no instance that the method cannot take."""
    return None


_COMMON = ("rng", "time_limit", "start", "on_progress")
"""Parameters of ``solve`` that mean the same for every method, and are not its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A placement method and what may be expected of it.

    Parameters
    ----------
    name
        Registry name.
    solve
        ``(instance, *, rng, time_limit, **parameters)``; a heuristic returns a
        :class:`~instances.placement.Placement`, an exact method an
        :class:`~instances.result.Outcome`. ``time_limit`` is in seconds, None for no limit.
    exact
        It proves optimality when it completes.
    summary
        One line for lists.
    source
        Where the method comes from.
    complexity
        Running time.
    supports
        ``supports(instance)``: the reason why it cannot take an instance, or None.
    guarantee
        Its proved ratio, if any.
    randomised
        Its placement depends on the seed.
    supplied
        Parameters that stand for functions which the caller hands in: the benchmark takes a name
        from its user and passes the function of that name. They may be None.
    """

    name: str
    solve: Callable[..., Placement | Outcome]
    exact: bool
    summary: str
    source: str
    complexity: str
    supports: Callable[[Instance], str | None] = supports_everything
    guarantee: Guarantee | None = None
    randomised: bool = False
    supplied: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """Names and defaults of the method's own parameters."""
        own = list(inspect.signature(self.solve).parameters.values())[1:]
        return {p.name: p.default for p in own if p.name not in _COMMON}

    @property
    def takes_start(self) -> bool:
        """Whether it can start from a given placement (parameter ``start``)."""
        return "start" in inspect.signature(self.solve).parameters

    @property
    def tells_progress(self) -> bool:
        """Whether it tells of incumbents and bounds on the way (parameter ``on_progress``)."""
        return "on_progress" in inspect.signature(self.solve).parameters

    def check_parameters(self, given: Mapping[str, Any]) -> None:
        """Check the names of parameters.

        Raises
        ------
        InputError
            When the method has no parameter of that name.
        """
        known = self.parameters
        for name in given:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise InputError(self.name, f"no parameter {name!r}; known parameters: {listed}")


def run(
    algorithm: Algorithm,
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    **parameters: Any,
) -> Outcome:
    """Run a method and bring its answer into one form.

    ``start`` and ``on_progress`` are offers: methods that cannot start from a placement, or have
    nothing to tell on the way, do without them.

    Raises
    ------
    InputError
        When a parameter is unknown.
    TypeError
        When the method returns neither a placement nor an outcome.
    """
    algorithm.check_parameters(parameters)
    reason = algorithm.supports(instance)
    if reason is not None:
        return Outcome(
            stop_reason=StopReason.UNSUPPORTED,
            placement=None,
            proven_optimal=False,
            reason=reason,
        )
    if start is not None and algorithm.takes_start:
        parameters["start"] = start
    if on_progress is not None and algorithm.tells_progress:
        parameters["on_progress"] = on_progress
    deadline = Deadline.after(time_limit)
    answer = algorithm.solve(instance, rng=rng, time_limit=time_limit, **parameters)
    if isinstance(answer, Placement):
        return Outcome(
            stop_reason=StopReason.TIME_LIMIT if deadline.passed else StopReason.COMPLETED,
            placement=answer,
            proven_optimal=False,
        )
    if not isinstance(answer, Outcome):
        raise TypeError(f"{algorithm.name} returned {type(answer).__name__}, not a placement")
    return answer
