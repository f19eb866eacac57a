"""The tiny instance that tests derive their variants from, and how hypothesis runs."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from instances.placement import Placement
from instances.problem import Instance, Model

settings.register_profile(
    "moeplace",
    deadline=None,  # a first call compiles kernels, and machines differ
    suppress_health_check=[HealthCheck.too_slow],  # the same: a limit on wall-clock time
    print_blob=True,
)
settings.load_profile("moeplace")


@pytest.fixture(scope="session")
def tiny() -> Instance:
    """One model (2 layers, 3 experts of 10 bytes, K = 2), two servers, two users.

    Row by row, latency without any placement in ms:

    | row | user | layer | experts | rate | empty | rate * empty |
    |---|---|---|---|---|---|---|
    | 0 | ann | 0 | 0, 1 | 0.5 | 10 | 5 |
    | 1 | ann | 0 | 2 | 0.25 | 10 | 2.5 |
    | 2 | ann | 1 | 2, 1 | 1 | 10 | 10 |
    | 3 | bob | 0 | 1, 2 (local) | 0.5 | 8 | 4 |
    | 4 | bob | 0 | 2 (local) | 0.125 | 0.5 | 0.0625 |
    | 5 | bob | 1 | 0 | 0.25 | 8 | 2 |

    T(empty) = 23.5625. Server ``far`` is slower than the cloud for bob.
    """
    return Instance(
        name="tiny-by-hand",
        models=(Model.uniform("toy", layers=2, experts=3, top_k=2, expert_bytes=10),),
        server_names=("near", "far"),
        capacity_bytes=np.array([20, 30]),
        user_names=("ann", "bob"),
        user_model=np.array([0, 0]),
        latency_ms=np.array([[1.0, 4.0], [6.0, 9.0]]),
        cloud_latency_ms=np.array([10.0, 8.0]),
        local_latency_ms=np.array([0.0, 0.5]),
        local_offsets=np.array([0, 0, 1]),
        local_experts=np.array([2]),
        demand_user=np.array([0, 0, 0, 1, 1, 1]),
        demand_layer=np.array([0, 0, 1, 0, 0, 1]),
        demand_offsets=np.array([0, 2, 3, 5, 7, 8, 9]),
        demand_experts=np.array([0, 1, 2, 2, 1, 1, 2, 2, 0]),
        demand_rate=np.array([0.5, 0.25, 1.0, 0.5, 0.125, 0.25]),
    )


@pytest.fixture(scope="session")
def tiny_placement(tiny: Instance) -> Placement:
    """``near`` stores (0, 0) and (1, 1); ``far`` stores (0, 1), (1, 0) and (1, 2).

    Row 0 waits max(1, 4) = 4, row 2 waits max(4, 1) = 4; row 1 stays with the cloud. Bob gains
    nothing: ``far`` is slower than the cloud for him. F = 0.5 * 6 + 1 * 6 = 9, T = 14.5625.
    """
    return Placement.of(tiny, [(0, 0), (0, 4), (1, 1), (1, 3), (1, 5)])
