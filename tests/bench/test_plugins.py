"""Packages of strangers: installed by pip without network, found, run, judged and reported."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.store import Store

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "example-plugin"

MODULE = """
import dataclasses
from formulations import EXACT
from instances.families import Family, generate
from instances.registry import Algorithm
from instances.result import Outcome


def enumerate_all(instance, *, rng, time_limit=None):
    return EXACT.get("brute-force").solve(instance, rng=rng, time_limit=time_limit)


def too_large(instance):
    return EXACT.get("brute-force").supports(instance)


def build(request):
    base = generate("tiny", size="tiny", seed=request.seed)
    return dataclasses.replace(base, name=request.name)


COUNTING = Algorithm(name="counting", solve=enumerate_all, exact=True, summary="s", source="s",
                     complexity="c", supports=too_large)
FAMILY = Family(name="their-family", summary="s", source="s", sizes=("tiny",), build=build)
"""

POINTS = """
[project.entry-points."moeplace.exact"]
counting = "stranger:COUNTING"
[project.entry-points."moeplace.families"]
their-family = "stranger:FAMILY"
"""

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "stranger"
version = "1"
[tool.setuptools]
py-modules = ["stranger"]
"""


class Site:
    """A folder of installed packages beside moeplace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self, source: Path) -> None:
        """Install a package with pip: no network, nothing but what is here already."""
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(self.path)]
        subprocess.run([*command, *options, str(source)], check=True)

    def moeplace(self, *words: object, code: int = 0) -> tuple[str, str]:
        """Run a command; returns stdout and stderr."""
        program = subprocess.run(
            [sys.executable, "-m", "bench.cli", *(str(word) for word in words)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(self.path), str(ROOT)))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert program.returncode == code, program.stderr
        assert "Traceback" not in program.stderr
        return program.stdout, program.stderr


def write_package(folder: Path, module: str, points: str) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT + points)
    (folder / "stranger.py").write_text(module)
    return folder


def lay_out(path: Path, module: str, points: str) -> Site:
    """Install a package as pip would leave it, but at once."""
    path.mkdir()
    (path / "stranger.py").write_text(module)
    folder = path / "stranger-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(points)
    return Site(path)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The example of the documentation, and a package with an exact method and a family."""
    site = Site(tmp_path_factory.mktemp("site"))
    copy = tmp_path_factory.mktemp("example") / "package"  # builds leave files behind
    copy.mkdir()
    for name in ("pyproject.toml", "moeplace_example.py"):
        (copy / name).write_bytes((EXAMPLE / name).read_bytes())
    site.install(copy)
    site.install(write_package(copy.parent / "stranger", MODULE, POINTS))
    return site


def test_the_example_is_short() -> None:
    lines = (EXAMPLE / "moeplace_example.py").read_text(encoding="utf-8").splitlines()
    assert sum(1 for line in lines if line.strip()) <= 30


def test_plugins_are_listed(site: Site) -> None:
    for group, name in (
        ("heuristics", "together"),
        ("exact", "counting"),
        ("families", "their-family"),
    ):
        content = json.loads(site.moeplace("list", group, "--json")[0])
        assert name in [entry["name"] for entry in content[group]]


def test_plugins_conform(site: Site) -> None:
    for name in ("together", "their-family"):
        out, err = site.moeplace("conformance", name)
        assert "BROKEN" not in out
        assert err == ""


def test_plugins_solve_run_and_are_reported(site: Site, tmp_path: Path) -> None:
    instance = tmp_path / "theirs.json"
    site.moeplace("generate", "their-family", "--size", "tiny", "--seed", "0", "-o", instance)
    solved = json.loads(site.moeplace("solve", instance, "--with", "together", "--json")[0])
    assert solved["status"] == "feasible"
    assert solved["instance"] == "their-family-tiny-s0"
    store, report = tmp_path / "results.sqlite", tmp_path / "report"
    site.moeplace(
        *("run", "--families", "their-family", "--sizes", "tiny", "--store", store),
        *("--with", "together", "counting", "greedy", "--seeds", "0-1"),
    )
    site.moeplace("report", "--store", store, "-o", report)
    page = (report / "index.html").read_text(encoding="utf-8")
    for name in ("together", "counting", "their-family"):
        assert name in page


def test_an_upgraded_plugin_is_other_code(tmp_path: Path) -> None:
    points = POINTS.replace("project.entry-points.", "").replace('"', "")
    site = lay_out(tmp_path / "site", MODULE, points)
    store = tmp_path / "results.sqlite"
    words = ("run", "--families", "their-family", "--sizes", "tiny", "--store", store)
    words += ("--with", "counting", "greedy")
    site.moeplace(*words)
    with (site.path / "stranger.py").open("a") as file:
        file.write("# an edit, and the version is still 1\n")
    out, _ = site.moeplace(*words)
    assert "2 had finished before and were skipped, 1 of them with another version of the" in out
    site.moeplace(*words, "--redo", "outdated")
    with Store.open(store) as opened:
        history = opened.results(history=True)
        families = opened.instances()["plugin"]
    assert list(history["algorithm"]) == ["counting", "greedy", "counting"]
    first, own, second = history["plugin"]
    assert own == ""
    assert re.fullmatch(r"stranger 1\+src\.[0-9a-f]{12}", first)
    assert second.startswith("stranger 1+src.")
    assert second != first
    assert list(families) == [second]
    report = tmp_path / "report"
    site.moeplace("report", "--store", store, "-o", report)
    assert f"<code>{second}</code> (1 run)" in (report / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError"),
        ("COUNTING = 1", "stranger:COUNTING is no Algorithm, but int"),
        ("", "cannot be loaded: AttributeError"),
        (MODULE.replace('"counting"', '"brute-force"'), "'brute-force' is already registered"),
    ],
)
def test_a_broken_plugin_is_named_in_one_line(tmp_path: Path, module: str, problem: str) -> None:
    site = lay_out(tmp_path / "site", module, "[moeplace.exact]\ncounting = stranger:COUNTING\n")
    out, err = site.moeplace("list", "exact", code=2)
    assert out == ""
    assert err.count("\n") == 1
    assert "plug-in 'counting' of stranger: " in err
    assert problem in err
