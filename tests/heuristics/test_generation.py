"""The parts of layer generation: pricing, master, pools, assembly."""

import dataclasses
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from ortools.math_opt.python import mathopt

from heuristics import HEURISTICS
from heuristics.generation.assembly import assemble
from heuristics.generation.pool import Pool, build_pool
from heuristics.generation.pool_kernels import extend
from heuristics.generation.pricing import ServerPricer, pricer_for
from instances.deadline import Deadline
from instances.errors import InputError
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, Status, StopReason, judge
from instances.structure.clauses import build_clauses
from instances.structure.column_master import Column, Master
from instances.structure.label_pricing import LabelPricer
from instances.structure.layer_problem import LayerProblem, layer_problems
from instances.structure.simplex_kernels import inverse
from tests.heuristics.test_baselines import one_layer
from tests.heuristics.test_successive import best_saving
from tests.strategies import random_instance

FOREVER = Deadline.after(None)


def solve(instance: Instance, **parameters: object) -> Outcome:
    spec = HEURISTICS.get("layer-generation")
    return run(spec, instance, rng=np.random.default_rng(0), **parameters)


def layers_of(seed: int, **limits: int) -> list[LayerProblem]:
    instance = random_instance(np.random.default_rng(seed), **limits)
    return layer_problems(instance, build_clauses(instance))


def all_placements(problem: LayerProblem) -> list[NDArray[np.bool_]]:
    shape = problem.servers.size, problem.experts.size
    tables = (
        np.array(cells).reshape(shape)
        for cells in itertools.product([False, True], repeat=shape[0] * shape[1])
    )
    return [t for t in tables if np.all(problem.used_bytes(t) <= problem.capacity_bytes)]


def worth(problem: LayerProblem, stored: NDArray[np.bool_], price: NDArray[np.float64]) -> float:
    return problem.value_ms(stored) - float(problem.used_bytes(stored) @ price)


def some_prices(problem: LayerProblem, rng: np.random.Generator) -> NDArray[np.float64]:
    """None at all, too high for everything, and in between; some servers for free."""
    level = rng.choice([0.0, 0.3, 1.0, 3.0]) * problem.worth_ms / problem.sizes.sum()
    return level * rng.uniform(0.0, 1.0, problem.servers.size) * rng.integers(0, 4, 1).clip(0, 1)


def test_layers_keep_what_matters() -> None:
    # Server 1 has no room for any expert of the layer, and expert 2 is in no row.
    instance = one_layer(
        rows=[(0, [0, 1], 3.0), (0, [3], 1.0)],
        capacity=[4, 1],
        latency=[[1.0, 2.0]],
        cloud=[9.0],
        sizes=[[2, 2, 2, 2]],
    )
    (problem,) = layer_problems(instance, build_clauses(instance))
    assert problem.servers.tolist() == [0]
    assert problem.experts.tolist() == [0, 1, 3]
    assert problem.worth_ms == 3.0 * 8 + 1.0 * 8
    pair = np.array([[True, True, False]])
    assert problem.value_ms(pair) == 24.0
    assert problem.used_bytes(pair).tolist() == [4]
    stored = np.zeros((2, 4), dtype=np.bool_)
    problem.paste(pair, stored)
    assert stored.tolist() == [[True, True, False, False], [False] * 4]
    assert problem.cut(stored).tolist() == pair.tolist()


def test_label_pricing_is_exact() -> None:
    rng = np.random.default_rng(0)
    checked = 0
    for seed in range(250):
        for problem in layers_of(seed, max_cells=10, max_rows=20):
            placements = all_placements(problem)
            pricer = LabelPricer(problem)
            for _ in range(3):  # what it remembers must not spoil the next prices
                price = some_prices(problem, rng)
                best = max(worth(problem, stored, price) for stored in placements)
                found = pricer.price(price, FOREVER)
                slack = 1e-9 * problem.worth_ms
                assert found.is_exact
                assert np.all(problem.used_bytes(found.stored) <= problem.capacity_bytes)
                assert worth(problem, found.stored, price) == pytest.approx(best, abs=slack)
                assert best <= found.bound_ms <= best + slack
                checked += 1
    assert checked > 300


def test_a_search_that_is_given_up_still_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instances.structure.label_pricing._BRANCH_STEPS", 0.0)
    rng = np.random.default_rng(1)
    given_up = 0
    for seed in range(250):
        for problem in layers_of(seed, max_cells=10, max_rows=20):
            pricer = LabelPricer(problem)
            price = some_prices(problem, rng)
            best = max(worth(problem, stored, price) for stored in all_placements(problem))
            found = pricer.price(price, FOREVER)
            assert best <= found.bound_ms + 1e-12 * problem.worth_ms
            given_up += not found.is_exact
    assert given_up > 0


def test_server_pricing_cannot_be_bettered_by_one_server() -> None:
    rng = np.random.default_rng(2)
    for seed in range(120):
        for problem in layers_of(seed, max_cells=10, max_rows=20):
            price = some_prices(problem, rng)
            found = ServerPricer(problem).price(price, FOREVER)
            assert not found.is_exact
            assert found.bound_ms == np.inf
            reached = worth(problem, found.stored, price)
            assert reached >= 0.0
            for placement in all_placements(problem):
                changed = np.flatnonzero((placement != found.stored).any(axis=1))
                if changed.size <= 1:
                    limit = reached + 1e-9 * problem.worth_ms
                    if (
                        problem.used_bytes(placement)[changed] == problem.capacity_bytes[changed]
                    ).any():
                        continue  # a full server may lie between two breakpoints of the hull
                    assert worth(problem, placement, price) <= limit


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_inverse(size: int) -> None:
    matrix = np.random.default_rng(size).normal(size=(size, size))
    matrix[0, 0] = 0.0 if size > 1 else 2.0  # so that rows must be exchanged
    assert np.allclose(inverse(matrix) @ matrix, np.eye(size), atol=1e-9)


def glop(columns: list[Column], capacity: NDArray[np.int64], num_layers: int) -> float:
    """Solve the master by GLOP."""
    model = mathopt.Model()
    shares = [model.add_variable(lb=0.0) for _ in columns]
    for number in range(num_layers):
        members = [y for y, c in zip(shares, columns, strict=True) if c.problem == number]
        if members:
            model.add_linear_constraint(sum(members) <= 1.0)
    for server, storage in enumerate(capacity.tolist()):
        used = sum(float(c.used_bytes[server]) * y for y, c in zip(shares, columns, strict=True))
        model.add_linear_constraint(used + 0.0 * shares[0] <= float(storage))
    model.maximize(sum(c.value_ms * y for y, c in zip(shares, columns, strict=True)))
    return mathopt.solve(model, mathopt.SolverType.GLOP).objective_value()


@pytest.mark.parametrize("seed", range(60))
def test_master_is_a_basic_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_servers, num_layers = int(rng.integers(1, 5)), int(rng.integers(1, 9))
    capacity = rng.integers(0, 30, num_servers)
    master = Master(capacity, num_layers, worth_ms=7.0)
    for batch in range(3):  # the basis of the last optimum is where the next one starts
        for _ in range(10):
            used = rng.integers(0, 9, num_servers)
            if np.all(used <= capacity):
                column = Column(
                    problem=int(rng.integers(num_layers)),
                    stored=rng.random((4, 8)) < 0.5,
                    value_ms=float(rng.integers(0, 5)) if seed % 2 else float(rng.random()),
                    used_bytes=used,
                )
                assert master.add(column)
                assert not master.add(column)
        if not master.columns:
            continue
        mix = master.solve()
        expected = glop(master.columns, capacity, num_layers)
        assert mix.value_ms == pytest.approx(expected, rel=1e-9, abs=1e-9), batch
        used = np.array([c.used_bytes for c in master.columns])
        layer = np.array([c.problem for c in master.columns])
        assert np.all(mix.weight >= -1e-9)
        assert np.all(mix.weight @ used <= capacity + 1e-6)
        filled = np.bincount(layer, weights=mix.weight, minlength=num_layers)
        assert np.all(filled <= 1.0 + 1e-9)
        # Duals: no column has a positive reduced value, and they add up to the optimum.
        value = np.array([c.value_ms for c in master.columns])
        assert np.all(value - used @ mix.price - mix.rent_ms[layer] <= 1e-9)
        dual = float(mix.price @ capacity + mix.rent_ms.sum())
        assert dual == pytest.approx(expected, rel=1e-9, abs=1e-9)
        whole = set(layer[mix.whole()])
        fractional = set(layer[mix.weight > 1e-9]) - whole
        assert len(fractional) <= num_servers


@pytest.mark.parametrize("seed", range(40))
def test_bound_is_the_master_over_all_columns(seed: int) -> None:
    instance = random_instance(np.random.default_rng(seed), max_layers=3, max_cells=10, max_rows=20)
    problems = layer_problems(instance, build_clauses(instance))
    columns = []
    for number, problem in enumerate(problems):
        for stored in all_placements(problem):
            used = np.zeros(instance.num_servers, dtype=np.int64)
            used[problem.servers] = problem.used_bytes(stored)
            columns.append(
                Column(
                    problem=number,
                    stored=stored,
                    value_ms=problem.value_ms(stored),
                    used_bytes=used,
                )
            )
    expected = glop(columns, instance.capacity_bytes, len(problems)) if columns else 0.0
    outcome = solve(instance)
    if columns:
        assert "exact pricing in the last" in outcome.reason
    speck = 1e-8 * sum(problem.worth_ms for problem in problems)
    assert outcome.bound_saving_ms == pytest.approx(expected, rel=1e-7, abs=speck)
    assert outcome.bound_saving_ms >= best_saving(instance) * (1 - 1e-15)


def test_pools_hold_what_they_say() -> None:
    rng = np.random.default_rng(3)
    for seed in range(100):
        for problem in layers_of(seed, max_cells=10, max_rows=20):
            price = np.zeros(int(problem.servers.max()) + 2)
            price[problem.servers] = some_prices(problem, rng)
            placements = all_placements(problem)
            seeds = [placements[i] for i in rng.integers(0, len(placements), 2)]
            pool = build_pool(problem, seeds, price, slack_ms=problem.worth_ms)
            assert pool.loss_ms[0] == 0.0
            assert np.all(np.diff(pool.loss_ms) >= 0.0)
            assert np.unique(pool.used_bytes, axis=0).shape[0] == pool.value_ms.size
            for stored, value, used in zip(
                pool.stored, pool.value_ms, pool.used_bytes, strict=True
            ):
                assert value == pytest.approx(problem.value_ms(stored), abs=1e-9 * problem.worth_ms)
                assert np.array_equal(used[problem.servers], problem.used_bytes(stored))
                assert np.all(used[problem.servers] <= problem.capacity_bytes)
            for known in seeds:
                used = np.zeros(price.size, dtype=np.int64)
                used[problem.servers] = problem.used_bytes(known)
                slack = 1e-9 * problem.worth_ms
                assert pool.value_ms[pool.index_of(used)] >= problem.value_ms(known) - slack


@pytest.mark.parametrize("seed", range(40))
def test_extend_lists_the_best_sums_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states, options, servers = (int(n) for n in rng.integers(1, 8, 3))
    used, option_used = (
        rng.integers(0, 5, (states, servers)),
        rng.integers(0, 5, (options, servers)),
    )
    loss = np.sort(rng.integers(0, 6, states)) * 1.0
    option_loss = np.sort(rng.integers(0, 6, options)) * 1.0
    room, later = rng.integers(0, 9, servers), rng.integers(0, 5, servers)
    price = rng.uniform(0.0, 0.5, servers)
    best: dict[tuple[int, ...], float] = {}
    for i, j in itertools.product(range(states), range(options)):
        both = used[i] + option_used[j]
        total = loss[i] + option_loss[j]
        empty = float(np.maximum(room - both - later, 0) @ price)
        if np.all(both <= room) and total + empty < 7.0:
            best[tuple(both)] = min(best.get(tuple(both), np.inf), total)
    arguments = used, loss, option_used, option_loss, room, later, price, 7.0
    state, option, found_used, found_loss = extend(*arguments, 100)
    assert {tuple(u): v for u, v in zip(found_used, found_loss, strict=True)} == best
    assert np.all(np.diff(found_loss) >= 0.0)
    assert np.array_equal(found_used, used[state] + option_used[option])
    assert np.array_equal(found_loss, loss[state] + option_loss[option])
    narrow = extend(*arguments, 2)[3]  # fewer where most sums do not fit: it looks at 8 of them
    assert narrow.size <= 2
    assert narrow.tolist() == found_loss[: narrow.size].tolist()


@pytest.mark.parametrize("seed", range(30))
def test_assembly_finds_the_best_of_small_pools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_servers = int(rng.integers(1, 4))
    price = rng.uniform(0.1, 1.0, num_servers)
    capacity = rng.integers(3, 12, num_servers)
    pools = []
    for _ in range(int(rng.integers(1, 5))):
        used = np.vstack([np.zeros(num_servers), rng.integers(0, 6, (5, num_servers))])
        used = np.unique(used.astype(np.int64), axis=0)
        value = rng.uniform(0.0, 5.0, used.shape[0]) * used.any(axis=1)
        loss = (value - used @ price).max() - (value - used @ price)
        order = np.argsort(loss)
        stored = np.zeros((order.size, 1, 1), dtype=np.bool_)
        pools.append(
            Pool(
                stored=stored,
                value_ms=value[order],
                used_bytes=used[order],
                loss_ms=loss[order],
            )
        )
    best = max(
        sum(float(p.value_ms[i]) for p, i in zip(pools, choice, strict=True))
        for choice in itertools.product(*(range(p.value_ms.size) for p in pools))
        if np.all(sum(p.used_bytes[i] for p, i in zip(pools, choice, strict=True)) <= capacity)
    )
    nothing = np.array([p.index_of(np.zeros(num_servers, dtype=np.int64)) for p in pools])
    chosen = assemble(pools, capacity, price, nothing, FOREVER)
    reached = sum(float(p.value_ms[i]) for p, i in zip(pools, chosen, strict=True))
    used = sum(p.used_bytes[i] for p, i in zip(pools, chosen, strict=True))
    assert np.all(used <= capacity)
    assert reached == pytest.approx(best, rel=1e-9)
    late = assemble(pools, capacity, price, nothing, Deadline.after(0.0))
    assert late.tolist() == nothing.tolist()


def test_many_servers_are_priced_by_best_responses() -> None:
    # 70 servers, more than a bit mask has bits, and every user sees all of them.
    rng = np.random.default_rng(5)
    instance = one_layer(
        rows=[(u, sorted(rng.permutation(6)[:2].tolist()), 1.0) for u in range(12)],
        capacity=[2] * 70,
        latency=rng.uniform(1.0, 9.0, (12, 70)).round(3).tolist(),
        cloud=[10.0] * 12,
        sizes=[[1] * 6],
    )
    (problem,) = layer_problems(instance, build_clauses(instance))
    assert isinstance(pricer_for(problem), ServerPricer)
    outcome = solve(instance, time_limit=2.0)
    result = judge(instance, outcome, seconds=0.0)
    assert result.status is Status.FEASIBLE
    assert outcome.bound_saving_ms == np.inf
    assert "no bound" in outcome.reason
    assert result.saving_ms > 0.0


def test_a_pair_split_over_two_servers_is_found() -> None:
    # P4: no server gains alone. The master sees both servers at once.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)],
        capacity=[1, 1],
        latency=[[0.0, 0.0]],
        cloud=[1.0],
        sizes=[[1, 1]],
    )
    outcome = solve(instance)
    assert judge(instance, outcome, seconds=0.0).saving_ms == 1.0
    assert outcome.bound_saving_ms == pytest.approx(1.0, rel=1e-9)


def test_no_room_and_no_rows() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[0], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    for bare in (
        instance,
        dataclasses.replace(
            instance,
            capacity_bytes=np.array([2]),
            demand_user=np.empty(0),
            demand_layer=np.empty(0),
            demand_offsets=np.array([0]),
            demand_experts=np.empty(0),
            demand_rate=np.empty(0),
        ),
    ):
        outcome = solve(bare)
        assert outcome.stop_reason is StopReason.COMPLETED
        assert outcome.bound_saving_ms == 0.0
        result = judge(bare, outcome, seconds=0.0)
        assert (result.status, result.saving_ms) == (Status.FEASIBLE, 0.0)


def test_all_experts_at_once() -> None:
    # K = E: the layer is worth something only as a whole.
    instance = one_layer(
        rows=[(0, [0, 1, 2], 1.0)],
        capacity=[3],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 1, 1]],
        top_k=3,
    )
    assert judge(instance, solve(instance), seconds=0.0).saving_ms == 1.0
    tight = dataclasses.replace(instance, capacity_bytes=np.array([2]))
    outcome = solve(tight)
    assert judge(tight, outcome, seconds=0.0).saving_ms == 0.0
    assert outcome.bound_saving_ms <= 1e-9


def test_no_time_leaves_a_feasible_placement_and_says_so() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    outcome = solve(instance, time_limit=0.0)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.bound_saving_ms == np.inf
    assert judge(instance, outcome, seconds=0.0).status is Status.FEASIBLE


def test_what_is_handed_in_is_checked() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0), (0, [1, 2], 1.0)],
        capacity=[2],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 1, 1]],
    )
    with pytest.raises(InputError, match="integer_master: 'highs' is not a function"):
        solve(instance, integer_master="highs")
    with pytest.raises(ValueError, match="columns that do not fit together"):
        solve(
            instance,
            integer_master=lambda value, used, layer, capacity, *, time_limit: np.arange(2),
        )
