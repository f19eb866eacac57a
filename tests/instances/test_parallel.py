import threading

import pytest

from instances.errors import InputError
from instances.parallel import mapped, require_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads):
    assert mapped(lambda x: x * x, range(100), threads) == [x * x for x in range(100)]
    assert mapped(str, [], threads) == []


def test_threads_work_side_by_side():
    meeting = threading.Barrier(3, timeout=60)
    assert sorted(mapped(lambda _: meeting.wait(), range(3), 3)) == [0, 1, 2]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_exception_comes_through_and_ends_the_work(threads):
    begun = []

    def fail(x):
        begun.append(x)
        raise InputError("x", f"{x} is bad")

    with pytest.raises(InputError, match=r"^x: 0 is bad$"):
        mapped(fail, range(10_000), threads)
    assert len(begun) < 10_000


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2", None])
def test_what_is_no_number_of_threads(threads):
    with pytest.raises(InputError, match=r"^threads: .* is not a whole number >= 1$"):
        require_threads(threads)
