"""The floor of kernels: every compiled function that a module without kernels calls.

Kernels live in modules whose name ends in ``kernels``. Those that only other kernels call are
measured with these.
"""

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numba.core.registry import CPUDispatcher

ROOMS = ("instances", "heuristics", "formulations")
ENDING = "kernels"


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A module that uses a kernel, under a name of its own.

    Parameters
    ----------
    kernel
        Module and name of the kernel: ``instances.kernels.split_latency``.
    module
        Who calls it.
    name
        The name there; of a whole module of kernels ``module.function``.
    """

    kernel: str
    module: str
    name: str


def find_uses() -> list[Use]:
    """Return all uses of kernels outside of kernels, by reading the source."""
    return sorted({use for room in ROOMS for use in _uses_in(Path(_folder(room)), room)})


def public_kernels() -> list[str]:
    """Return the kernels that are used outside of kernels: module and name."""
    return sorted({use.kernel for use in find_uses()})


def kernel(name: str) -> Any:
    """Return a kernel by module and name."""
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module), function)


def _folder(room: str) -> str:
    return str(importlib.import_module(room).__path__[0])


def _uses_in(folder: Path, room: str) -> Iterator[Use]:
    for path in sorted(folder.rglob("*.py")):
        parts = (room, *path.relative_to(folder).with_suffix("").parts)
        module = ".".join(part for part in parts if part != "__init__")
        if not path.stem.endswith(ENDING):
            for imported, name in _imports(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(kernel(imported), CPUDispatcher):
                    yield Use(kernel=imported, module=module, name=name)


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield what is imported from modules of kernels, and its name here."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        for alias in node.names:
            name = alias.asname or alias.name
            if node.module.endswith(ENDING):
                yield f"{node.module}.{alias.name}", name
            elif alias.name.endswith(ENDING):  # the whole module: its functions by their attributes
                for function in sorted(_attributes(tree, name)):
                    yield f"{node.module}.{alias.name}.{function}", f"{name}.{function}"


def _attributes(tree: ast.Module, name: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    }
