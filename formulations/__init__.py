"""Exact methods and bounds."""

from formulations.bounds.lp import LP
from formulations.bounds.server_set import SERVER_SET
from formulations.brute_force import BRUTE_FORCE
from formulations.column_enumeration import COLUMN_ENUMERATION
from formulations.cpsat_method import CP_SAT
from formulations.layer_enumeration import LAYER_ENUMERATION
from formulations.methods import (
    MILP_AGGREGATED,
    MILP_COLUMNS,
    MILP_COMPACT,
    MILP_COMPACT_CBC,
    MILP_COMPACT_SCIP,
    MILP_LIFTED,
)
from instances.registry import Algorithm, Registry

EXACT: Registry[Algorithm] = Registry("exact method", entry_point_group="moeplace.exact")

for _algorithm in (
    BRUTE_FORCE,
    LAYER_ENUMERATION,
    COLUMN_ENUMERATION,
    MILP_COMPACT,
    MILP_COMPACT_SCIP,
    MILP_COMPACT_CBC,
    MILP_AGGREGATED,
    MILP_LIFTED,
    MILP_COLUMNS,
    CP_SAT,
):
    EXACT.register(_algorithm)

BOUNDS: Registry[Algorithm] = Registry("bound", entry_point_group="moeplace.bounds")

for _algorithm in (SERVER_SET, LP):
    BOUNDS.register(_algorithm)

__all__ = ["BOUNDS", "EXACT"]
