import itertools
import math

import numpy as np
import pytest

from heuristics import HEURISTICS
from heuristics.coverage import Coverage, most_servers
from heuristics.lp_rounding import Fractions, PlacementLP, read_solution, solve_lp
from instances.deadline import Deadline
from instances.families import generate
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, StopReason, judge
from tests.heuristics.test_baselines import one_layer, solve
from tests.heuristics.test_successive import best_saving
from tests.strategies import random_instance

NO_LIMIT = Deadline.after(None)


def outcome_of(instance: Instance, **parameters: object) -> Outcome:
    return run(HEURISTICS.get("lp-rounding"), instance, rng=np.random.default_rng(0), **parameters)


def ratio_of(instance: Instance) -> float:
    guarantee = HEURISTICS.get("lp-rounding").guarantee
    assert guarantee is not None
    ratio = guarantee.ratio(instance)
    assert ratio is not None
    return ratio


def relaxed(coverage: Coverage) -> tuple[Fractions, float]:
    """Solve the LP; return the solution and its value."""
    solution = solve_lp(coverage, PlacementLP.of(coverage), NO_LIMIT)
    assert isinstance(solution, Fractions)
    copies = coverage.expected_copies(solution.share)
    return solution, float((coverage.weight * np.minimum(copies, 1.0)).sum())


def drawn(seed: int, *, uniform: bool, cells: int = 10) -> Instance:
    return random_instance(
        np.random.default_rng(seed),
        top_k=1,
        max_servers=4,
        max_users=5,
        max_rows=30,
        max_cells=cells,
        uniform=uniform,
    )


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("seed", range(40))
def test_saving_and_bound_enclose_the_optimum(seed: int, uniform: bool) -> None:
    instance = drawn(seed, uniform=uniform)
    best = best_saving(instance)
    outcome = outcome_of(instance)
    result = judge(instance, outcome, seconds=0.0)
    assert ratio_of(instance) * best - 1e-12 <= result.saving_ms <= best + 1e-12
    assert best <= outcome.bound_saving_ms
    assert outcome.stop_reason is StopReason.COMPLETED


@pytest.mark.parametrize("seed", range(30))
def test_for_one_size_the_bound_is_the_value_of_the_lp(seed: int) -> None:
    # Strong duality; and the LP's y, rounded, is never below its share of that value.
    instance = drawn(seed, uniform=True, cells=60)
    coverage = Coverage.of(instance)
    solution, value = relaxed(coverage)
    assert coverage.bound_ms(solution.multiplier) == pytest.approx(value, rel=1e-6, abs=1e-12)
    used = solution.share @ instance.expert_bytes
    assert np.all(used <= instance.capacity_bytes * (1 + 1e-12))
    stored, _ = coverage.round_off(1.0 - solution.share, NO_LIMIT)
    servers = max(1, most_servers(instance))
    expected = coverage.expected_saving_ms(1.0 - solution.share)
    assert expected >= (1 - (1 - 1 / servers) ** servers) * value - 1e-12
    assert coverage.saving_ms(stored) >= expected - 1e-12


def test_a_fractional_lp() -> None:
    # Three servers with one slot each, three users who each reach two of them, and want 0 or 1
    # equally: half of each expert everywhere satisfies everybody, 6. Two servers store one expert
    # and one the other: all three users have the one, two of them the other, 5.
    instance = one_layer(
        rows=[(u, [x], 1.0) for u in range(3) for x in range(2)],
        capacity=[1, 1, 1],
        latency=[[0.0, 0.0, 9.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]],
        cloud=[1.0, 1.0, 1.0],
        sizes=[[1, 1]],
        top_k=1,
    )
    assert relaxed(Coverage.of(instance))[1] == pytest.approx(6.0, rel=1e-9)
    assert best_saving(instance) == 5.0
    result = judge(instance, outcome_of(instance), seconds=0.0)
    assert result.saving_ms == 5.0
    assert result.bound_saving_ms == pytest.approx(6.0, rel=1e-6)
    assert ratio_of(instance) == pytest.approx(0.75, rel=2e-6)


def test_unequal_sizes_cost_a_factor() -> None:
    # Two experts of 6 bytes on 10: the LP stores 10 / 6 of them, a set that fits one. A second
    # server reaches the same user, so that D = 2: 3/4, and B = max(1/2, 1 - 6/10) = 1/2.
    instance = one_layer(
        rows=[(0, [0], 1.0), (0, [1], 1.0), (0, [2], 0.5)],
        capacity=[10, 0],
        latency=[[0.0, 0.0]],
        cloud=[1.0],
        sizes=[[6, 6, 5]],
        top_k=1,
    )
    assert ratio_of(instance) == pytest.approx(0.75 * 0.5, rel=2e-6)
    assert relaxed(Coverage.of(instance))[1] == pytest.approx(10 / 6, rel=1e-9)
    result = judge(instance, outcome_of(instance), seconds=0.0)
    assert result.saving_ms == 1.0
    assert result.bound_saving_ms == pytest.approx(1.0, rel=1e-9)  # knapsacks are whole there


def test_one_size_wastes_no_storage_in_the_lp() -> None:
    # 11 bytes hold one expert of 6, not 11 / 6.
    instance = one_layer(
        rows=[(0, [0], 1.0), (0, [1], 1.0)],
        capacity=[11, 11],
        latency=[[0.0, 0.5]],
        cloud=[1.0],
        sizes=[[6, 6]],
        top_k=1,
    )
    assert relaxed(Coverage.of(instance))[1] == pytest.approx(1.5, rel=1e-9)
    assert judge(instance, outcome_of(instance), seconds=0.0).gap < 1e-9


def test_what_a_solver_returns_is_brought_within_limits() -> None:
    instance = generate("switch", size="tiny", seed=0)
    coverage = Coverage.of(instance)
    program = PlacementLP.of(coverage)
    rng = np.random.default_rng(0)
    wild = read_solution(
        coverage,
        program,
        rng.normal(2.0, 2.0, program.objective.size),
        rng.normal(0.0, 1e9, program.upper.size),
    )
    assert np.all((wild.share >= 0) & (wild.share <= 1))
    assert np.all(wild.share @ instance.expert_bytes <= instance.capacity_bytes * (1 + 1e-12))
    assert np.all((wild.multiplier >= 0) & (wild.multiplier <= coverage.weight))
    assert coverage.bound_ms(wild.multiplier) >= coverage.saving_ms(
        solve("continuous-greedy", instance).stored
    )


def test_the_gap_nearly_closes_on_a_switch_model() -> None:
    instance = generate("switch", size="small", seed=0)
    result = judge(instance, outcome_of(instance), seconds=0.0)
    assert result.gap < 1e-3
    assert result.reason == ""


@pytest.mark.parametrize(
    ("rows", "capacity"), [([], [3, 3]), ([(0, [0], 1.0)], [0, 0]), ([(0, [0], 0.0)], [3, 3])]
)
def test_nothing_to_gain(rows: list[tuple[int, list[int], float]], capacity: list[int]) -> None:
    instance = one_layer(
        rows=rows,
        capacity=capacity,
        latency=[[0.0, 0.0]],
        cloud=[1.0],
        sizes=[[1, 2]],
        top_k=1,
    )
    outcome = outcome_of(instance)
    assert outcome.stop_reason is StopReason.COMPLETED
    assert outcome.bound_saving_ms == 0.0
    assert outcome.placement is not None
    assert outcome.placement.num_copies == 0


@pytest.mark.parametrize("time_limit", [0.0, 1e-6])
def test_without_time_the_placement_is_feasible_and_nothing_is_promised(time_limit: float) -> None:
    instance = generate("switch", size="small", seed=0)
    outcome = outcome_of(instance, time_limit=time_limit)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.reason == "time was up before the LP was solved: no guarantee"
    assert outcome.bound_saving_ms == np.inf
    assert judge(instance, outcome, seconds=0.0).saving_ms >= 0


def test_pairs_are_refused_with_the_reason() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    outcome = outcome_of(instance)
    assert outcome.stop_reason is StopReason.UNSUPPORTED
    assert outcome.reason.startswith("demands.experts[0] uses 2 experts together")
    guarantee = HEURISTICS.get("lp-rounding").guarantee
    assert guarantee is not None
    assert guarantee.ratio(instance) is None


@pytest.mark.parametrize(("servers", "experts"), [(4, 2), (8, 2), (6, 3)])
def test_no_placement_does_better_against_the_lp_than_the_bound_in_the_limit(
    servers: int, experts: int
) -> None:
    # a user for every set of D servers, who wants all D experts; every server holds one
    groups = list(itertools.combinations(range(servers), experts))
    instance = one_layer(
        rows=[(user, [x], 1.0) for user in range(len(groups)) for x in range(experts)],
        capacity=[1] * servers,
        latency=[[0.0 if n in group else 2.0 for n in range(servers)] for group in groups],
        cloud=[1.0] * len(groups),
        sizes=[[1] * experts],
        top_k=1,
    )
    _, value = relaxed(Coverage.of(instance))
    assert value == pytest.approx(experts * len(groups), rel=1e-6)
    best = best_saving(instance)
    missed = math.comb(servers - servers // experts, experts) / len(groups)
    assert best == pytest.approx((1 - missed) * value, rel=1e-6)
    assert best >= (1 - (1 - 1 / experts) ** experts) * value  # the bound, reached in the limit
    assert judge(instance, outcome_of(instance), seconds=0.0).saving_ms == pytest.approx(best)
