"""Ready-made runs: data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

AUTO, NONE = "auto", "none"
"""Whether methods that take a start get the best placement of the quick heuristics, or none."""

DEFAULT_SIZES = ("tiny", "small")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Instances that meet the same methods under the same limits.

    Parameters
    ----------
    families, sizes, seeds
        Generated instances: every family in each of these sizes that it has, with every seed. No
        sizes: :data:`DEFAULT_SIZES`.
    files
        Instance files.
    methods
        Names of methods; ``heuristics`` and ``exact`` stand for all of a kind. Randomised methods
        run once for each of ``seeds`` on every instance, the others once.
    time_limit_s
        Seconds for each method; None for no limit.
    start
        ``auto`` or ``none``, for exact methods; heuristics always find their own.
    """

    families: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    files: tuple[str, ...] = ()
    methods: tuple[str, ...]
    time_limit_s: float | None
    start: str = AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named list of batches.

    Parameters
    ----------
    name, summary
        What it is called, and one line about it.
    batches
        What it runs; what two batches share is run once.
    """

    name: str
    summary: str
    batches: tuple[Batch, ...]


_CLASSES = ("switch", "mixtral", "sixteen-expert", "gpt-oss", "fine-grained", "mixed")
"""One family for each class of architecture."""

_LIMIT_S = 10.0
"""One limit for the whole report: a method under two limits would count as two methods."""

REPORT = Preset(
    name="report",
    summary="every class of model, optima proven where that takes seconds; about a minute",
    batches=(
        # Exact methods against each other.
        Batch(
            families=("tiny",),
            sizes=("tiny",),
            seeds=(0, 1, 2),
            methods=("heuristics", "exact"),
            time_limit_s=_LIMIT_S,
        ),
        # Heuristics against proven optima, in every class.
        Batch(
            families=_CLASSES,
            sizes=("tiny",),
            seeds=(0, 1),
            methods=("heuristics", "milp-compact", "layer-enumeration"),
            time_limit_s=_LIMIT_S,
        ),
        Batch(
            families=("switch", "mixtral", "mixtral-independent"),
            sizes=("small",),
            seeds=(0, 1),
            methods=("heuristics", "layer-enumeration"),
            time_limit_s=_LIMIT_S,
        ),
        Batch(
            families=("mixtral",),
            sizes=("medium",),
            methods=("heuristics", "layer-enumeration"),
            time_limit_s=_LIMIT_S,
        ),
        Batch(
            families=("switch",),
            sizes=("medium",),
            methods=("heuristics", "milp-compact"),
            time_limit_s=_LIMIT_S,
        ),
        # Where optima are hard to prove: certified bounds.
        Batch(
            families=("sixteen-expert", "mixed"),
            sizes=("small",),
            methods=("heuristics", "server-set", "column-enumeration"),
            time_limit_s=_LIMIT_S,
        ),
        Batch(
            families=("gpt-oss", "fine-grained"),
            sizes=("small",),
            methods=("heuristics", "server-set"),
            time_limit_s=_LIMIT_S,
        ),
    ),
)

REAL = Preset(
    name="real",
    summary="every class of model at real size: quick placements, certified bounds; ten minutes",
    batches=(
        Batch(
            families=(*_CLASSES, *(f"{name}-independent" for name in _CLASSES)),
            sizes=("real",),
            methods=("popularity", "successive-hull", "server-set"),
            time_limit_s=60.0,
        ),
    ),
)

TRAPS = Preset(
    name="traps",
    summary="the adversarial families, where methods fall to their bounds; a minute",
    batches=(
        Batch(
            families=(
                *("coverage-tight", "density-trap", "coactivation-trap", "cross-server-trap"),
                *("order-trap", "hull-trap"),
            ),
            sizes=DEFAULT_SIZES,
            methods=("heuristics", "milp-compact"),
            time_limit_s=_LIMIT_S,
        ),
        # Three enumerated starts save three servers: it takes more of them to show.
        Batch(
            families=("density-trap",),
            sizes=("medium",),
            methods=("greedy", "greedy-enumeration", "milp-compact"),
            time_limit_s=_LIMIT_S,
        ),
    ),
)

_RATED = (
    *("continuous-greedy", "successive-hull-pass", "successive-hull", "improve"),
    "layer-generation",
)
"""The methods whose ratios docs/methodology.md tells family by family."""

RATIOS = Preset(
    name="ratios",
    summary="the best heuristics on six instances of every family with proven optima; minutes",
    batches=tuple(
        batch
        for seed in range(6)  # one run of a randomised method on an instance, not six
        for batch in (
            Batch(
                families=("tiny", *_CLASSES, *(f"{name}-independent" for name in _CLASSES)),
                sizes=("tiny",),
                seeds=(seed,),
                methods=(*_RATED, "milp-compact"),
                time_limit_s=2 * _LIMIT_S,
            ),
            Batch(
                families=("switch", "switch-independent", "mixtral", "mixtral-independent"),
                sizes=("small",),
                seeds=(seed,),
                methods=(*_RATED, "layer-enumeration"),
                time_limit_s=2 * _LIMIT_S,
            ),
        )
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {preset.name: preset for preset in (REPORT, TRAPS, RATIOS, REAL)}
)
