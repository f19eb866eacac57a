"""What runs while calls of kernels are recorded.

Every method on tiny instances, which is every path through it; the common ones on instances of ten
thousand rows; and what is beside methods: evaluation, curves, moves, routing, simulation. No time
limits, so that the same calls are recorded on every machine.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bench.algorithms import find_algorithm, find_algorithms
from bench.column_growth import make_instance
from bench.growth.shapes import build, sizes_of
from bench.held_out import synthetic_traffic
from bench.instructions.calls import Arguments, recording
from bench.warmup import warmup_instances
from heuristics.migration import Migration
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.routing.statistics import measure
from instances.simulation.caches import replay_caches
from instances.simulation.queueing import Queueing
from instances.simulation.simulator import simulate
from instances.simulation.tokens import draw_tokens
from instances.structure.clauses import build_clauses
from instances.structure.curves import Curve, Prefixes, add_all
from instances.structure.maxplus import convolve

WITHOUT_KERNELS = ("milp", "cp-sat", "brute-force", "lp-rounding")
"""Beginnings of names of methods whose work is done by solvers, or by Python."""

ON_SMALL = {
    "gpt-oss": ("load-balance", "server-set"),
    "mixtral": ("successive-dp", "layer-generation", "server-set", "column-enumeration"),
    "switch": ("greedy", "successive-hull", "continuous-greedy"),
    "mixed": ("successive-dp", "layer-generation"),
}
"""Families, size ``small``, and what runs on them."""

ON_LARGER: Mapping[str, tuple[int, Mapping[str, Mapping[str, int]]]] = {
    "wide": (
        14_000,
        {
            **{name: {} for name in ("popularity", "greedy", "successive-modular")},
            **{"successive-hull": {}, "server-set": {"steps": 10}},
        },
    ),
    "single": (
        22_000,
        {"greedy": {}, "continuous-greedy": {"steps": 5, "multiplier_steps": 20}},
    ),
    "narrow": (26_000, {"successive-dp": {}, "layer-enumeration": {}}),
}
"""Shapes of the study of growth, their rows, and what runs on them, with its parameters."""

FEWER: Mapping[str, Mapping[str, int]] = {"improve": {"orders": 1, "rounds": 6}}
"""Parameters that shorten a search."""

_POINTS = 300


def methods_on_tiny_instances() -> None:
    """Run every method with kernels on the instances of the warm-up."""
    for instance in warmup_instances():
        for algorithm in find_algorithms(("heuristics", "exact", "bounds")):
            if not algorithm.name.startswith(WITHOUT_KERNELS):
                run(algorithm, instance, rng=np.random.default_rng(0))


def methods_on_small_instances() -> None:
    """Run methods for every number of experts, K = 1 and unequal sizes."""
    for family, names in ON_SMALL.items():
        instance = generate(family, size="small", seed=0)
        for name in names:
            _placed(instance, name, **FEWER.get(name, {}))


def methods_on_larger_instances() -> None:
    """Run the common methods on thousands of rows; evaluate what they find."""
    for shape, (rows, methods) in ON_LARGER.items():
        (size,) = (size for size in sizes_of("rows", shape) if size.value == rows)
        instance = build(size)
        for name, parameters in methods.items():
            placement = _placed(instance, name, **parameters)
            evaluate(instance, placement)
            build_clauses(instance).saving_ms(placement)


def local_search() -> None:
    """Exchange single experts and whole clauses."""
    instance = generate("gpt-oss", size="small", seed=0)
    for name in ("successive-hull", "improve"):
        _placed(instance, name, **FEWER.get(name, {}))
    _placed(generate("set-union-knapsack", size="medium", seed=0), "successive-hull")


def exclusion() -> None:
    """Search layers one by one, and exclude placements until none is left."""
    _placed(make_instance(4, 0), "layer-enumeration")
    instance = make_instance(4, 0)
    start = _placed(instance, "successive-hull")
    run(find_algorithm("column-enumeration"), instance, rng=np.random.default_rng(0), start=start)


def moves() -> None:
    """Move from one placement towards another, few bytes at a time."""
    instance = generate("mixtral", size="small", seed=0)
    old, new = _placed(instance, "popularity"), _placed(instance, "successive-hull")
    migration = Migration(
        instance, old=old, new=new, rng=np.random.default_rng(0), deadline=Deadline.after(None)
    )
    for move in migration.explore(5):
        migration.within(move.loaded_bytes // 2)


def sums_of_curves() -> None:
    """Add curves: rough, smooth, and with sizes that have nothing in common."""
    rng = np.random.default_rng(0)
    steps = rng.random((2, 10 * _POINTS))
    rough = np.cumsum(steps, axis=1)
    smooth = np.cumsum(-np.sort(-steps, axis=1), axis=1)
    for left, right in ((smooth, smooth), (rough, smooth), (rough, rough)):
        convolve(left[0], right[1], 20 * _POINTS - 1)
    curves = []
    for _ in range(2):
        size = np.concatenate([[0], np.cumsum(rng.integers(10**6, 10**8, _POINTS))])
        value = np.concatenate([[0.0], np.cumsum(rng.random(_POINTS))])
        order = np.arange(_POINTS)
        curves.append(Curve(size, value, Prefixes(order, np.arange(_POINTS + 1))))
    add_all(curves, int(curves[0].bytes[-1]), Deadline.after(None), num_bins=_POINTS)


def traffic() -> None:
    """Draw traffic, measure it, and let it walk through a placement and through caches."""
    instance, routes, _ = synthetic_traffic("mixtral", "tiny", 0)
    measure(routes.experts, routes.offsets, experts=instance.models[0].experts)
    placement = _placed(instance, "successive-hull")
    tokens = draw_tokens(instance, 2_000, np.random.default_rng(0))
    simulate(instance, placement, tokens)
    simulate(instance, placement, tokens, queueing=Queueing(service_share=0.1))
    for policy in ("lru", "lfu"):
        replay_caches(instance, tokens, policy, start=placement)


MAIN_SCENES: tuple[Callable[[], None], ...] = (
    methods_on_larger_instances,
    local_search,
    sums_of_curves,
)
MAIN_MODULES = (
    "instances.kernels",
    "instances.routing.drawing_kernels",
    *(
        f"instances.structure.{name}kernels"
        for name in ("", "server_", "closure_", "peeling_", "maxplus_")
    ),
    *(
        f"heuristics.{name}kernels"
        for name in ("", "greedy_", "greedy_single_", "ejection_", "continuous_", "knapsack_")
    ),
    "formulations.bounds.server_set_kernels",
)
"""What the common methods and steps spend their time in; their instructions are counted."""

SCENES: tuple[Callable[[], None], ...] = (
    methods_on_tiny_instances,
    methods_on_small_instances,
    methods_on_larger_instances,
    local_search,
    exclusion,
    moves,
    sums_of_curves,
    traffic,
)


def record_calls() -> dict[str, Arguments]:
    """Play all scenes; return the arguments of the largest call of each kernel, by its name."""
    with recording() as record:
        for scene in SCENES:
            scene()
    return dict(sorted(record.calls.items()))


def record_main_calls() -> dict[str, Arguments]:
    """Play the scenes of the main kernels only; return their largest calls."""
    with recording() as record:
        for scene in MAIN_SCENES:
            scene()
    calls = sorted(record.calls.items())
    return {name: call for name, call in calls if name.rpartition(".")[0] in MAIN_MODULES}


def _placed(instance: Instance, name: str, **parameters: Any) -> Placement:
    """Run a method without a limit; what a bound leaves open is left empty."""
    outcome = run(find_algorithm(name), instance, rng=np.random.default_rng(0), **parameters)
    return Placement.empty(instance) if outcome.placement is None else outcome.placement
