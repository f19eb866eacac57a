import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.mutation import MUTATIONS, mutated
from bench.search import CLAIMED, UNCLAIMED, Search, claimed_ratio, try_out
from formulations import EXACT
from heuristics import HEURISTICS
from instances.draws import Draws
from instances.evaluation import evaluate
from instances.families import generate
from instances.families.sampling import draw_small_instance
from instances.problem import Instance
from instances.registry import run
from tests.bench import liars


@given(seed=st.integers(0, 10**6))
def test_mutants_are_instances_of_the_same_shape(seed: int) -> None:
    draws = Draws("mutants", seed)
    instance = draw_small_instance(draws, "x")
    for _ in range(10):
        mutant = mutated(instance, draws)  # an instance checks itself
        for name in ("num_servers", "num_users", "num_layers", "num_experts", "top_k"):
            assert getattr(mutant, name) == getattr(instance, name)
        if np.unique(instance.expert_bytes).size == 1:
            assert np.array_equal(mutant.expert_bytes, instance.expert_bytes)
        instance = mutant


def test_every_mutation_changes_something() -> None:
    for mutation in MUTATIONS:
        draws = Draws("changes", mutation.__name__)
        instance = draw_small_instance(draws, "x", equal_sizes=False)
        assert any(_differs(instance, mutation(instance, draws)) for _ in range(20))


def _differs(instance: Instance, changes: dict[str, object]) -> bool:
    return any(
        not np.array_equal(getattr(instance, name), value)  # type: ignore[arg-type]
        if name != "models"
        else not np.array_equal(value[0].expert_bytes, instance.models[0].expert_bytes)  # type: ignore[index]
        for name, value in changes.items()
    )


def test_mutants_without_rows_stay_without_rows_or_get_some() -> None:
    instance = draw_small_instance(Draws("rows", 0), "x")
    for seed in range(100):
        instance = mutated(instance, Draws("rows", seed))
    assert instance.num_rows >= 1


def test_a_ratio_is_measured_against_the_optimum() -> None:
    instance = generate("coverage-tight", size="tiny", seed=0)
    found = try_out(HEURISTICS.get("greedy"), instance)
    assert found is None  # 54,880 combinations are more than a search looks at
    instance = generate("hull-trap", size="tiny", seed=0)
    found = try_out(HEURISTICS.get("successive-hull-pass"), instance)
    assert found is not None
    assert found.bound == 1 - 6 / 11
    assert found.kind == CLAIMED
    assert not found.broken
    outcome = run(EXACT.get("milp-compact"), instance, rng=np.random.default_rng(0))
    assert outcome.placement is not None
    best = evaluate(instance, outcome.placement).saving_ms
    assert found.optimum_ms == pytest.approx(best, rel=1e-9)
    assert found.ratio == found.saving_ms / found.optimum_ms
    assert 0.5 < found.ratio < 0.7


def test_claims() -> None:
    instance = generate("coactivation-trap", size="tiny", seed=0)
    assert math.isnan(claimed_ratio(HEURISTICS.get("greedy"), instance))
    assert math.isnan(claimed_ratio(HEURISTICS.get("random"), instance))
    assert claimed_ratio(HEURISTICS.get("successive-dp"), instance) == 1.0
    assert claimed_ratio(EXACT.get("brute-force"), instance) == 1.0
    found = try_out(HEURISTICS.get("greedy"), instance)
    assert found is not None
    assert (found.ratio, found.kind) == (0.0, UNCLAIMED)
    # supports K = 1 alone
    assert try_out(HEURISTICS.get("continuous-greedy"), instance) is None


def test_what_a_liar_says_is_noticed() -> None:
    instance = generate("coactivation-trap", size="tiny", seed=0)
    lie = try_out(liars.LIAR, instance)
    assert lie is not None
    assert lie.broken
    assert (lie.ratio, lie.bound, lie.problem) == (0.0, 1.0, "")
    infeasible = try_out(liars.OVERFULL, instance)
    assert infeasible is not None
    assert infeasible.broken
    assert "where its capacity is" in infeasible.problem


def test_the_search_descends_and_repeats_itself() -> None:
    def steps(seed: int) -> tuple[list[float], list[str]]:
        (claimed, unclaimed) = Search([HEURISTICS.get("successive-dp")], seed).climbs
        worst = []
        for _ in range(150):
            claimed.step()
            unclaimed.step()
            worst.append(math.inf if claimed.worst is None else claimed.worst.ratio)
        return worst, [
            climb.worst.instance.checksum() for climb in (claimed, unclaimed) if climb.worst
        ]

    worst, instances = steps(2)
    assert worst == sorted(worst, reverse=True)
    assert worst[-1] < 0.9
    assert steps(2) == (worst, instances)
    assert steps(3)[1] != instances


def test_a_lie_that_is_mostly_true_is_found() -> None:
    # popularity reaches nine tenths with K = 1 on most instances
    search = Search([liars.SUBTLE], 0)
    claimed = search.climbs[0]
    while claimed.broken is None and claimed.tried < 5000:
        claimed.step()
    (found,) = search.found
    assert found.broken
    assert found.ratio < 0.9
    assert found.instance.name == "worst-subtle-liar-claimed"


def test_methods_without_a_guarantee_have_one_climb() -> None:
    search = Search([HEURISTICS.get("random"), HEURISTICS.get("greedy"), liars.LIAR], 0)
    kinds = [(climb.algorithm.name, climb.kind) for climb in search.climbs]
    assert kinds == [
        ("random", UNCLAIMED),
        ("greedy", CLAIMED),
        ("greedy", UNCLAIMED),
        ("liar", CLAIMED),
        ("liar", UNCLAIMED),
    ]
    search.run(0.001)
    assert all(climb.tried for climb in search.climbs)
    assert search.climbs[4].hopeless  # it always claims
    assert all(climb.worst is not None for climb in search.climbs[:4])
    assert search.found[0].algorithm == "liar"
    assert search.found[0].instance.name == "worst-liar-claimed"
