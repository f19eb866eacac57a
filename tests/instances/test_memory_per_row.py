"""What large instances may take beside their arrays; docs/methodology.md, section Scale."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from instances.checker import check
from instances.evaluation import evaluate
from instances.families import generate
from instances.files import read_instance, write_instance
from instances.placement import Placement
from instances.problem import ARRAYS

CONSTANT = 2**22
"""For parts of fixed size, and names."""


@pytest.fixture(scope="module")
def large():
    return generate("scale", size="hundred-thousand", seed=0)


@pytest.fixture(scope="module")
def placement(large):
    return Placement(np.random.default_rng(0).random((8, large.num_experts)) < 0.2)


def array_bytes(instance):
    return sum(getattr(instance, name).nbytes for name in ARRAYS)


def peak_bytes(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_is_read_to_where_it_stays(large, tmp_path):
    path = tmp_path / "x.npz"
    assert peak_bytes(lambda: write_instance(path, large)) < CONSTANT
    assert peak_bytes(lambda: read_instance(path)) < array_bytes(large) + CONSTANT
    assert peak_bytes(large.checksum) < CONSTANT


def test_evaluating_takes_no_array_of_all_rows(large, placement):
    evaluate(large, placement)  # compiled
    assert peak_bytes(lambda: evaluate(large, placement)) < 2 * large.num_rows + CONSTANT


def test_checking_takes_the_order_of_the_rows_alone(large, placement):
    ranks = 2 * 8 * large.num_users * large.num_experts  # and the same on the way there
    most = 9 * large.num_rows + ranks + 2**16 * 8 * large.top_k * 8
    assert peak_bytes(lambda: check(large, placement)) < most


def test_variants_share_what_they_have_in_common(large):
    changed = []
    taken = peak_bytes(lambda: changed.append(replace(large, capacity_bytes=np.zeros(8, np.int64))))
    assert taken < CONSTANT
    assert changed[0].demand_experts is large.demand_experts
