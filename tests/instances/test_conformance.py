"""The suite is tried on methods that conform, and on one method for each way of not conforming."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from formulations import EXACT
from heuristics import HEURISTICS
from instances.conformance import CHECKS, Check, Finding, Subject, check_algorithm
from instances.conformance_cases import conformance_cases
from instances.deadline import Deadline
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee
from instances.result import Outcome, StopReason

ORDER = "ignores the order of servers, users and rows"


def algorithm(solve: Callable[..., Placement | Outcome], **options: Any) -> Algorithm:
    return Algorithm(
        **{
            "name": solve.__name__.replace("_", "-"),
            "solve": solve,
            "exact": False,
            "summary": "for tests",
            "source": "tests",
            "complexity": "O(1)",
            **options,
        }
    )


def nothing(
    instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
) -> Placement:
    return Placement.empty(instance)


def promise(ratio: float) -> Guarantee:
    return Guarantee(formula="F >= ...", scope="all", source="tests", ratio=lambda instance: ratio)


def broken(subject: Algorithm) -> set[str]:
    return {finding.check for finding in check_algorithm(subject)}


@pytest.mark.parametrize("name", [spec.name for spec in HEURISTICS])
def test_every_heuristic_conforms(name: str) -> None:
    assert check_algorithm(HEURISTICS.get(name)) == []


@pytest.mark.parametrize("name", [spec.name for spec in EXACT])
def test_every_exact_method_conforms(name: str) -> None:
    every = 5 if name == "milp-compact-cbc" else 1  # CBC starts a program for each solve
    assert check_algorithm(EXACT.get(name), conformance_cases()[::every]) == []


@pytest.mark.long
def test_cbc_conforms_on_every_case() -> None:
    assert check_algorithm(EXACT.get("milp-compact-cbc")) == []


def test_doing_nothing_conforms() -> None:
    assert check_algorithm(algorithm(nothing)) == []


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_rules_can_be_tried_one_by_one(check: Check) -> None:
    assert check(Subject(HEURISTICS.get("greedy"))) == []


def test_the_cases_hold_every_extreme() -> None:
    cases = conformance_cases()
    instances = {case.instance.name: case.instance for case in cases}
    assert len(instances) == len(cases)
    assert (instances["no-storage"].capacity_bytes == 0).all()
    assert (instances["one-server-without-storage"].capacity_bytes == 0).sum() == 1
    assert instances["no-rows"].num_rows == 0
    assert instances["k-equals-e"].top_k == instances["k-equals-e"].models[0].experts
    assert instances["one-of-each"].num_experts == 1
    assert {1, 2} <= {instance.num_layers for instance in instances.values()}
    far = instances["a-server-that-nobody-reaches"]
    assert (far.latency_ms[:, 1] > far.cloud_latency_ms).all()
    shapes = {(case.instance.num_servers, case.instance.top_k) for case in cases if case.tie_free}
    assert shapes == {(n, k) for n in (1, 2, 3) for k in (1, 2, 3)}
    # optima are known nearly everywhere, and mostly worth finding
    optima = [case.optimum_ms for case in cases]
    assert sum(best is not None for best in optima) >= len(cases) - 2
    assert sum(best is not None and best > 0 for best in optima) >= 25


def test_an_overfull_placement_is_found() -> None:
    def overfull(instance: Instance, **_: Any) -> Placement:
        return Placement(np.ones((instance.num_servers, instance.num_experts), dtype=np.bool_))

    findings = check_algorithm(algorithm(overfull))
    assert "is feasible" in {finding.check for finding in findings}
    assert any("where its capacity is" in finding.problem for finding in findings)


def test_a_method_that_gives_up_is_found() -> None:
    def quitter(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Placement | Outcome:
        if time_limit is None:
            return Placement.empty(instance)
        return Outcome(stop_reason=StopReason.TIME_LIMIT, placement=None, proven_optimal=False)

    def shy(instance: Instance, **_: Any) -> Outcome:
        return Outcome(stop_reason=StopReason.TIME_LIMIT, placement=None, proven_optimal=False)

    assert broken(algorithm(quitter)) == {
        "honours its time limit",
        "returns what it has half-way",
    }
    assert {"is feasible", "honours its time limit"} <= broken(algorithm(shy))


def test_a_method_that_fails_half_way_is_found() -> None:
    def in_steps(
        instance: Instance, deadline: Deadline, stored: NDArray[np.bool_]
    ) -> tuple[Placement, bool]:
        """Store one copy between two looks at the clock."""
        for server, capacity in enumerate(instance.capacity_bytes):
            for expert in range(instance.num_experts):
                if deadline.passed:
                    return Placement(stored), False
                if (
                    stored[server] @ instance.expert_bytes + instance.expert_bytes[expert]
                    <= capacity
                ):
                    stored[server, expert] = True
        return Placement(stored), True

    def honest(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Placement:
        empty = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
        return in_steps(instance, Deadline.after(time_limit), empty)[0]

    def last_minute(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Placement:
        """Have an answer at once, and spoil it before it is finished."""
        deadline = Deadline.after(time_limit)
        if deadline.passed:
            return Placement.empty(instance)
        placement, finished = in_steps(
            instance, deadline, np.zeros_like(Placement.empty(instance).stored)
        )
        return placement if finished else Placement(np.ones_like(placement.stored))

    def pretender(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Outcome:
        deadline = Deadline.after(time_limit)
        placement, _ = in_steps(instance, deadline, np.zeros_like(Placement.empty(instance).stored))
        return Outcome(stop_reason=StopReason.COMPLETED, placement=placement, proven_optimal=False)

    half_way = "returns what it has half-way"
    assert half_way not in broken(algorithm(honest))
    for liar in (last_minute, pretender):
        assert half_way in broken(algorithm(liar))


def test_a_false_objective_is_found() -> None:
    def boaster(instance: Instance, **_: Any) -> Outcome:
        return Outcome(
            stop_reason=StopReason.COMPLETED,
            placement=Placement.empty(instance),
            proven_optimal=False,
            claimed_saving_ms=1.0,
        )

    assert {"is feasible", "honours its time limit"} <= broken(algorithm(boaster))


def test_a_false_proof_is_found() -> None:
    def prover(instance: Instance, **_: Any) -> Outcome:
        return Outcome(
            stop_reason=StopReason.COMPLETED,
            placement=Placement.empty(instance),
            proven_optimal=True,
            bound_saving_ms=0.0,
        )

    assert broken(algorithm(prover, exact=True)) == {"proves what it returns"}
    assert "proves what it returns" in broken(algorithm(nothing, exact=True))


@pytest.mark.parametrize("ratio", [1.0, 1e-6])
def test_a_false_guarantee_is_found(ratio: float) -> None:
    findings = check_algorithm(algorithm(nothing, guarantee=promise(ratio)))
    assert {finding.check for finding in findings} == {"keeps its guarantee"}
    assert len(findings) >= 25
    assert "but saves 0.0 ms" in findings[0].problem


@pytest.mark.parametrize("ratio", [1.01, -0.1, np.nan])
def test_a_guarantee_outside_0_and_1_is_found(ratio: float) -> None:
    findings = check_algorithm(algorithm(nothing, guarantee=promise(ratio)))
    assert {finding.check for finding in findings} == {"keeps its guarantee"}
    assert "which is not in [0, 1]" in findings[0].problem


def test_hidden_randomness_is_found() -> None:
    random = HEURISTICS.get("random")
    assert "repeats itself" in broken(dataclasses.replace(random, randomised=False))

    rng_of_its_own = np.random.default_rng(0)

    def moody(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Placement:
        return random.solve(instance, rng=rng_of_its_own)  # type: ignore[return-value]

    assert "repeats itself" in broken(algorithm(moody, randomised=True))


def test_dependence_on_the_order_is_found() -> None:
    def first_server_first(instance: Instance, **_: Any) -> Placement:
        """Each expert goes to the first server that has room."""
        stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
        room = instance.capacity_bytes.copy()
        for expert, size in enumerate(instance.expert_bytes):
            for server in np.flatnonzero(room >= size)[:1]:
                stored[server, expert] = True
                room[server] -= size
        return Placement(stored)

    def first_row_only(instance: Instance, **_: Any) -> Placement:
        expert = int(instance.demand_experts[0]) if instance.num_rows else 0
        fits = instance.capacity_bytes >= instance.expert_bytes[expert]
        return Placement.of(instance, [(int(n), expert) for n in np.flatnonzero(fits)])

    def first_user_only(instance: Instance, **_: Any) -> Placement:
        own = instance.demand_experts[
            np.repeat(instance.demand_user == 0, np.diff(instance.demand_offsets))
        ]
        expert = int(own.min(initial=instance.num_experts - 1))
        fits = instance.capacity_bytes >= instance.expert_bytes[expert]
        return Placement.of(instance, [(int(n), expert) for n in np.flatnonzero(fits)])

    for method, what in (
        (first_server_first, "servers"),
        (first_row_only, "rows"),
        (first_user_only, "users"),
    ):
        findings = check_algorithm(algorithm(method))
        assert {finding.check for finding in findings} == {ORDER}
        assert any(f"with its {what} in another order" in each.problem for each in findings)


def test_an_absolute_threshold_is_found() -> None:
    def picky(instance: Instance, **_: Any) -> Placement:
        if instance.demand_rate.sum() < 50:
            return Placement.empty(instance)
        outcome = HEURISTICS.get("popularity").solve(instance, rng=np.random.default_rng(0))
        assert isinstance(outcome, Placement)
        return outcome

    assert broken(algorithm(picky)) == {"scales with the rates"}


def test_support_must_be_explained_and_meant() -> None:
    assert broken(algorithm(nothing, supports=lambda instance: "")) == {
        "says what it supports",
        "supports something",
    }
    assert broken(algorithm(nothing, supports=lambda instance: "too\nlong")) == {
        "says what it supports",
        "supports something",
    }
    assert broken(algorithm(nothing, supports=lambda instance: "not today")) == {
        "supports something"
    }
    partly = algorithm(nothing, supports=lambda i: None if i.top_k == 1 else "only for K = 1")
    assert check_algorithm(partly) == []


def test_a_spoilt_start_is_found() -> None:
    def forgetful(
        instance: Instance,
        *,
        rng: np.random.Generator,
        time_limit: float | None = None,
        start: Placement | None = None,
    ) -> Placement:
        return Placement.empty(instance)

    def grateful(
        instance: Instance,
        *,
        rng: np.random.Generator,
        time_limit: float | None = None,
        start: Placement | None = None,
    ) -> Placement:
        return start or Placement.empty(instance)

    assert broken(algorithm(forgetful)) == {"never spoils its start"}
    assert check_algorithm(algorithm(grateful)) == []


def test_parameters_that_take_anything_are_found() -> None:
    def anything(
        instance: Instance,
        *,
        rng: np.random.Generator,
        time_limit: float | None = None,
        no_such_parameter: int = 0,
    ) -> Placement:
        return Placement.empty(instance)

    assert broken(algorithm(anything)) == {"refuses unknown parameters"}


def test_instances_of_ones_own() -> None:
    instance = generate("density-trap", size="small", seed=0)
    assert check_algorithm(HEURISTICS.get("greedy"), [instance]) == []
    liar = algorithm(nothing, guarantee=promise(0.5))
    small = generate("density-trap", size="tiny", seed=0)
    (finding,) = check_algorithm(liar, [small, instance])  # the larger one has no known optimum
    assert finding.instance == "density-trap-tiny-s0"
    assert str(finding).startswith("keeps its guarantee: density-trap-tiny-s0: guarantees 0.5 of")
    assert str(Finding("a", "", "b")) == "a: b"
