"""What bench hands to methods that must not import it themselves: solvers, by name."""

import importlib
from collections.abc import Mapping
from typing import Any

from instances.errors import InputError
from instances.registry import Algorithm

_SUPPLIES = {"integer_master": {"highs": ("bench.integer_master", "choose_columns")}}
"""For each parameter: names that a user may give, with the module and function they stand for."""


def supplied(algorithm: Algorithm, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Put functions in place of the names of what a method asks for; solvers are imported here.

    Raises
    ------
    InputError
        When there is nothing of that name.
    """
    resolved = dict(parameters)
    for parameter in algorithm.supplied:
        name = resolved.get(parameter)
        if name is None:
            continue
        known = _SUPPLIES.get(parameter, {})
        if name not in known:
            raise InputError(parameter, f"{name!r} is not one of {', '.join(known) or 'none'}")
        module, function = known[name]
        resolved[parameter] = getattr(importlib.import_module(module), function)
    return resolved
