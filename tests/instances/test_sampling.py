import numpy as np
import pytest

from instances.draws import Draws
from instances.families.sampling import draw_small_instance
from instances.structure.exhaustive import why_not_exhaustive


def test_every_draw_can_be_solved_at_once() -> None:
    for seed in range(200):
        instance = draw_small_instance(Draws("sampling", seed), "x", ties=seed % 2 == 0)
        assert why_not_exhaustive(instance, max_placements=50_000) is None
        assert 1 <= instance.num_servers <= 3
        assert 1 <= instance.top_k <= 3
        assert (instance.capacity_bytes >= instance.expert_bytes.min()).all()


@pytest.mark.parametrize("seed", range(30))
def test_without_ties_nothing_is_alike(seed: int) -> None:
    instance = draw_small_instance(Draws("sampling", seed), "x")
    assert np.unique(instance.latency_ms).size == instance.latency_ms.size
    for user, cloud in enumerate(instance.cloud_latency_ms):
        assert cloud not in instance.latency_ms[user]


def test_kinds_can_be_asked_for() -> None:
    for seed in range(20):
        instance = draw_small_instance(
            Draws("sampling", seed), "x", servers=4, top_k=1, equal_sizes=True
        )
        assert instance.num_servers == 4
        assert instance.top_k == 1
        assert np.unique(instance.expert_bytes).size == 1


def test_the_same_stream_gives_the_same_instance() -> None:
    first, again, other = (draw_small_instance(Draws("s", seed), "x") for seed in (0, 0, 1))
    assert first.checksum() == again.checksum() != other.checksum()
    assert {draw_small_instance(Draws("s", seed), "x").num_servers for seed in range(20)} == {
        *(1, 2, 3)
    }
