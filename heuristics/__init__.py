"""Approximation algorithms: baselines, greedy, successive decomposition."""

from heuristics.baselines import (
    LAYER_FILL,
    LOCAL_POPULARITY,
    POPULARITY,
    RANDOM,
    ROUND_ROBIN,
)
from heuristics.continuous import CONTINUOUS_GREEDY
from heuristics.enumeration import GREEDY_ENUMERATION
from heuristics.greedy import GREEDY
from heuristics.improve import IMPROVE
from heuristics.layer_generation import LAYER_GENERATION
from heuristics.load_balance import LOAD_BALANCE
from heuristics.lp_rounding import LP_ROUNDING
from heuristics.successive import (
    SUCCESSIVE_DP,
    SUCCESSIVE_HULL,
    SUCCESSIVE_HULL_PASS,
    SUCCESSIVE_MODULAR,
)
from instances.registry import Algorithm, Registry

HEURISTICS: Registry[Algorithm] = Registry("heuristic", entry_point_group="moeplace.heuristics")

for _algorithm in (
    RANDOM,
    ROUND_ROBIN,
    LAYER_FILL,
    LOCAL_POPULARITY,
    POPULARITY,
    LOAD_BALANCE,
    GREEDY,
    GREEDY_ENUMERATION,
    CONTINUOUS_GREEDY,
    LP_ROUNDING,
    SUCCESSIVE_MODULAR,
    SUCCESSIVE_DP,
    SUCCESSIVE_HULL_PASS,
    SUCCESSIVE_HULL,
    IMPROVE,
    LAYER_GENERATION,
):
    HEURISTICS.register(_algorithm)

__all__ = ["HEURISTICS"]
