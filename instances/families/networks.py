"""Options of families that say what their networks are like; the defaults come first.

The names of the values stand in the names of instances, so that none may occur twice.
"""

from collections.abc import Mapping
from dataclasses import replace

from instances.network_spec import BACKHAULS, URBAN_MACRO, URBAN_MICRO, NetworkSpec

HIDDEN_STATES: Mapping[str, tuple[str, str]] = {
    "bf16-hidden": ("bf16", "bf16"),
    "fp8-dispatch": ("fp8", "bf16"),
    "fp8-hidden": ("fp8", "fp8"),
}
"""Precision of the hidden state on its way to an expert, and of the output on its way back.

DeepSeek-V3 dispatches in 8 bits and combines in 16 (arXiv:2412.19437, section 3.3).
"""

NETWORK_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "cells": ("umi", "uma"),
    "backhaul": BACKHAULS,
    "band": ("whole-band", "shared-band"),
    "hidden": tuple(HIDDEN_STATES),
}
"""Options, and the values that each may take: cells of TR 38.901, shape of the backhaul, whether
users of a site share its band, and the width of what travels."""


def network_spec(options: Mapping[str, str]) -> NetworkSpec:
    """Return what the options say random networks are drawn from."""
    return replace(
        URBAN_MACRO if options["cells"] == "uma" else URBAN_MICRO,
        backhaul=options["backhaul"],
        shared_band=options["band"] == "shared-band",
    )


def hidden_state(options: Mapping[str, str]) -> tuple[str, str]:
    """Return the precisions of the hidden state and of the output."""
    return HIDDEN_STATES[options["hidden"]]
