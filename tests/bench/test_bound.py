import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from instances.files import write_instance
from instances.problem import Instance

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tiny: Instance, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    write_instance(path, tiny)
    return path


def _one_line(err: str) -> str:
    assert err.count("\n") == 1
    assert err.startswith("moeplace: ")
    assert "Traceback" not in err
    return err


def test_bound_and_its_certificate(call: Call, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "certificate.json.gz"
    words = ("bound", file, "--with", "lp", "--start", "auto", "-o", target, "--json")
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["name"], found["method"], found["certified"]) == ("tiny-by-hand", "lp", True)
    assert found["stop_reason"] == "completed"
    assert found["seconds"] >= 0
    gap = 1 - found["saving_ms"] / found["bound_saving_ms"]
    assert found["gap"] == pytest.approx(gap, abs=1e-15)
    code, out, err = call("check", file, target, "--json")
    assert (code, err) == (0, "")
    checked = json.loads(out)
    assert checked["certified"]
    assert checked["claimed_bound_saving_ms"] == found["bound_saving_ms"]
    numerator, denominator = map(int, checked["bound_exact"].split("/"))
    proven = Fraction(numerator, denominator)
    assert Fraction(found["bound_saving_ms"]) >= Fraction(checked["bound_saving_ms"]) >= proven
    code, out, _ = call("check", file, target)
    assert code == 0
    assert "certificate holds" in out
    assert f"no placement saves more than {checked['bound_saving_ms']!r} ms" in out


def test_a_certificate_that_claims_too_much(call: Call, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "certificate.json"
    call("bound", file, "--with", "lp", "-o", target)
    content = json.loads(target.read_text())
    content["bound_saving_ms"] /= 2
    target.write_text(json.dumps(content))
    code, out, err = call("check", file, target)
    assert code == 1
    assert "certificate FAILS" in out
    assert "the multipliers prove no less than" in _one_line(err)


def test_multipliers_go_from_one_bound_to_the_next(call: Call, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "certificate.json"
    call("bound", file, "--with", "lp", "-o", target)
    first = json.loads(target.read_text())["bound_saving_ms"]
    words = ("bound", file, "--with", "lp", "--time-limit", "1e-9", "--json")
    alone = json.loads(call(*words)[1])["bound_saving_ms"]
    helped = json.loads(call(*words, "--multipliers", target)[1])["bound_saving_ms"]
    assert helped == pytest.approx(first, rel=1e-12)
    assert helped < alone
    code, _, err = call("bound", file, "--with", "greedy", "--multipliers", target)
    assert code == 2
    assert "--multipliers: greedy takes no multipliers to start from" in _one_line(err)


@pytest.mark.parametrize("method", ["milp-compact", "layer-generation", "brute-force"])
def test_bounds_of_other_methods(call: Call, file: Path, method: str) -> None:
    code, out, err = call("bound", file, "--with", method, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["bound_saving_ms"] == pytest.approx(14.0, rel=0.1)
    assert found["gap"] is not None


def test_bound_in_words(call: Call, file: Path, tmp_path: Path) -> None:
    code, out, err = call("bound", file, "--with", "lp")
    assert (code, err) == (0, "")
    assert re.search(r"^tiny-by-hand: bound of lp\n  saving +at most [\d.]+ ms per token", out)
    assert re.search(r"certified +yes: it holds in exact arithmetic", out)
    assert re.search(r"gap +at most [\d.]+ % to a placement that saves [\d.]+ ms", out)
    code, out, _ = call("bound", file, "--with", "milp-compact")
    assert re.search(r"certified +no: right up to the tolerances", out)
    assert re.search(r"gap +none: a placement saves as much", out)


def test_no_bound_is_no_success(call: Call, file: Path, tmp_path: Path) -> None:
    code, out, err = call("bound", file, "--with", "popularity")
    assert (code, out) == (1, "")
    assert _one_line(err).endswith("the method proves no bound\n")
    code, out, _ = call("bound", file, "--with", "popularity", "--json")
    assert code == 1
    assert json.loads(out)["bound_saving_ms"] is None
    code, _, err = call("bound", file, "--with", "no-such")
    assert code == 2
    assert "'no-such' is not one of" in _one_line(err)
    target = tmp_path / "certificate.json"
    code, out, err = call("bound", file, "--with", "milp-compact", "-o", target)
    assert code == 1
    assert "hands over no multipliers" in _one_line(err)
    assert not target.exists()
