from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heuristics import HEURISTICS, layer_generation, lp_rounding, row_search
from heuristics import improve as improve_module
from heuristics.baselines import requested
from heuristics.kernels import wanted_weight
from heuristics.row_sample import sampled
from heuristics.row_search import RowSearch, improved_on_rows, is_large
from instances.deadline import Deadline, counting_looks
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import StopReason
from instances.structure.clauses import build_clauses
from tests.heuristics.test_baselines import one_layer, solve
from tests.heuristics.test_successive import best_saving
from tests.strategies import instances, placements, random_instance

NO_LIMIT = Deadline.after(None)


def nothing(instance: Instance) -> np.ndarray:
    return np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)


def improved(
    instance: Instance,
    stored: np.ndarray | None = None,
    *,
    seed: int = 0,
    sample_rows: int = 4,
    threads: int = 1,
    deadline: Deadline = NO_LIMIT,
    orders: int = 3,
    rounds: int = 8,
) -> np.ndarray:
    return improved_on_rows(
        instance,
        nothing(instance) if stored is None else stored,
        np.random.default_rng(seed),
        deadline,
        orders=orders,
        rounds=rounds,
        threads=threads,
        sample_rows=sample_rows,
    )


# -- samples --------------------------------------------------------------------------------


def most_saved(instance: Instance) -> float:
    ahead = instance.cloud_latency_ms - instance.latency_ms.min(axis=1)
    return float((np.maximum(ahead, 0.0)[instance.demand_user] * instance.demand_rate).sum())


def rows_of(instance: Instance) -> list[tuple[int, int, tuple[int, ...]]]:
    pieces = np.split(instance.demand_experts, instance.demand_offsets[1:-1])
    return [
        (int(u), int(layer), tuple(map(int, experts)))
        for u, layer, experts in zip(
            instance.demand_user, instance.demand_layer, pieces, strict=False
        )
    ]


@given(instances(max_rows=30), st.integers(1, 12), st.integers(0, 5))
def test_a_sample_has_some_of_the_rows_and_all_of_their_worth(
    instance: Instance, count: int, seed: int
) -> None:
    sample = sampled(instance, count, np.random.default_rng(seed))
    assert sample.num_rows <= count
    if sample.num_rows:
        remaining = rows_of(instance)
        for row in rows_of(sample):
            remaining.remove(row)  # raises where a row is not one of them, or drawn twice
    assert most_saved(sample) == pytest.approx(most_saved(instance), rel=1e-9, abs=1e-300)


def test_savings_on_samples_are_right_on_average() -> None:
    instance = generate("gpt-oss", size="tiny", seed=0)
    placement = solve("popularity", instance)
    rng = np.random.default_rng(1)
    found = [evaluate(sampled(instance, 20, rng), placement).saving_ms for _ in range(300)]
    spread = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(evaluate(instance, placement).saving_ms, abs=4 * spread)


def test_a_row_that_is_worth_several_draws_keeps_their_weight() -> None:
    instance = one_layer(
        rows=[(0, [0], 97.0), (0, [1], 1.0), (1, [1], 5.0)],
        capacity=[1],
        latency=[[0.0], [2.0]],
        cloud=[1.0, 1.0],
        sizes=[[1, 1]],
    )
    sample = sampled(instance, 4, np.random.default_rng(0))
    # 98 in all, a draw for each 24.5; the server is no help to the second user
    assert rows_of(sample)[0] == (0, 0, (0,))
    assert set(sample.demand_user.tolist()) == {0}
    assert sample.demand_rate.sum() == pytest.approx(98.0)
    assert sample.demand_rate[0] in (pytest.approx(3 * 24.5), pytest.approx(98.0))


def test_nothing_to_save_leaves_no_rows() -> None:
    instance = one_layer(
        rows=[(0, [0], 1.0)], capacity=[1], latency=[[2.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    assert sampled(instance, 10, np.random.default_rng(0)).num_rows == 0
    assert not improved(instance).any()


# -- search ---------------------------------------------------------------------------------


@given(st.data(), instances(max_experts=5, max_rows=25), st.integers(0, 3))
def test_never_worse_than_its_start_and_feasible(
    data: st.DataObject, instance: Instance, seed: int
) -> None:
    start = data.draw(placements(instance))
    stored = improved(instance, start.stored.copy(), seed=seed, orders=1, rounds=2)
    after = evaluate(instance, Placement(stored))
    assert after.feasible
    assert after.saving_ms >= evaluate(instance, start).saving_ms * (1 - 1e-12)


@pytest.mark.parametrize(("sample_rows", "least"), [(4, 0.9), (1000, 0.999)])
def test_comes_close_to_the_optimum(sample_rows: int, least: float) -> None:
    ratios = []
    for seed in range(40):
        instance = random_instance(np.random.default_rng(seed), max_cells=10)
        best = best_saving(instance)
        if best > 0:
            stored = improved(instance, sample_rows=sample_rows)
            ratios.append(evaluate(instance, Placement(stored)).saving_ms / best)
    assert np.mean(ratios) >= least


def test_no_server_gains_alone_at_the_end() -> None:
    for seed in range(5):
        instance = generate("gpt-oss", size="tiny", seed=seed)
        stored = improved(instance, sample_rows=50)
        search = RowSearch(instance, NO_LIMIT, 1)
        found = search.found(stored)
        for rng_seed in range(3):
            assert search.responded(found, np.random.default_rng(rng_seed)) is found


def test_saves_more_than_the_pass_of_successive_hull() -> None:
    gains = []
    for seed in range(3):
        instance = generate("fine-grained", size="small", seed=seed)
        stored = improved(instance, sample_rows=120)
        passed = evaluate(instance, solve("successive-hull-pass", instance)).saving_ms
        gains.append(evaluate(instance, Placement(stored)).saving_ms / passed - 1)
    assert min(gains) >= -0.01  # a sample of 120 rows may mislead
    assert np.mean(gains) > 0.01


def test_the_same_for_a_seed_and_any_number_of_threads() -> None:
    instance = generate("fine-grained", size="tiny", seed=2)
    first = improved(instance, sample_rows=60, seed=7)
    for threads in (1, 2, 5):
        again = improved(instance, sample_rows=60, seed=7, threads=threads)
        np.testing.assert_array_equal(first, again)


def test_no_threads_are_refused() -> None:
    with pytest.raises(InputError, match=r"^threads: 0 is not a whole number >= 1$"):
        solve("improve", generate("tiny", size="tiny", seed=0), threads=0)


@pytest.mark.parametrize("looks", [0, 1, 2, 5, 20, 100, 300])
def test_time_may_run_out_anywhere(looks: int) -> None:
    instance = generate("gpt-oss", size="tiny", seed=1)
    start = solve("round-robin", instance)
    for stored in (start.stored.copy(), nothing(instance)):
        before = evaluate(instance, Placement(stored)).saving_ms
        with counting_looks():
            found = improved(
                instance, stored, sample_rows=50, deadline=Deadline.after(float(looks))
            )
        after = evaluate(instance, Placement(found))
        assert after.feasible
        assert after.saving_ms >= before


def test_improve_lists_no_clauses_of_large_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = generate("gpt-oss", size="tiny", seed=3)
    start = solve("popularity", instance)
    by_clauses = evaluate(instance, solve("improve", instance, start=start)).saving_ms

    def refuse(*_: object) -> None:
        raise AssertionError("clauses were listed")

    monkeypatch.setattr(row_search, "CLAUSE_ENTRIES", 0)
    monkeypatch.setattr(improve_module, "build_clauses", refuse)
    assert is_large(instance)
    for threads in (1, 2):
        found = solve("improve", instance, start=start, threads=threads)
        saving = evaluate(instance, found).saving_ms
        assert saving >= evaluate(instance, start).saving_ms
        assert saving >= 0.97 * by_clauses


def test_methods_say_when_there_are_too_many_clauses(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = HEURISTICS.get("layer-generation")
    monkeypatch.setattr(layer_generation, "MAX_ENTRIES", 100)
    reason = columns.supports(generate("gpt-oss", size="tiny", seed=0))
    assert reason is not None
    assert "the limit is 100" in reason
    monkeypatch.setattr(lp_rounding, "MAX_CLAUSES", 10)
    switch = generate("switch", size="tiny", seed=0)
    reason = HEURISTICS.get("lp-rounding").supports(switch)
    most = min(row_search.most_clauses(switch), (2**switch.num_servers - 1) * switch.num_experts)
    assert reason == f"up to {most} clauses, each a row of the LP; the limit is 10"
    assert len(build_clauses(switch)) <= most


def test_layer_generation_lists_nothing_without_time() -> None:
    instance = generate("gpt-oss", size="tiny", seed=0)
    spec = HEURISTICS.get("layer-generation")
    outcome = run(spec, instance, rng=np.random.default_rng(0), time_limit=0.0)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.placement is not None
    assert not outcome.placement.stored.any()
    assert outcome.bound_saving_ms == np.inf


def test_continuous_greedy_keeps_time_for_rounding() -> None:
    instance = generate("switch", size="tiny", seed=0)
    spec = HEURISTICS.get("continuous-greedy")
    with counting_looks():
        outcome = run(spec, instance, rng=np.random.default_rng(0), time_limit=30.0)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.placement is not None
    assert evaluate(instance, outcome.placement).saving_ms > 0.0


@given(instances(max_rows=30))
def test_large_is_judged_by_a_bound_on_the_clauses(instance: Instance) -> None:
    entries = len(build_clauses(instance)) * instance.top_k
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_search, "CLAUSE_ENTRIES", entries - 1)
        assert is_large(instance) or entries == 0
        patch.setattr(
            row_search,
            "CLAUSE_ENTRIES",
            instance.num_rows * instance.num_servers * instance.top_k,
        )
        assert not is_large(instance)


# -- requests -------------------------------------------------------------------------------


@given(instances(max_rows=30))
def test_requests_are_weighed_as_the_clauses_that_want_an_expert(instance: Instance) -> None:
    clauses = build_clauses(instance)
    want = wanted_weight(
        clauses.weight,
        clauses.server_set,
        clauses.itemset,
        clauses.server_sets,
        clauses.itemset_offsets,
        clauses.itemset_experts,
        instance.num_experts,
    )
    cloud, local = instance.cloud_latency_ms[:, None], instance.local_latency_ms[:, None]
    reached = np.minimum(instance.latency_ms, cloud)
    behind_local = np.maximum(cloud, local) - np.maximum(reached, local)
    found = requested(instance, cloud - reached, behind_local)
    scale = max(float(want.max(initial=0.0)), 1e-300)
    np.testing.assert_allclose(found / scale, want / scale, rtol=0, atol=1e-9)


@given(instances(max_rows=30), st.randoms(use_true_random=False))
def test_requests_do_not_depend_on_the_order_of_rows(instance: Instance, random: object) -> None:
    order = np.random.default_rng(random.getrandbits(32)).permutation(instance.num_rows)
    pieces = np.split(instance.demand_experts, instance.demand_offsets[1:-1])
    lengths = np.diff(instance.demand_offsets)[order]
    shuffled = replace(
        instance,
        demand_user=instance.demand_user[order],
        demand_layer=instance.demand_layer[order],
        demand_rate=instance.demand_rate[order],
        demand_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        demand_experts=np.concatenate([pieces[d] for d in order] or [instance.demand_experts]),
    )
    worth = np.ones((instance.num_users, 2))
    np.testing.assert_allclose(
        requested(instance, worth, 2 * worth), requested(shuffled, worth, 2 * worth), rtol=1e-12
    )
