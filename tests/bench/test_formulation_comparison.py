import csv
import math

import pytest

from bench.formulation_comparison import BASELINE, BUILDS, Row, geometric_means, main, relax
from instances.families import generate


def row(instance: str, configuration: str, seconds: float, *, proven: bool = True) -> Row:
    return Row(
        instance=instance,
        configuration=configuration,
        proven=proven,
        seconds=seconds,
        cpu_seconds=seconds / 2,
        saving_ms=1.0,
        bound_ms=1.0,
        nodes=None,
        note="",
    )


def test_failures_count_with_the_limit() -> None:
    # a: 8 s against 2 s; b: the baseline fails at 100 s, the other takes 1 s; c: both fail.
    rows = [
        row("a", BASELINE, 8.0),
        row("b", BASELINE, 99.0, proven=False),
        row("c", BASELINE, 101.0, proven=False),
        row("a", "other", 2.0),
        row("b", "other", 1.0),
        row("c", "other", 100.5, proven=False),
    ]
    means = geometric_means(rows, 100.0)
    assert means[BASELINE].ratio == means[BASELINE].told_ratio == 1.0
    assert means[BASELINE].proofs == 1
    other = means["other"]
    assert other.proofs == 2
    assert other.seconds == pytest.approx((2.0 * 1.0 * 100.0) ** (1 / 3))
    assert other.ratio == pytest.approx((4.0 * 100.0 * 1.0) ** (1 / 3))
    assert other.told_ratio == pytest.approx((4.0 * 100.0) ** (1 / 2))
    assert other.cpu_ratio == pytest.approx((4.0 * 99.0 * (101.0 / 100.5)) ** (1 / 3))


def test_relaxations_bound_the_optimum() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    bounds = {name: relax(instance, name).bound_ms for name in BUILDS}
    assert bounds["aggregated"] > bounds["compact"] > bounds["lifted"] >= 16.878356


def test_the_whole_program(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.csv"
    words = ["--size", "tiny", "--families", "switch", "--time-limit", "60", "--csv", str(path)]
    assert main([*words, "--configurations", "lifted highs", "columns scip start", "cp-sat"]) == 0
    out = capsys.readouterr().out
    assert "switch-tiny-s0: relaxations" in out
    assert "geometric means over 1 instances" in out
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [BASELINE, "lifted highs", "columns scip start", "cp-sat"]
    assert [row["configuration"] for row in rows] == names
    assert {row["proven"] for row in rows} == {"True"}
    savings = [float(row["saving_ms"]) for row in rows]
    assert savings == pytest.approx([savings[0]] * 4, rel=1e-9)
    assert math.isfinite(savings[0])
