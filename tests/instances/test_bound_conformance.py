"""The rules for bounds are tried on ours, and on one method for each way of breaking them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from formulations import BOUNDS
from instances.bound_conformance import check_bound
from instances.conformance_cases import conformance_cases
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, StopReason
from instances.structure.exhaustive import best_placement

CASES = conformance_cases()[:6]


def outcome(bound: float, **changes: Any) -> Outcome:
    return Outcome(
        **{
            "stop_reason": StopReason.COMPLETED,
            "placement": None,
            "proven_optimal": False,
            "bound_saving_ms": bound,
            **changes,
        }
    )


def trivial(instance: Instance) -> float:
    """No saving exceeds the latency of storing nothing."""
    return evaluate(instance, Placement.empty(instance)).latency_ms * (1 + 1e-9)


def broken(solve: Callable[..., Outcome], **changes: Any) -> set[str]:
    fields = {"name": "bound", "exact": False, "summary": "s", "source": "s", "complexity": "c"}
    algorithm = Algorithm(solve=solve, **{**fields, **changes})
    return {finding.check for finding in check_bound(algorithm, CASES)}


@pytest.mark.parametrize("name", [spec.name for spec in BOUNDS])
def test_every_bound_of_ours_conforms(name: str) -> None:
    assert check_bound(BOUNDS.get(name), conformance_cases()[::2]) == []


def test_the_trivial_bound_conforms() -> None:
    def solve(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Outcome:
        return outcome(trivial(instance), bound_certified=True)

    assert broken(solve) == set()


def test_no_bound_is_found() -> None:
    assert broken(lambda instance, *, rng, time_limit=None: outcome(math.inf)) == {"brings a bound"}


def test_a_bound_below_the_optimum_is_found() -> None:
    both = {"holds", "holds when it is stopped"}
    for certified, share in ((True, 1 - 1e-12), (False, 0.99)):

        def solve(
            instance: Instance,
            *,
            rng: np.random.Generator,
            time_limit: float | None = None,
            certified: bool = certified,
            share: float = share,
        ) -> Outcome:
            best = evaluate(instance, best_placement(instance)).saving_ms
            return outcome(best * share, bound_certified=certified)

        assert broken(solve) == both


def test_a_bound_that_only_holds_with_time_is_found() -> None:
    def solve(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Outcome:
        return outcome(trivial(instance) if time_limit is None else 1e-9)

    def gives_up(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Outcome:
        reason = StopReason.COMPLETED if time_limit is None else StopReason.SOLVER_ERROR
        return outcome(trivial(instance), stop_reason=reason)

    for method in (solve, gives_up):
        assert broken(method) == {"holds when it is stopped"}


def test_a_bound_of_chance_is_found() -> None:
    def solve(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Outcome:
        return outcome(trivial(instance) * (1.0 + rng.random()))

    assert broken(solve) == {"repeats itself"}
    assert broken(solve, randomised=True) == set()


def test_a_wrong_placement_is_found() -> None:
    def solve(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Outcome:
        full = Placement(np.ones((instance.num_servers, instance.num_experts), dtype=np.bool_))
        return outcome(trivial(instance), placement=full)

    assert broken(solve) == {"holds", "holds when it is stopped"}


def test_supporting_nothing_is_found() -> None:
    def solve(
        instance: Instance, *, rng: np.random.Generator, time_limit: float | None = None
    ) -> Outcome:
        return outcome(trivial(instance))

    assert broken(solve, supports=lambda instance: "never") == {"supports something"}
