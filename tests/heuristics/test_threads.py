"""Threads change no answer: layers are independent, and come together in their order."""

import numpy as np
import pytest

from heuristics import HEURISTICS
from instances.errors import InputError
from instances.families import generate
from instances.registry import run

THREADED = ("successive-hull-pass", "successive-hull", "layer-generation")


def solve(name, instance, threads):
    method = HEURISTICS.get(name)
    return run(method, instance, rng=np.random.default_rng(0), threads=threads)


@pytest.mark.parametrize("name", THREADED)
@pytest.mark.parametrize(("family", "size"), [("gpt-oss", "small"), ("mixtral", "small")])
def test_same_answer(name, family, size):
    instance = generate(family, size=size, seed=1)
    one, several = solve(name, instance, 1), solve(name, instance, 3)
    assert np.array_equal(one.placement.stored, several.placement.stored)
    assert one.bound_saving_ms == several.bound_saving_ms
    assert one.reason == several.reason


@pytest.mark.parametrize("name", THREADED)
def test_no_threads_are_refused(name):
    with pytest.raises(InputError, match=r"^threads: 0 is not a whole number >= 1$"):
        solve(name, generate("tiny", size="tiny", seed=0), 0)
