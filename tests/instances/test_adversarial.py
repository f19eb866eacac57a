import math

import numpy as np
import pytest

from formulations import EXACT
from heuristics import HEURISTICS
from instances.checker import check
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import FAMILIES, generate
from instances.families.adversarial import TRAPS, near_tight_families
from instances.registry import run
from instances.structure.exhaustive import best_placement

SEEDS = range(4)
CHECKSUMS = {
    ("coverage-tight", "tiny"): "5acc4c9df1a39443",
    ("coverage-tight", "small"): "25d2f1c9a78dc235",
    ("density-trap", "tiny"): "62dc7650f9ca9a75",
    ("density-trap", "small"): "b7c354ae6b6cdf1f",
    ("coactivation-trap", "tiny"): "a8326cd12f3fb2e2",
    ("coactivation-trap", "small"): "484fcfd1bbc8a918",
    ("cross-server-trap", "tiny"): "651ceaa3b9caa5a0",
    ("cross-server-trap", "small"): "9ab33f77b5d213be",
    ("order-trap", "tiny"): "fdb22df8552a994c",
    ("order-trap", "small"): "a3133b557d4c2597",
    ("hull-trap", "tiny"): "7f807e820a043f42",
    ("hull-trap", "small"): "1a2c0631547529df",
}


def ratio(algorithm: str, family: str, size: str, seed: int = 0) -> float:
    """F / OPT of a method on a trap, OPT by construction."""
    planted = TRAPS[family].planted(size, seed)
    outcome = run(HEURISTICS.get(algorithm), planted.instance, rng=np.random.default_rng(0))
    assert outcome.placement is not None, outcome.reason
    saving = evaluate(planted.instance, outcome.placement).saving_ms
    return saving / evaluate(planted.instance, planted.optimum).saving_ms


def bound(algorithm: str, family: str, size: str) -> float | None:
    guarantee = HEURISTICS.get(algorithm).guarantee
    assert guarantee is not None
    return guarantee.ratio(generate(family, size=size, seed=0))


# -- what is planted is best ------------------------------------------------------------------


@pytest.mark.parametrize("family", TRAPS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_planted_placement_is_optimal(family: str, seed: int) -> None:
    planted = TRAPS[family].planted("tiny", seed)
    best = evaluate(planted.instance, best_placement(planted.instance)).saving_ms
    assert evaluate(planted.instance, planted.optimum).feasible
    assert evaluate(planted.instance, planted.optimum).saving_ms == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("family", TRAPS)
def test_a_solver_proves_the_same_optimum_at_the_next_size(family: str) -> None:
    planted = TRAPS[family].planted("small", 1)
    outcome = run(
        EXACT.get("milp-compact"), planted.instance, rng=np.random.default_rng(0), time_limit=60
    )
    assert outcome.proven_optimal
    assert outcome.placement is not None
    saving = evaluate(planted.instance, outcome.placement).saving_ms
    assert evaluate(planted.instance, planted.optimum).saving_ms == pytest.approx(saving, rel=1e-9)


@pytest.mark.parametrize("family", TRAPS)
@pytest.mark.parametrize("size", ["small", "medium"])
def test_the_planted_placement_is_feasible_and_fast_methods_do_not_beat_it(
    family: str, size: str
) -> None:
    planted = TRAPS[family].planted(size, 2)
    assert not check(planted.instance, planted.optimum).overfull
    for name in ("greedy", "successive-modular", "successive-hull-pass", "local-popularity"):
        assert ratio(name, family, size, 2) <= 1 + 1e-12


# -- and these methods miss it ----------------------------------------------------------------


def test_greedy_falls_to_its_bound_on_coverage() -> None:
    # Hubs a margin of 1 % faster than the servers beside them: (1 + 0.01) / 2, and a little less
    # than 1 / 4 of the margin for the rates.
    for seed in SEEDS:
        assert 0.5 <= ratio("greedy", "coverage-tight", "small", seed) <= 0.5 * 1.02
    assert bound("greedy", "coverage-tight", "small") == 0.5
    assert ratio("greedy", "coverage-tight", "large") <= 0.501


def test_greedy_falls_to_nothing_on_unequal_sizes() -> None:
    # one bait of 1.05 to 1.06 in place of an expert worth 100
    for seed in SEEDS:
        assert 0.0105 <= ratio("greedy", "density-trap", "small", seed) <= 0.0106
    assert bound("greedy", "density-trap", "small") is None
    assert ratio("greedy", "density-trap", "large") <= 0.002


@pytest.mark.parametrize("family", ["coverage-tight", "density-trap"])
@pytest.mark.parametrize("size", ["tiny", "small", "medium"])
def test_continuous_greedy_stays_above_its_bound(family: str, size: str) -> None:
    assert ratio("continuous-greedy", family, size) > 1 - 1 / math.e


@pytest.mark.parametrize("size", ["tiny", "small", "medium", "large"])
@pytest.mark.parametrize("algorithm", ["greedy", "popularity", "successive-modular"])
def test_methods_that_look_at_single_experts_gain_nothing(algorithm: str, size: str) -> None:
    assert ratio(algorithm, "coactivation-trap", size) == 0
    assert ratio("successive-hull-pass", "coactivation-trap", size) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("algorithm", "sizes"),
    [
        ("successive-dp", ["tiny", "small", "medium"]),
        ("successive-hull-pass", ["tiny", "small", "medium", "large"]),
    ],
)
def test_one_server_after_the_other_gains_nothing(algorithm: str, sizes: list[str]) -> None:
    for size in sizes:
        assert ratio(algorithm, "cross-server-trap", size) == 0


@pytest.mark.parametrize(
    "algorithm", ["successive-dp", "successive-hull-pass", "successive-modular"]
)
def test_the_default_order_of_servers_loses_half(algorithm: str) -> None:
    for seed in SEEDS:
        assert 0.5 <= ratio(algorithm, "order-trap", "small", seed) <= 0.51
    assert bound(algorithm, "order-trap", "small") == 0.5
    assert ratio(algorithm, "order-trap", "large") <= 0.501


def test_the_order_of_servers_is_all_that_is_wrong() -> None:
    # Spokes first: those are the servers with less room.
    planted = TRAPS["order-trap"].planted("small", 0)
    instance = planted.instance
    order = [instance.server_names[n] for n in np.argsort(instance.capacity_bytes, kind="stable")]
    outcome = run(
        HEURISTICS.get("successive-dp"), instance, rng=np.random.default_rng(0), order=order
    )
    assert outcome.placement is not None
    best = evaluate(instance, planted.optimum).saving_ms
    assert evaluate(instance, outcome.placement).saving_ms == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("size", ["tiny", "small", "medium", "large"])
def test_the_hull_comes_within_two_experts_of_its_bound(size: str) -> None:
    # M layers and one expert of M + 1 layers less one expert, layers worth 2 to 3 % more per expert
    # than the rest; the bound is 1 - E / (M E + E - 1).
    instance = generate("hull-trap", size=size, seed=0)
    slots = int(instance.capacity_bytes[0]) // 1_000_000
    claimed = bound("successive-hull-pass", "hull-trap", size)
    assert claimed is not None
    assert claimed <= ratio("successive-hull-pass", "hull-trap", size) <= claimed + 2 / slots + 0.01
    assert ratio("improve", "hull-trap", size) == pytest.approx(1, rel=1e-12)


# -- the families themselves ------------------------------------------------------------------


@pytest.mark.parametrize("family", TRAPS)
def test_every_trap_is_a_family_that_names_its_victims(family: str) -> None:
    trap = TRAPS[family]
    assert FAMILIES.get(family).sizes == ("tiny", "small", "medium", "large")
    assert trap.why
    assert trap.drives_to
    for name in trap.hurts:
        assert name in HEURISTICS
        assert family in near_tight_families(name)


def test_methods_without_a_trap_have_no_family() -> None:
    assert near_tight_families("no-such-method") == ()
    assert near_tight_families("greedy") == ("coverage-tight", "density-trap", "coactivation-trap")


@pytest.mark.parametrize("family", TRAPS)
def test_seeds_shuffle_and_repeat(family: str) -> None:
    first, again, other = (generate(family, size="small", seed=seed) for seed in (0, 0, 1))
    assert first.name == f"{family}-small-s0"
    assert first.checksum() == again.checksum() != other.checksum()
    assert sorted(first.capacity_bytes) == sorted(other.capacity_bytes)
    # rates of each layer add up to one row a token
    assert first.demand_rate.sum() == pytest.approx(first.num_layers, rel=1e-8)


@pytest.mark.parametrize(("family", "size"), CHECKSUMS)
def test_the_bytes_are_the_same_on_every_machine(family: str, size: str) -> None:
    assert generate(family, size=size, seed=0).checksum()[:16] == CHECKSUMS[family, size]


def test_planted_requests_are_checked() -> None:
    with pytest.raises(InputError, match="size: 'huge' is not one of tiny, small, medium, large"):
        TRAPS["hull-trap"].planted("huge", 0)
    with pytest.raises(InputError, match="seed: -1 is not a whole number"):
        TRAPS["hull-trap"].planted("tiny", -1)
