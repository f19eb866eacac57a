import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["contests", "means", "profiles"])
def test_examples_in_docstrings_are_true(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"bench.statistics.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
