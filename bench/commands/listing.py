"""``moeplace list``: what there is under which name."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.commands.output import print_columns, print_json

if TYPE_CHECKING:
    from instances.registry import Algorithm, Registry


def execute(arguments: argparse.Namespace) -> int:
    """List one group, or all of them."""
    groups = [arguments.group] if arguments.group else list(_GROUPS)
    content = {group: _GROUPS[group]() for group in groups}
    if arguments.json:
        print_json(content)
        return 0
    for position, (group, entries) in enumerate(content.items()):
        if position:
            print()
        print(f"{group}:")
        print_columns([_row(group, entry) for entry in entries])
    return 0


def _families() -> list[dict[str, Any]]:
    from instances.families import FAMILIES

    return [
        {
            "name": family.name,
            "sizes": list(family.sizes),
            "options": {name: list(values) for name, values in family.options.items()},
            "summary": family.summary,
            "source": family.source,
        }
        for family in FAMILIES
    ]


def _models() -> list[dict[str, Any]]:
    from instances.architectures import ARCHITECTURES

    return [
        {
            "name": architecture.name,
            "layers": architecture.moe_layers,
            "experts": architecture.experts_per_layer,
            "top_k": architecture.top_k,
            "expert_bytes_bf16": architecture.expert_bytes("bf16"),
            "published_name": architecture.published_name,
            "source": architecture.source,
        }
        for architecture in ARCHITECTURES
    ]


def _registry(group: str) -> "Registry[Algorithm]":
    """Return one kind of methods, without loading the others."""
    if group == "heuristics":
        from heuristics import HEURISTICS

        return HEURISTICS
    from formulations import BOUNDS, EXACT

    return {"exact": EXACT, "bounds": BOUNDS}[group]


def _methods(group: str) -> Callable[[], list[dict[str, Any]]]:
    def entries() -> list[dict[str, Any]]:
        return [
            {
                "name": algorithm.name,
                "summary": algorithm.summary,
                "guarantee": (
                    None
                    if algorithm.guarantee is None
                    else {
                        "formula": algorithm.guarantee.formula,
                        "scope": algorithm.guarantee.scope,
                        "source": algorithm.guarantee.source,
                    }
                ),
                "complexity": algorithm.complexity,
                "source": algorithm.source,
                "randomised": algorithm.randomised,
                "takes_start": algorithm.takes_start,
                "parameters": algorithm.parameters,
            }
            for algorithm in _registry(group)
        ]

    return entries


_GROUPS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "families": _families,
    "models": _models,
    "heuristics": _methods("heuristics"),
    "exact": _methods("exact"),
    "bounds": _methods("bounds"),
}


def _row(group: str, entry: dict[str, Any]) -> tuple[str, ...]:
    if group == "families":
        return entry["name"], ", ".join(entry["sizes"]), entry["summary"]
    if group == "models":
        shape = f"{entry['layers']} layers x {entry['experts']} experts"
        size = f"{entry['expert_bytes_bf16'] / 1e6:.4g} MB"
        return entry["name"], shape, f"K = {entry['top_k']}", size
    guarantee = entry["guarantee"]
    return entry["name"], entry["summary"], "" if guarantee is None else guarantee["formula"]
