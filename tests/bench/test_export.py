"""moeplace export and moeplace import sol."""

import json
import os
from pathlib import Path

import pytest

from bench.cli import main
from formulations import EXACT
from instances.evaluation import evaluate
from instances.files import read_placement, write_instance, write_placement
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from tests.formulations.rules import RULES


@pytest.fixture
def pair() -> Instance:
    return RULES["a_pair_may_be_split_over_two_servers"]()[0]


@pytest.fixture
def files(pair: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an instance and its optimal placement."""
    monkeypatch.chdir(tmp_path)
    write_instance("pair.json", pair)
    placement = run(EXACT.get("brute-force"), pair, rng=None).placement
    assert placement is not None
    write_placement("best.json", pair, placement)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("suffix", ["mps", "lp"])
@pytest.mark.parametrize("formulation", ["compact", "aggregated", "lifted"])
def test_programs_are_written(
    suffix: str, formulation: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", "pair.json", "--format", suffix, "--formulation", formulation)
    code, out, _ = call(capsys, *words, "-o", f"pair.{suffix}")
    assert code == 0
    assert out.startswith(f"rule, {formulation}: 8 columns, ")
    text = (files / f"pair.{suffix}").read_text()
    assert "moeplace instance rule" in text
    assert f"formulation {formulation};" in text
    assert "x.s0.m.L0.E1" in text
    first = (files / f"pair.{suffix}").read_bytes()
    code, out, _ = call(capsys, *words, "-o", f"pair.{suffix}", "--json")
    assert json.loads(out)["columns"] == 8
    assert (files / f"pair.{suffix}").read_bytes() == first
    assert sorted(os.listdir(files)) == ["best.json", "pair.json", f"pair.{suffix}"]


@pytest.mark.parametrize("kind", ["sol", "highs-sol"])
def test_a_placement_becomes_a_solution_and_comes_back(
    kind: str, pair: Instance, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", "pair.json", "--format", kind, "--placement", "best.json", "-o", "a.sol")
    assert call(capsys, *words)[0] == 0
    code, out, _ = call(capsys, "import", "sol", "a.sol", "--instance", "pair.json", "-o", "b.json")
    assert code == 0
    assert "saves 8 ms per token" in out
    assert (files / "b.json").read_bytes() == (files / "best.json").read_bytes()
    assert evaluate(pair, read_placement("b.json", pair)).saving_ms == 8.0
    words = ("import", "sol", "a.sol", "--instance", "pair.json", "-o", "b.json", "--json")
    assert json.loads(call(capsys, *words)[1])["saving_ms"] == 8.0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--format", "sol", "-o", "a.sol"], "--placement: is needed for --format sol"),
        (
            ["--format", "mps", "--placement", "best.json", "-o", "a.mps"],
            "--placement: says nothing in --format mps",
        ),
        (["--format", "mps", "-o", "a.lp"], "a.lp: cannot be written: the name must end in .mps"),
        (["--format", "sol", "--placement", "no.json", "-o", "a.sol"], "no.json: cannot be read"),
    ],
)
def test_wrong_exports_are_one_line(
    words: list[str], text: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "export", "pair.json", *words)
    assert (code, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1
    assert sorted(os.listdir(files)) == ["best.json", "pair.json"]


def test_an_instance_without_a_program(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_instance("none.json", RULES["no_demand"]()[0])
    code, _, err = call(capsys, "export", "none.json", "--format", "mps", "-o", "a.mps")
    assert code == 2
    assert "none.json: no placement saves anything: there is no program" in err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"x.s0.m.L0.E7 1\n", "a.sol: line 1: 'x.s0.m.L0.E7' is no server and expert"),
        (
            b"x.s0.m.L0.E0 1\nx.s0.m.L0.E1 1\n",
            "a.sol: servers['s0']: stores 2 bytes where its capacity is 1",
        ),
        (b"\xff\xfe", "a.sol: not a text file"),
        (b"hello", "a.sol: neither a solution of SCIP nor one of HiGHS"),
    ],
)
def test_wrong_solutions_are_one_line(
    content: bytes, text: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "a.sol").write_bytes(content)
    code, out, err = call(
        capsys, "import", "sol", "a.sol", "--instance", "pair.json", "-o", "b.json"
    )
    assert (code, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1
    assert not (files / "b.json").exists()


def test_a_useless_copy_is_left_out_of_a_solution(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Server s1 is no faster than the cloud: what it stores is no column of any program.
    instance, _ = RULES["servers_no_faster_than_the_cloud_are_useless"]()
    write_instance("slow.json", instance)
    write_placement("slow-best.json", instance, Placement.of(instance, [(1, 0)]))
    words = ("export", "slow.json", "--format", "sol", "--placement", "slow-best.json")
    assert call(capsys, *words, "-o", "a.sol")[0] == 0
    assert "x." not in (files / "a.sol").read_text()
