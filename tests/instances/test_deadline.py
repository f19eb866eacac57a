import math

from instances.deadline import Deadline, counting_looks


def test_without_a_limit_time_is_never_up() -> None:
    deadline = Deadline.after(None)
    assert not deadline.passed
    assert deadline.remaining == math.inf


def test_no_time_is_up_at_once() -> None:
    deadline = Deadline.after(0.0)
    assert deadline.passed
    assert deadline.remaining == 0.0


def test_looks_can_take_the_place_of_seconds() -> None:
    with counting_looks():
        deadline = Deadline.after(3.0)
        assert [deadline.passed for _ in range(4)] == [False, False, True, True]
        assert Deadline.after(5.0).remaining == 4.0
        assert not Deadline.after(None).passed
    # the clock of the machine is back
    assert not Deadline.after(3600.0).passed
    assert 3500.0 < Deadline.after(3600.0).remaining <= 3600.0
