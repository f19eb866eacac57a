"""Who may import whom: instances <- formulations, heuristics <- bench, read from the sources."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("instances", "formulations", "heuristics", "bench")
MAY_IMPORT = {
    "instances": {"instances"},
    "formulations": {"instances", "formulations"},
    "heuristics": {"instances", "heuristics"},
    "bench": set(ROOMS),
}
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path):
    """Return the modules that a file imports, at its top or inside a function."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parent = ".".join([*base, *([node.module] if node.module else [])])
            found |= {parent, *(f"{parent}.{alias.name}" for alias in node.names)}
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "import_module"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(node.args[0].value)
    return found


def rooms(modules):
    return {module.split(".")[0] for module in modules}


def test_there_are_sources_in_every_room():
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(ROOMS)
    assert "instances" in rooms(imported_modules(ROOT / "instances" / "evaluation.py"))


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_downwards_only(path):
    own_room = path.relative_to(ROOT).parts[0]
    ours = rooms(imported_modules(path)) & {*ROOMS, "tests"}
    assert ours <= MAY_IMPORT[own_room]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_highspy_is_never_imported(path):
    # it cannot live in one process with OR-Tools, which brings its own HiGHS
    assert "highspy" not in rooms(imported_modules(path))


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.name == "kernels.py"], ids=module_name
)
def test_kernels_take_arrays_and_nothing_else(path):
    ours = {module for module in imported_modules(path) if module.split(".")[0] in ROOMS}
    assert all(".kernels." in f"{module}." for module in ours)


def ours_behind(module):
    """Return the modules of ours that importing a module brings in, itself included."""
    known = {module_name(path): path for path in SOURCES}
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found.add(name)
            waiting += imported_modules(known[name])
    return found


def test_the_checker_is_independent_evidence():
    assert ours_behind("instances.checker") - {"instances"} == {
        "instances.arrays",
        "instances.checker",
        "instances.demand_checks",
        "instances.errors",
        "instances.fields",
        "instances.model",
        "instances.placement",
        "instances.problem",
    }
    # arrays, but no compiled loops: those of the evaluator and the solvers are
    known = {"instances", "numpy", *sys.stdlib_module_names}
    assert rooms(imported_modules(ROOT / "instances" / "checker.py")) <= known


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import heuristics.greedy", "heuristics"),
        ("from heuristics import greedy", "heuristics"),
        ("def f():\n    from heuristics.greedy import run", "heuristics"),
        ("import importlib\nimportlib.import_module('heuristics.greedy')", "heuristics"),
        ("if True:\n    import numpy as np, bench", "bench"),
    ],
)
def test_no_import_is_overlooked(tmp_path, monkeypatch, source, expected):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "instances" / "x.py"
    path.parent.mkdir()
    path.write_text(source)
    assert expected in rooms(imported_modules(path))


def test_relative_imports_are_resolved(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "instances" / "structure" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text("from . import kernels\nfrom ..problem import Instance\nfrom ... import bench")
    found = imported_modules(path)
    assert {"instances.structure.kernels", "instances.problem"} <= found
