import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import formulations.bounds.labels as labels_module
import formulations.bounds.server_set as module
from formulations.bounds import blocks
from formulations.bounds.credits import Credits, attraction_of
from formulations.bounds.labels import Labels
from formulations.bounds.lp import LP
from formulations.bounds.search import Search
from formulations.bounds.server_groups import ServerGroups
from formulations.bounds.server_set import SERVER_SET
from formulations.bounds.set_tables import SetTables
from formulations.bounds.split_search import find_splits
from formulations.brute_force import BRUTE_FORCE
from formulations.layer_enumeration import LAYER_ENUMERATION
from instances.checker import check
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, StopReason, judge
from instances.structure.clauses import build_clauses
from instances.structure.upper_weights import UpperWeights, upper_weights
from tests.heuristics.test_baselines import one_layer
from tests.strategies import random_instance, random_placement

STEPS = 20


def bound_of(instance: Instance, **parameters) -> Outcome:
    return run(SERVER_SET, instance, rng=np.random.default_rng(0), **parameters)


def exact_optimum(instance: Instance) -> Fraction:
    outcome = run(BRUTE_FORCE, instance, rng=np.random.default_rng(0))
    assert outcome.placement is not None
    return check(instance, outcome.placement).saving_ms


def parts(instance: Instance, most: int = 8) -> tuple[UpperWeights, Credits]:
    clauses = build_clauses(instance)
    upper = upper_weights(instance, clauses)
    groups = ServerGroups.of(instance, clauses, upper.weight_ms, most)
    return upper, Credits.of(instance, clauses, upper, groups)


def clauses_in(credits: Credits) -> list[tuple[float, int, list[int]]]:
    """Clauses of two experts or more: weight, server set, experts as the credits number them."""
    found = []
    for layer in np.unique(credits.blocks.layer).tolist():
        weight, server_set, offsets, experts = credits.blocks.clauses_of(layer)
        for c, (w, s) in enumerate(zip(weight.tolist(), server_set.tolist(), strict=True)):
            found.append((w, s, experts[offsets[c] : offsets[c + 1]].tolist()))
    return found


def exact_clauses(instance: Instance) -> list[tuple[Fraction, frozenset[int], frozenset[int]]]:
    """Exact threshold form, from the definition: (weight, servers, flat experts)."""
    clauses = []
    for row in range(instance.num_rows):
        user = int(instance.demand_user[row])
        model = int(instance.user_model[user])
        layer = int(instance.model_layer_offset[model]) + int(instance.demand_layer[row])
        first = int(instance.layer_expert_offset[layer])
        begin, end = instance.demand_offsets[row : row + 2]
        wanted = {first + int(e) for e in instance.demand_experts[begin:end]}
        lacking = frozenset(wanted - set(instance.user_local_experts(user).tolist()))
        if not lacking:
            continue
        local = instance.local_latency_ms[user] if len(lacking) < len(wanted) else 0.0
        cloud = Fraction(float(instance.cloud_latency_ms[user]))
        times = [Fraction(float(t)) for t in instance.latency_ms[user]]
        levels = [*sorted({t for t in times if t < cloud}), cloud]
        for level, reach in itertools.pairwise(levels):
            step = max(reach, Fraction(float(local))) - max(level, Fraction(float(local)))
            servers = frozenset(n for n, t in enumerate(times) if t <= level)
            clauses.append((Fraction(float(instance.demand_rate[row])) * step, servers, lacking))
    return clauses


def exact_bound(
    instance: Instance,
    credit: dict[tuple[frozenset[int], int], Fraction],
    price: list[Fraction],
) -> Fraction:
    """The right-hand side of the bound at any credits and prices, with the exact weights."""
    clauses = exact_clauses(instance)
    sizes = [int(size) for size in instance.expert_bytes]
    unit = sizes[0]  # all are equal here
    capacity = [min(int(q) // unit * unit, sum(sizes)) for q in instance.capacity_bytes]
    total = sum((p * q for p, q in zip(price, capacity, strict=True)), Fraction(0))
    for servers in {servers for _, servers, _ in clauses}:
        inside = [(w, a) for w, s, a in clauses if s == servers]
        wanted = sorted(frozenset().union(*(a for _, a in inside)))
        room = sum(capacity[n] for n in servers)
        best = Fraction(0)
        for count in range(1, len(wanted) + 1):
            for chosen in itertools.combinations(wanted, count):
                if sum(sizes[x] for x in chosen) <= room:
                    gain = sum((w for w, a in inside if a <= set(chosen)), Fraction(0))
                    best = max(best, gain - sum(credit[servers, x] for x in chosen))
        total += best
    for x, size in enumerate(sizes):
        hosts = [n for n, q in enumerate(capacity) if size <= q]
        earned = Fraction(0)
        for count in range(1, len(hosts) + 1):
            for label in itertools.combinations(hosts, count):
                pay = sum(
                    (c for (s, e), c in credit.items() if e == x and s & set(label)), Fraction(0)
                )
                earned = max(earned, pay - sum(price[n] for n in label) * size)
        total += earned
    return total


def test_holds_exactly_at_any_credits_and_prices() -> None:
    """Computed parts are not below the formula in fractions, which is not below the optimum."""
    checked = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        instance = random_instance(
            rng, max_cells=10, max_rows=14, uniform=True, wild=seed % 3 == 0, top_k=2
        )
        upper, credits = parts(instance)
        tables = SetTables.of(credits) if credits.experts.size else None
        if tables is not None and checked < 50:
            check_formula(instance, upper, credits, tables, rng)
            checked += 1
    assert checked == 50


def check_formula(
    instance: Instance,
    upper: UpperWeights,
    credits: Credits,
    tables: SetTables,
    rng: np.random.Generator,
) -> None:
    chosen = rng.random(credits.alone.shape)
    share = rng.random(credits.alone.shape) * (rng.random(credits.alone.shape) < 0.8)
    credit = np.where(tables.free, np.rint(share * credits.most()), credits.alone)
    labels = Labels(credits)
    labels.look_at(credit)
    labels.price = labels.price * 4.0 * rng.random(labels.price.size)
    gains, earned = tables.value(credit, chosen), labels.value()
    computed = Fraction(upper.bound_ms((gains + earned) * upper.unit_ms))
    unit = Fraction(upper.unit_ms)
    price = [Fraction(0)] * instance.num_servers
    for group, value in zip(credits.groups.members, labels.best_price, strict=True):
        price[int(group[0])] = Fraction(float(value)) * unit
    by_pair: dict[tuple[frozenset[int], int], Fraction] = {}
    for _, servers, wanted in exact_clauses(instance):
        for x in wanted:
            by_pair[servers, x] = Fraction(0)
    for s, mask in enumerate(credits.groups.masks.tolist()):
        servers = frozenset(
            int(group[0]) for m, group in enumerate(credits.groups.members) if mask >> m & 1
        )
        for x, expert in enumerate(credits.experts.tolist()):
            if (servers, expert) in by_pair:
                by_pair[servers, expert] = Fraction(float(credit[x, s])) * unit
    exact = exact_bound(instance, by_pair, price)
    assert exact_optimum(instance) <= exact <= computed
    assert float(computed) == pytest.approx(float(exact), rel=1e-9, abs=1e-300)
    np.testing.assert_array_equal(np.isin(chosen[tables.free], (0.0, 1.0)), True)


@pytest.mark.parametrize("seed", range(25))
def test_splits_cover_every_clause(seed: int) -> None:
    """Rounded credits are not below those of a split whose shares add up exactly."""
    rng = np.random.default_rng(seed)
    credits = parts(random_instance(rng, max_experts=5, max_rows=20))[1]
    while not credits.blocks.weight.size:  # no clause of two experts: draw another instance
        credits = parts(random_instance(rng, max_experts=5, max_rows=20))[1]
    repulsions = [rng.normal(size=credits.alone.shape) * 10.0**k for k in (-1, 1, 4)]
    lengths = rng.uniform(0.5, 50.0, 3)
    found = sum(c * credits.split(r) for c, r in zip(lengths, repulsions, strict=True))
    found = found / (lengths[0] + lengths[1] + lengths[2])
    exact = [[Fraction(float(v)) for v in row] for row in credits.alone]
    whole = sum(Fraction(float(c)) for c in lengths)
    for length, repulsion in zip(lengths.tolist(), repulsions, strict=True):
        attraction = attraction_of(repulsion)
        for weight, s, experts in clauses_in(credits):
            pulls = [Fraction(float(attraction[x, s])) for x in experts]
            for x, pull in zip(experts, pulls, strict=True):
                exact[x][s] += Fraction(weight) * pull / sum(pulls) * Fraction(length) / whole
    rounded = credits.rounded_up(found, 3)
    for x, s in np.ndindex(rounded.shape):
        assert exact[x][s] <= Fraction(float(rounded[x, s])) <= exact[x][s] * Fraction(1.001) + 2


def test_attractions_stay_within_the_range_of_doubles() -> None:
    repulsion = np.array([[0.0, 3.0], [599.0, 1.0]])
    np.testing.assert_allclose(-np.log(attraction_of(repulsion)), [[0.0, 2.0], [599.0, 0.0]])
    wide = attraction_of(np.array([[0.0], [1e4], [2e4]]))
    np.testing.assert_allclose(-np.log(wide), [[0.0], [300.0], [600.0]])
    assert attraction_of(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("seed", range(30))
def test_blocks_hold_every_clause(seed: int) -> None:
    """Clauses of weight, one by one; those of one expert are added up apart."""
    instance = random_instance(np.random.default_rng(seed), max_experts=5, max_rows=20)
    upper, credits = parts(instance)
    clauses = build_clauses(instance)
    found: dict[tuple[tuple[int, ...], int], float] = {}
    for weight, s, experts in clauses_in(credits):
        key = (tuple(sorted(credits.experts[experts].tolist())), s)
        assert key not in found
        found[key] = weight
    for x, s in np.argwhere(credits.alone > 0.0).tolist():
        found[(int(credits.experts[x]),), s] = float(credits.alone[x, s])
    expected: dict[tuple[tuple[int, ...], int], float] = {}
    for c in np.flatnonzero(upper.weight_ms > 0.0).tolist():
        i = clauses.itemset[c]
        begin, end = clauses.itemset_offsets[i : i + 2]
        key = (
            tuple(clauses.itemset_experts[begin:end].tolist()),
            int(credits.groups.set_of[clauses.server_set[c]]),
        )
        expected[key] = upper.weight_ms[c] / upper.unit_ms
    assert found == expected
    assert credits.total == sum(expected.values())
    whole = credits.alone.copy()
    for weight, s, experts in clauses_in(credits):
        whole[experts, s] += weight
    np.testing.assert_array_equal(credits.most(), whole)


def test_parts_for_threads_cut_between_layers_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance = generate("gpt-oss", size="small", seed=0)
    alone = bound_of(instance, steps=STEPS)
    whole = parts(instance)[1]
    repulsion = np.random.default_rng(0).normal(size=whole.alone.shape)
    monkeypatch.setattr(blocks, "_LEAST_WORK", 1)
    monkeypatch.setattr(labels_module, "_LEAST_WORK", 1)
    credits = parts(instance)[1]
    cuts = credits.blocks.part[1:-1]
    assert cuts.size
    assert np.all(credits.blocks.layer[cuts] > credits.blocks.layer[cuts - 1])
    for threads in (1, 3):
        np.testing.assert_array_equal(credits.split(repulsion, threads), whole.split(repulsion))
    outcomes = [bound_of(instance, steps=STEPS, threads=threads) for threads in (1, 3)]
    assert outcomes[0].bound_saving_ms == outcomes[1].bound_saving_ms
    np.testing.assert_array_equal(outcomes[0].placement.stored, outcomes[1].placement.stored)
    assert outcomes[0].bound_saving_ms == pytest.approx(alone.bound_saving_ms, rel=1e-3)


@pytest.mark.parametrize("start", [0.01, 1.0, 30.0])
def test_mixed_labels_use_the_storage_wherever_prices_start(start: float) -> None:
    credits = parts(generate("gpt-oss", size="small", seed=0))[1]
    labels = Labels(credits)
    credit = credits.split(np.random.default_rng(0).normal(size=credits.alone.shape))
    scale = np.full(credits.experts.size, 0.01 * credit.sum() / credits.experts.size)
    labels.price = labels.price * start
    labels.mix(credit, scale)
    storage = credits.groups.capacity_bytes
    assert np.abs(labels.used - storage).max() < 0.03 * storage.max()


def test_longer_searches_do_not_lose_their_way() -> None:
    """Repulsions grow with every step, far beyond what one exponential can hold."""
    instance = generate("gpt-oss", size="tiny", seed=0)
    bounds = [bound_of(instance, steps=steps).bound_saving_ms for steps in (60, 600)]
    assert bounds[1] <= bounds[0]
    upper, credits = parts(instance)
    search = Search(
        instance,
        credits,
        None,
        lambda search: None,
        unit_ms=upper.unit_ms,
        deadline=Deadline.after(None),
    )
    labels = Labels(credits)
    last = []
    monitored = search.lower

    def lower(total: float, credit: np.ndarray, price: np.ndarray) -> bool:
        last.append(search.bound_of(total))
        return monitored(total, credit, price)

    search.lower = lower  # type: ignore[method-assign]
    find_splits(search, credits, labels, 600)
    assert max(last[-6:]) < 1.01 * search.bound_ms


@pytest.mark.parametrize("seed", range(80))
def test_no_placement_saves_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, max_cells=11, max_servers=4, wild=seed % 4 == 0)
    outcome = bound_of(instance, steps=STEPS)
    assert outcome.bound_certified
    result = judge(instance, outcome, seconds=0.0)
    assert result.placement is not None, result.reason
    assert Fraction(outcome.bound_saving_ms) >= exact_optimum(instance)


@pytest.mark.parametrize("seed", range(25))
def test_merged_servers_still_bound(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SERVERS", 2)
    instance = random_instance(np.random.default_rng(seed), max_cells=12, max_servers=4)
    outcome = bound_of(instance, steps=STEPS)
    assert Fraction(outcome.bound_saving_ms) >= exact_optimum(instance)
    assert judge(instance, outcome, seconds=0.0).placement is not None


def test_hundreds_of_servers() -> None:
    rows = [(u, [u % 5], 1.0) for u in range(70)]
    latency = 1.0 + (np.arange(70)[:, None] - np.arange(70)[None, :]) % 70
    instance = one_layer(
        rows=rows, capacity=[1] * 70, latency=latency.tolist(), cloud=[9.0] * 70, sizes=[[1] * 5]
    )
    outcome = bound_of(instance, steps=STEPS)
    # a neighbour has what one wants: within reach of all users, and nobody can save more than 8
    assert judge(instance, outcome, seconds=0.0).saving_ms <= outcome.bound_saving_ms <= 560.001


def test_storage_that_does_not_divide_is_seen() -> None:
    # Two layers of a pair each, room for three experts: one pair, worth 1. The LP stores
    # one and a half pairs.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[3], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    instance = dataclasses.replace(
        instance,
        models=(dataclasses.replace(instance.models[0], expert_bytes=np.ones((2, 2), np.int64)),),
        demand_user=np.array([0, 0]),
        demand_layer=np.array([0, 1]),
        demand_offsets=np.array([0, 2, 4]),
        demand_experts=np.array([0, 1, 0, 1]),
        demand_rate=np.array([1.0, 1.0]),
    )
    relaxed = run(LP, instance, rng=np.random.default_rng(0)).bound_saving_ms
    assert relaxed == pytest.approx(1.5, rel=1e-4)
    outcome = bound_of(instance)
    assert 1.0 <= outcome.bound_saving_ms < 1.02
    assert judge(instance, outcome, seconds=0.0).saving_ms == 1.0


@pytest.mark.parametrize(("family", "size"), [("mixtral", "small"), ("sixteen-expert", "tiny")])
def test_between_the_optimum_and_the_lp(family: str, size: str) -> None:
    instance = generate(family, size=size, seed=0)
    relaxed = run(LP, instance, rng=np.random.default_rng(0)).bound_saving_ms
    bound = bound_of(instance).bound_saving_ms
    assert bound < relaxed * 1.0001
    if LAYER_ENUMERATION.supports(instance) is None:
        best = run(LAYER_ENUMERATION, instance, rng=np.random.default_rng(0)).bound_saving_ms
        assert best * (1.0 - 1e-12) <= bound
        if family == "mixtral":  # layers of few experts
            assert bound < best + 0.6 * (relaxed - best)


def test_wide_layers_come_near_the_lp() -> None:
    instance = generate("gpt-oss", size="small", seed=0)
    relaxed = run(LP, instance, rng=np.random.default_rng(0)).bound_saving_ms
    outcome = bound_of(instance)
    assert outcome.bound_saving_ms < 1.005 * relaxed
    assert evaluate(instance, outcome.placement).saving_ms > 0.9 * relaxed


def test_one_expert_a_row_needs_no_splits() -> None:
    instance = generate("switch", size="tiny", seed=0)
    outcome = bound_of(instance)
    result = judge(instance, outcome, seconds=0.0)
    assert result.gap < 1e-6


def test_mixed_sizes_share_the_storage() -> None:
    for seed in range(6):
        instance = generate("tiny", size="tiny", seed=seed)
        outcome = bound_of(instance, steps=STEPS)
        assert Fraction(outcome.bound_saving_ms) >= exact_optimum(instance)


def test_tables_hold_the_weights_inside_each_subset() -> None:
    for seed in range(30):
        _, credits = parts(random_instance(np.random.default_rng(seed), uniform=True))
        tables = SetTables.of(credits) if credits.experts.size else None
        if tables is None:
            continue
        for p, s in enumerate(tables.piece_set.tolist()):
            for b in range(tables.piece_offset[p], tables.piece_offset[p + 1]):
                experts = tables.block_expert[tables.block_offset[b] : tables.block_offset[b + 1]]
                table = tables.tables[tables.table_offset[b] : tables.table_offset[b + 1]]
                for subset in range(table.size):
                    chosen = {int(x) for k, x in enumerate(experts) if subset >> k & 1}
                    weight = sum(credits.alone[x, s] for x in chosen)
                    for clause, clause_set, wanted in clauses_in(credits):
                        if clause_set == s and chosen.issuperset(wanted):
                            weight += clause
                    assert table[subset] == weight


def test_progress_only_improves_and_ends_with_the_outcome() -> None:
    told: list[Outcome] = []
    instance = generate("mixtral", size="tiny", seed=0)
    outcome = bound_of(instance, on_progress=told.append)
    bounds = [report.bound_saving_ms for report in told]
    savings = [evaluate(instance, report.placement).saving_ms for report in told]
    assert bounds == sorted(bounds, reverse=True)
    assert savings == pytest.approx(sorted(savings))
    assert all(report.bound_certified for report in told)
    assert (bounds[-1], told[-1].placement) == (outcome.bound_saving_ms, outcome.placement)
    again = bound_of(instance)
    assert again.bound_saving_ms == outcome.bound_saving_ms
    np.testing.assert_array_equal(again.placement.stored, outcome.placement.stored)


def test_no_time_at_all_still_certifies() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    outcome = bound_of(instance, time_limit=0.0)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.bound_certified
    assert math.isfinite(outcome.bound_saving_ms)


def test_stops_at_the_gap_and_keeps_the_start() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    best = run(LAYER_ENUMERATION, instance, rng=np.random.default_rng(0)).placement
    told: list[Outcome] = []
    outcome = bound_of(instance, start=best, gap=0.2, on_progress=told.append)
    assert outcome.placement is best
    assert outcome.stop_reason is StopReason.COMPLETED
    saving = evaluate(instance, best).saving_ms
    assert saving >= 0.8 * told[-1].bound_saving_ms
    assert all(saving < 0.8 * report.bound_saving_ms for report in told[:-1])


def test_nothing_to_gain(tiny: Instance) -> None:
    for instance in (
        dataclasses.replace(tiny, capacity_bytes=np.array([0, 9])),
        dataclasses.replace(tiny, demand_rate=np.zeros(6)),
    ):
        outcome = bound_of(instance)
        assert outcome.bound_saving_ms <= 5e-324
        assert outcome.bound_certified


def test_rejects_bad_input(tiny: Instance) -> None:
    with pytest.raises(InputError, match=r"gap: 1\.5 is not in 0\.\.1"):
        bound_of(tiny, gap=1.5)
    with pytest.raises(InputError, match="steps: 0 is not a whole number >= 1"):
        bound_of(tiny, steps=0)
    with pytest.raises(InputError, match="threads: 0 is not a whole number >= 1"):
        bound_of(tiny, threads=0)
    stored = np.ones((tiny.num_servers, tiny.num_experts), dtype=np.bool_)
    with pytest.raises(InputError, match="start: server 'near' holds 60 bytes"):
        bound_of(tiny, start=Placement(stored))


def test_scaling_the_rates_scales_the_bound() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    scaled = dataclasses.replace(instance, demand_rate=instance.demand_rate * 2.0**-40)
    bound = bound_of(instance, steps=STEPS).bound_saving_ms
    assert bound_of(scaled, steps=STEPS).bound_saving_ms == pytest.approx(bound * 2.0**-40)


def test_any_placement_is_below(tiny: Instance) -> None:
    rng = np.random.default_rng(5)
    instance = generate("mixtral", size="small", seed=3)
    bound = bound_of(instance, steps=STEPS).bound_saving_ms
    for _ in range(5):
        assert check(instance, random_placement(rng, instance)).saving_ms <= Fraction(bound)


def grown(instance: Instance, server: int, extra: int) -> Instance:
    capacity = instance.capacity_bytes.copy()
    capacity[server] += extra
    return dataclasses.replace(instance, capacity_bytes=capacity)


@pytest.mark.parametrize("seed", range(60))
def test_no_placement_saves_more_with_more_storage(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed % 4 == 0:
        monkeypatch.setattr(module, "MAX_SERVERS", 2)
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, max_cells=10, max_servers=4, uniform=seed % 2 == 0)
    extra = int(rng.integers(1, 2 * int(instance.expert_bytes.max()) + 1))
    outcome = bound_of(instance, steps=STEPS, extra_bytes=extra)
    bounds = outcome.bounds_with_more_ms
    assert bounds is not None
    for server, bound in enumerate(bounds.tolist()):
        bigger = grown(instance, server, extra)
        if math.isfinite(bound):
            assert exact_optimum(bigger) <= Fraction(bound)
        else:  # only where something fits for the first time
            before, after = instance.capacity_bytes[server], bigger.capacity_bytes[server]
            sizes = instance.expert_bytes
            assert np.any((sizes > before) & (sizes <= after))


def test_bounds_with_more_storage_are_those_of_the_larger_server() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    extra = 2 * int(instance.expert_bytes.max())
    outcome = bound_of(instance, extra_bytes=extra)
    assert outcome.bounds_with_more_ms is not None
    for server, bound in enumerate(outcome.bounds_with_more_ms.tolist()):
        afresh = bound_of(grown(instance, server, extra)).bound_saving_ms
        assert outcome.bound_saving_ms < bound <= 1.15 * afresh
    assert bound_of(instance).bounds_with_more_ms is None


@pytest.mark.parametrize("extra", [-1, 0.5, True, 2**62])
def test_extra_storage_is_checked(tiny: Instance, extra: object) -> None:
    with pytest.raises(InputError, match="extra_bytes"):
        bound_of(tiny, extra_bytes=extra)


def test_without_time_nothing_is_said_of_more_storage() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    outcome = bound_of(instance, extra_bytes=1, time_limit=1e-9)
    assert outcome.bounds_with_more_ms is not None
    assert np.isinf(outcome.bounds_with_more_ms).all()
    assert math.isfinite(outcome.bound_saving_ms)
