import numpy as np
import pytest

from bench.one_server import exact_pass, subproblem
from heuristics import HEURISTICS
from heuristics.successive import server_order
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.structure.clauses import build_clauses
from tests.strategies import random_instance


def saving(instance: Instance, stored: np.ndarray) -> float:
    return evaluate(instance, Placement(stored)).saving_ms


@pytest.mark.parametrize("seed", range(30))
def test_the_subproblem_saves_what_the_server_gains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(rng)
    stored = rng.random((instance.num_servers, instance.num_experts)) < 0.4
    server = int(rng.integers(instance.num_servers))
    stored[server] = False
    alone = subproblem(instance, build_clauses(instance), stored, server)
    for _ in range(5):
        more = stored.copy()
        more[server] = rng.random(instance.num_experts) < 0.5
        gain = saving(instance, more) - saving(instance, stored)
        assert saving(alone, more[[server]]) == pytest.approx(gain, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("family", "seed"), [("mixtral", 3), ("sixteen-expert", 0), ("switch", 1)])
def test_a_pass_is_as_good_as_exact_tables(family: str, seed: int) -> None:
    instance = generate(family, size="tiny", seed=seed)
    clauses = build_clauses(instance)
    outcome = run(HEURISTICS.get("successive-dp"), instance, rng=np.random.default_rng(0))
    assert outcome.placement is not None
    known = evaluate(instance, outcome.placement).saving_ms
    found = exact_pass(instance, clauses, server_order(instance, None))
    assert found == pytest.approx(known, rel=1e-9)
