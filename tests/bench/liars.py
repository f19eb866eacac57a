"""Methods that claim more than they keep."""

import numpy as np

from heuristics import HEURISTICS
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee


def store_nothing(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    return Placement.empty(instance)


def popular(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    placement = HEURISTICS.get("popularity").solve(instance, rng=rng, time_limit=time_limit)
    assert isinstance(placement, Placement)
    return placement


def overfull(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    return Placement(np.ones((instance.num_servers, instance.num_experts), dtype=np.bool_))


def everything(instance: Instance) -> float:
    return 1.0


def nine_tenths(instance: Instance) -> float | None:
    return 0.9 if instance.top_k == 1 else None


def _liar(name: str, solve: object, ratio: object) -> Algorithm:
    return Algorithm(
        name=name,
        solve=solve,  # type: ignore[arg-type]
        exact=False,
        summary="for tests",
        source="tests",
        complexity="O(1)",
        guarantee=Guarantee(
            formula="F >= OPT (a lie)",
            scope="all",
            source="tests",
            ratio=ratio,  # type: ignore[arg-type]
        ),
    )


LIAR = _liar("liar", store_nothing, everything)
SUBTLE = _liar("subtle-liar", popular, nine_tenths)
OVERFULL = _liar("overfull-liar", overfull, nine_tenths)
