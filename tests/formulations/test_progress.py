import math

import numpy as np
import pytest

from formulations import EXACT
from formulations.compact import build_compact
from formulations.mathopt import (
    HIGHS_DIGITS,
    HIGHS_LINE,
    SCIP_DIGITS,
    SCIP_LINE,
    read_bounds,
    read_incumbent,
)
from formulations.progress import SMALLEST_STEP, Progress, printed_bound
from formulations.pulp_cbc import read_running_bound
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.registry import run
from instances.result import Outcome, Status, judge
from instances.structure.clauses import build_clauses
from tests.formulations.rules import RULES

RNG = np.random.default_rng(0)
TELLING = [algorithm.name for algorithm in EXACT if algorithm.name.startswith(("milp", "cp-sat"))]


@pytest.mark.parametrize("name", TELLING)
def test_what_is_told_is_feasible_and_true(name: str) -> None:
    instance = generate("mixtral", size="tiny", seed=3)
    optimum = run(EXACT.get("milp-columns"), instance, rng=RNG)
    assert optimum.proven_optimal
    told: list[Outcome] = []
    run(EXACT.get(name), instance, rng=RNG, time_limit=2.0, on_progress=told.append)
    for one in told:
        assert not one.proven_optimal
        result = judge(instance, one, seconds=0.0)
        assert result.status in (Status.FEASIBLE, Status.NO_SOLUTION), result.reason
        assert one.bound_saving_ms >= optimum.claimed_saving_ms * (1.0 - 1e-9)
    bounds = [one.bound_saving_ms for one in told]
    assert bounds == sorted(bounds, reverse=True)
    savings = [
        0.0 if o.placement is None else evaluate(instance, o.placement).saving_ms for o in told
    ]
    assert savings == sorted(savings)


@pytest.mark.parametrize("name", ["milp-compact", "milp-compact-scip", "milp-compact-cbc"])
def test_bounds_and_incumbents_are_told_before_the_end(name: str) -> None:
    hard = generate("mixtral", size="small", seed=0)
    told: list[Outcome] = []
    for time_limit in (4.0, 16.0, 64.0):  # until even a busy machine has got as far as that
        outcome = run(
            EXACT.get(name), hard, rng=RNG, time_limit=time_limit, on_progress=told.append
        )
        assert not outcome.proven_optimal
        found = name == "milp-compact-cbc" or any(one.placement is not None for one in told)
        if found and any(math.isfinite(one.bound_saving_ms) for one in told):
            break
    assert found
    assert math.isfinite(told[-1].bound_saving_ms)
    # what is told rounds up what the solver says in the end
    assert told[-1].bound_saving_ms >= outcome.bound_saving_ms * (1.0 - 1e-9)


def test_only_what_is_better_is_told() -> None:
    instance, optimum_ms = RULES["both_experts_of_a_pair_are_needed"]()
    program = build_compact(instance, build_clauses(instance))
    pair = Placement.of(instance, [(0, 0), (0, 1)])
    single = Placement.of(instance, [(0, 2)])
    told: list[Outcome] = []
    progress = Progress(instance, told.append)
    progress.tell(program, values=program.values(single))
    progress.tell(program, values=program.values(pair), bound=8.0 / program.unit_ms)
    progress.tell(program, values=program.values(single), bound=9.0 / program.unit_ms)
    progress.tell(program, bound=(8.0 - SMALLEST_STEP) / program.unit_ms)
    progress.tell(program, bound=math.nan)
    progress.tell(program, bound=7.0 / program.unit_ms)
    savings = [evaluate(instance, one.placement).saving_ms for one in told]
    assert savings == [2.0, optimum_ms, optimum_ms]
    assert [one.bound_saving_ms for one in told] == [math.inf, 8.0, 7.0]


def test_the_start_is_the_first_incumbent() -> None:
    instance, _ = RULES["both_experts_of_a_pair_are_needed"]()
    program = build_compact(instance, build_clauses(instance))
    pair = Placement.of(instance, [(0, 0), (0, 1)])
    told: list[Outcome] = []
    progress = Progress(instance, told.append, pair)
    progress.tell(program, values=program.values(Placement.of(instance, [(0, 2)])))
    assert told == []
    progress.tell(program, bound=5.0 / program.unit_ms)
    assert told[0].placement is pair


def test_incumbents_that_only_tolerances_allow_are_not_told() -> None:
    instance, _ = RULES["both_experts_of_a_pair_are_needed"]()
    program = build_compact(instance, build_clauses(instance))
    told: list[Outcome] = []
    Progress(instance, told.append).tell(program, values=np.ones(len(program)))
    assert told == []


@pytest.mark.parametrize("value", [378.6067056, 1.5, -3.25e-7, 99999999.5, 0.1])
@pytest.mark.parametrize("digits", [6, 7, 10])
def test_printed_bounds_are_rounded_up(value: float, digits: int) -> None:
    bound = printed_bound(f"{value:.{digits}g}", digits)
    assert value <= bound <= value + abs(value) * 10.0 ** (2 - digits)
    assert printed_bound("inf", digits) == math.inf
    assert printed_bound("-", digits) == math.inf


def test_lines_of_highs() -> None:
    lines = [
        "        Nodes      |    B&B Tree     |            Objective Bounds              | ",
        "Src  Proc. InQueue |  Leaves   Expl. | BestBound       BestSol              Gap |   Cuts",
        " z       0       0         0   0.00%   inf             -0                 Large        0",
        " R       0       0         0   0.00%   378.6067056     210.6422743       79.74%        0",
        "      1234     12k       30k  12.34%   376.5365524     331.5580921       13.57%     4124",
        "  Gap               13.57%",
    ]
    bounds = [read_bounds([line], HIGHS_LINE, HIGHS_DIGITS) for line in lines]
    assert bounds[:3] == [math.inf] * 3
    assert bounds[3:5] == pytest.approx([378.6067056, 376.5365524], rel=1e-8)
    assert bounds[5] == math.inf
    assert read_bounds(lines, HIGHS_LINE, HIGHS_DIGITS) == bounds[4]


def test_lines_of_scip() -> None:
    lines = [
        " time | node  | left  |LP iter|LP it/n|mem/heur|mdpt |vars |cons |rows |cuts |sepa|confs"
        "|strbr|  dualbound   | primalbound  |  gap   | compl. ",
        "p 0.0s|     1 |     0 |     0 |     - |  clique|   0 |1008 |1700 |1699 |   0 |  0 |   0 "
        "|   0 | 8.677943e+02 | 1.457066e+02 | 495.58%| unknown",
        "  2.8s|     1 |     2 |  5800 |     - |    22M |   0 |1008 |1731 |1733 |  39 | 22 |  31 "
        "|  25 | 3.779448e+02 | 2.978617e+02 |  26.89%| unknown",
        "Dual Bound         : +3.77895322993204e+02",
    ]
    bounds = [read_bounds([line], SCIP_LINE, SCIP_DIGITS) for line in lines]
    assert bounds[0] == bounds[3] == math.inf
    assert bounds[1:3] == pytest.approx([867.7943, 377.9448], rel=1e-5)
    assert bounds[2] > 377.9448


def test_lines_of_cbc() -> None:
    root = "✔ Cut generation complete — 11 cuts, obj -378.607 → -378.329 in 10 passes\n"
    table = "         2        3      1        -338.148               -377.5   11.88%      6.09\n"
    assert read_running_bound("nothing yet\n") == math.inf
    assert read_running_bound(root) == pytest.approx(378.330)
    assert read_running_bound(root + table) == pytest.approx(377.6)
    assert read_running_bound(root + table[:-9]) == pytest.approx(378.330)  # half a line


def test_incumbents_of_highs() -> None:
    whole = "Objective 3\n# Columns 3\n 1\n 0\n 1\nObjective 4\n# Columns 3\n 1\n 1\n 0.5\n"
    assert read_incumbent(whole, 3).tolist() == [1.0, 1.0, 0.5]
    assert read_incumbent(whole[:-9], 3).tolist() == [1.0, 0.0, 1.0]  # the last one is unfinished
    assert read_incumbent("Objective 3\n# Columns 3\n 1\n", 3) is None
    assert read_incumbent("", 3) is None


# -- bounds that are handed over ------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TELLING if name != "cp-sat"])
def test_a_bound_that_is_attained_is_no_obstacle(name: str) -> None:
    instance, optimum_ms = RULES["users_may_need_a_copy_each"]()
    for bound_ms in (optimum_ms, optimum_ms * 1.5, optimum_ms * 100):
        outcome = run(EXACT.get(name), instance, rng=RNG, bound_ms=bound_ms)
        result = judge(instance, outcome, seconds=0.0)
        assert (result.status, result.saving_ms) == (Status.OPTIMAL, optimum_ms), result.reason


def test_a_bound_survives_where_the_solver_has_none() -> None:
    hard = generate("mixtral", size="medium", seed=0)
    outcome = run(EXACT.get("milp-compact"), hard, rng=RNG, time_limit=0.0, bound_ms=1e6)
    assert outcome.bound_saving_ms == 1e6


def test_a_bound_below_the_start_is_refused() -> None:
    instance, optimum_ms = RULES["users_may_need_a_copy_each"]()
    start = Placement.of(instance, [(0, 0), (1, 0)])
    with pytest.raises(InputError, match=r"bound_ms: 17.0 is below the 18.0 that the start saves"):
        run(EXACT.get("milp-compact"), instance, rng=RNG, start=start, bound_ms=17.0)
    outcome = run(EXACT.get("milp-compact"), instance, rng=RNG, start=start, bound_ms=optimum_ms)
    assert outcome.proven_optimal


@pytest.mark.parametrize("bound_ms", [-1.0, math.nan, "3", True])
def test_a_bound_is_a_number(bound_ms: object) -> None:
    instance, _ = RULES["users_may_need_a_copy_each"]()
    with pytest.raises(InputError, match=r"bound_ms: .* is not a number >= 0"):
        run(EXACT.get("milp-compact"), instance, rng=RNG, bound_ms=bound_ms)


@pytest.mark.parametrize("name", ["milp-aggregated", "milp-lifted", "milp-columns"])
@pytest.mark.parametrize("solver", ["highs", "scip", "cbc"])
def test_every_solver_takes_every_formulation(name: str, solver: str) -> None:
    instance, optimum_ms = RULES["three_experts_together"]()
    outcome = run(EXACT.get(name), instance, rng=RNG, solver=solver)
    assert judge(instance, outcome, seconds=0.0).saving_ms == pytest.approx(optimum_ms)
    assert outcome.proven_optimal


def test_unknown_solvers_are_refused() -> None:
    instance, _ = RULES["three_experts_together"]()
    with pytest.raises(InputError, match=r"solver: 'gurobi' is not one of highs, scip, cbc"):
        run(EXACT.get("milp-lifted"), instance, rng=RNG, solver="gurobi")
