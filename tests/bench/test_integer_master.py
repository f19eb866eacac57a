import itertools

import numpy as np
import pytest

from bench.integer_master import choose_columns
from bench.supplies import supplied
from heuristics.layer_generation import LAYER_GENERATION
from instances.errors import InputError
from instances.registry import run
from instances.result import judge
from tests.heuristics.test_successive import best_saving
from tests.strategies import random_instance


def best_value(
    value: np.ndarray, used: np.ndarray, layer: np.ndarray, capacity: np.ndarray
) -> float:
    """Try every selection of at most one column of each layer."""
    choices = [[-1, *np.flatnonzero(layer == number)] for number in np.unique(layer)]
    best = 0.0
    for selection in itertools.product(*choices):
        columns = [j for j in selection if j >= 0]
        if np.all(used[columns].sum(axis=0) <= capacity):
            best = max(best, float(value[columns].sum()))
    return best


@pytest.mark.parametrize("seed", range(40))
def test_is_the_best_selection(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_columns, num_servers = int(rng.integers(1, 13)), int(rng.integers(1, 4))
    unit = int(rng.choice([1, 7, 352_321_536]))
    value = rng.uniform(0.0, 1.0, num_columns) * 10.0 ** rng.integers(-6, 6)
    used = rng.integers(0, 9, (num_columns, num_servers)) * unit
    layer = np.sort(rng.integers(0, 4, num_columns))
    capacity = rng.integers(0, 20, num_servers) * unit + int(rng.integers(0, 2))
    chosen = choose_columns(value, used, layer, capacity, time_limit=None)
    assert chosen is not None
    assert np.all(used[chosen].sum(axis=0) <= capacity)
    assert np.unique(layer[chosen]).size == chosen.size
    assert value[chosen].sum() == pytest.approx(best_value(value, used, layer, capacity), rel=1e-9)


def test_bytes_beyond_the_precision_of_a_solver_are_kept() -> None:
    # One byte too many for both, in numbers that a tolerance of 1e-7 cannot tell apart.
    size = 10**12 + 1
    chosen = choose_columns(
        np.array([1.0, 2.0]),
        np.array([[size], [size - 1]]),
        np.array([0, 1]),
        np.array([2 * size - 2]),
        time_limit=None,
    )
    assert chosen is not None
    assert chosen.tolist() == [1]


def test_no_column_that_fits_is_an_empty_choice() -> None:
    chosen = choose_columns(
        np.array([1.0]), np.array([[2]]), np.array([0]), np.array([1]), time_limit=None
    )
    assert chosen is not None
    assert chosen.size == 0


def test_no_time_is_no_choice() -> None:
    columns = np.array([1.0]), np.array([[1]]), np.array([0]), np.array([1])
    assert choose_columns(*columns, time_limit=0.0) is None


def test_is_handed_to_layer_generation_by_name() -> None:
    reached = 0
    for seed in range(12):
        instance = random_instance(np.random.default_rng(seed), max_cells=11, max_rows=20)
        parameters = supplied(LAYER_GENERATION, {"integer_master": "highs"})
        assert parameters == {"integer_master": choose_columns}
        outcome = run(LAYER_GENERATION, instance, rng=np.random.default_rng(0), **parameters)
        saving = judge(instance, outcome, seconds=0.0).saving_ms
        reached += saving >= best_saving(instance) * (1 - 1e-9) - 1e-12
    assert reached >= 11


def test_unknown_supplies_are_refused_and_other_parameters_pass() -> None:
    with pytest.raises(InputError, match=r"integer_master: 'gurobi' is not one of highs"):
        supplied(LAYER_GENERATION, {"integer_master": "gurobi"})
    assert supplied(LAYER_GENERATION, {"integer_master": None}) == {"integer_master": None}
    assert supplied(LAYER_GENERATION, {}) == {}
