import numpy as np
import pytest
from rich.console import Console

from bench.knapsacks import METHODS, Measured, chosen_instances, measure, table_of
from formulations import EXACT
from instances.evaluation import evaluate
from instances.families import generate
from instances.registry import run


@pytest.mark.parametrize("family", ["quadratic-knapsack", "set-union-knapsack", "densest-subgraph"])
def test_what_is_measured_agrees_with_brute_force(family: str) -> None:
    instance = generate(family, size="tiny", seed=1)
    outcome = run(EXACT.get("brute-force"), instance, rng=np.random.default_rng(0))
    assert outcome.placement is not None
    optimum = evaluate(instance, outcome.placement).saving_ms
    row = measure(instance, exact_limit=20.0)
    assert row.proven
    assert row.best_known == optimum
    assert row.savings[METHODS.index("improve")] == optimum
    assert all(bound >= optimum for bound in row.bounds)


def test_every_combination_of_options_is_measured() -> None:
    names = [instance.name for instance in chosen_instances(["set-union-knapsack"])]
    assert len(names) == len(set(names)) == 3 * 2 * 3
    assert "set-union-knapsack-large-s0-15-equal" in names


def test_the_table_has_the_least_and_the_mean_share() -> None:
    rows = [
        Measured(
            instance=name,
            savings=(50.0, part, 100.0),
            seconds=1.0,
            bounds=(110.0, 105.0),
            best_known=100.0,
            proven=name == "a",
        )
        for name, part in (("a", 80.0), ("b", 90.0))
    ]
    console = Console(width=200, record=True)
    console.print(table_of(rows))
    lines = console.export_text().splitlines()
    assert lines[2].split() == [
        "a",
        "100*",
        *("0.5000", "0.8000", "1.0000", "1.0"),
        "10.00%",
        "5.00%",
    ]
    assert lines[4].split() == ["least", "0.5000", "0.8000", "1.0000"]
    assert lines[5].split() == ["mean", "0.5000", "0.8500", "1.0000"]
