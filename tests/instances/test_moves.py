import itertools
from fractions import Fraction

import numpy as np
import pytest

from instances.checker import check
from instances.errors import InputError
from instances.moves import bound_within, moved_bytes, with_price_of_moves
from instances.placement import Placement
from instances.problem import Instance
from instances.rounding_up import round_up
from tests.strategies import random_instance, random_placement


def feasible_placements(instance: Instance) -> list[Placement]:
    """Every feasible placement: what each server may store, in all combinations."""
    contents = []
    for capacity in instance.capacity_bytes.tolist():
        fitting = []
        for bits in itertools.product((False, True), repeat=instance.num_experts):
            row = np.array(bits)
            if int(instance.expert_bytes[row].sum()) <= capacity:
                fitting.append(row)
        contents.append(fitting)
    return [Placement(np.array(rows)) for rows in itertools.product(*contents)]


def test_only_what_is_loaded_counts(tiny: Instance) -> None:
    old = Placement.of(tiny, [(0, 0), (0, 1), (1, 2)])
    new = Placement.of(tiny, [(0, 0), (1, 2), (1, 3), (1, 4)])
    assert moved_bytes(tiny, old, new).tolist() == [0, 20]
    assert moved_bytes(tiny, new, old).tolist() == [10, 0]
    with pytest.raises(InputError, match="shape"):
        moved_bytes(tiny, old, Placement(np.zeros((1, 6), dtype=np.bool_)))


@pytest.mark.parametrize("seed", range(40))
def test_a_price_adds_a_premium_on_what_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(rng)
    old, new = random_placement(rng, instance), random_placement(rng, instance)
    price = float(rng.uniform(1e-3, 2.0))
    priced = with_price_of_moves(instance, old, price)
    stays = old.stored & new.stored
    premium = sum(
        Fraction(price * float(instance.expert_bytes[x])) for _, x in np.argwhere(stays).tolist()
    )
    assert check(priced, new).saving_ms == check(instance, new).saving_ms + premium


def test_names_of_users_do_not_clash(tiny: Instance) -> None:
    old = Placement.of(tiny, [(0, 0), (1, 2)])
    once = with_price_of_moves(tiny, old, 1.0)
    twice = with_price_of_moves(once, old, 1.0)
    assert twice.num_users == tiny.num_users + 4
    assert once.user_names[2] == "what near stores of toy"


def test_nothing_stored_costs_nothing(tiny: Instance) -> None:
    assert with_price_of_moves(tiny, Placement.empty(tiny), 1.0) is tiny


@pytest.mark.parametrize("price", [0.0, -1.0, np.inf, np.nan])
def test_prices_are_positive(tiny: Instance, price: float) -> None:
    with pytest.raises(InputError, match="price"):
        with_price_of_moves(tiny, Placement.empty(tiny), price)


@pytest.mark.parametrize("seed", range(60))
def test_no_placement_within_the_budget_saves_more_than_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, max_cells=8, max_servers=2, uniform=seed % 2 == 0)
    old = random_placement(rng, instance)
    budget = int(rng.integers(0, int(instance.expert_bytes.sum()) + 1))
    price = float(rng.uniform(0.01, 1.0)) / float(instance.expert_bytes.max())
    priced = with_price_of_moves(instance, old, price)
    every = feasible_placements(instance)
    bound = bound_within(
        instance,
        old,
        budget_bytes=budget,
        price_ms=price,
        priced_bound_ms=round_up(max(check(priced, p).saving_ms for p in every)),
    )
    best = max(
        check(instance, p).saving_ms
        for p in every
        if int(moved_bytes(instance, old, p).sum()) <= budget
    )
    assert best <= Fraction(bound)
