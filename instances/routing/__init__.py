"""Routing: which experts the tokens of each user choose, drawn, measured and fitted."""

from instances.routing.drawing import draw_choices, draw_routes
from instances.routing.router import (
    CLASSES,
    FINE_GRAINED,
    MIXTRAL_LIKE,
    ROUTINGS,
    UNIFORM,
    Router,
)

__all__ = [
    "CLASSES",
    "FINE_GRAINED",
    "MIXTRAL_LIKE",
    "ROUTINGS",
    "UNIFORM",
    "Router",
    "draw_choices",
    "draw_routes",
]
