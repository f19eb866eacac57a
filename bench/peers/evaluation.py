"""The evaluator against one NumPy pass over the same bytes, and against NumPy that evaluates."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.peers.race import Row, race, require_same, titled
from bench.peers.shapes import filled
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance

NAME = "evaluation"
SUMMARY = "evaluating a placement: a NumPy sum over the demand arrays, and NumPy that evaluates"

SCALE = {"toy": ("tiny",), "full": ("million",)}
"""Sizes of the family ``scale``."""

ROUNDS = {"toy": 2, "full": 9}
CHUNK_ROWS = 1 << 17
"""Rows that NumPy evaluates at once: what is in between stays in the cache, near enough."""

DEMAND = ("demand_user", "demand_layer", "demand_offsets", "demand_experts", "demand_rate")


def compare(size: str, *, scale: Sequence[str] = ()) -> Iterator[Row]:
    """Measure, on these sizes of the family ``scale`` instead of the usual ones where given."""
    for rows in scale or SCALE[size]:
        yield from compare_on(generate("scale", size=rows, seed=0), ROUNDS[size])


def compare_on(instance: Instance, rounds: int) -> Iterator[Row]:
    """Compare on one instance."""
    placement = filled(instance)
    megabytes = sum(getattr(instance, name).nbytes for name in DEMAND) / 1e6
    case = f"{instance.num_rows:,} rows, {megabytes:,.3g} MB"

    def ours() -> float:
        return evaluate(instance, placement).latency_ms

    by_numpy = race(ours, lambda: evaluate_by_numpy(instance, placement), rounds=rounds)
    checked = require_same("latency", by_numpy.ours, by_numpy.peer)
    one_pass = race(ours, lambda: sum_demand(instance), rounds=rounds)
    require_same("sum of rates", float(np.sum(instance.demand_rate)), one_pass.peer[-1])
    yield Row(
        comparison=NAME,
        case=case,
        ours="evaluate",
        peer=f"{titled('numpy', 'NumPy')}: sum of every demand array",
        checked=f"{checked} as below",
        ours_s=one_pass.ours_s,
        peer_s=one_pass.peer_s,
        detail={"rows": instance.num_rows, "megabytes": megabytes},
    )
    yield Row(
        comparison=NAME,
        case=case,
        ours="evaluate",
        peer=f"{titled('numpy', 'NumPy')}: gather, maximum.reduceat",
        checked=checked,
        ours_s=by_numpy.ours_s,
        peer_s=by_numpy.peer_s,
        detail={"rows": instance.num_rows, "latency_ms": by_numpy.ours},
    )


def sum_demand(instance: Instance) -> list[float]:
    """Read every demand array once."""
    return [float(getattr(instance, name).sum()) for name in DEMAND]


def evaluate_by_numpy(instance: Instance, placement: Placement) -> float:
    """Return the latency, ms per token, as one would write it with NumPy."""
    wait = np.repeat(instance.cloud_latency_ms[:, None], instance.num_experts, axis=1)
    for server in range(instance.num_servers):
        latency = np.where(placement.stored[server], instance.latency_ms[:, server, None], np.inf)
        np.minimum(wait, latency, out=wait)
    for user in range(instance.num_users):
        wait[user, instance.user_local_experts(user)] = instance.local_latency_ms[user]
    total = 0.0
    for begin in range(0, instance.num_rows, CHUNK_ROWS):
        total += _latency_of(instance, wait, begin, min(begin + CHUNK_ROWS, instance.num_rows))
    return total


def _latency_of(instance: Instance, wait: NDArray[np.float64], begin: int, end: int) -> float:
    user = instance.demand_user[begin:end]
    offsets = instance.demand_offsets[begin : end + 1].astype(np.int64)
    layer = (
        instance.model_layer_offset[instance.user_model[user]] + instance.demand_layer[begin:end]
    )
    first = user.astype(np.int64) * instance.num_experts + instance.layer_expert_offset[layer]
    experts = np.repeat(first, np.diff(offsets))
    experts += instance.demand_experts[offsets[0] : offsets[-1]]
    row_wait = np.maximum.reduceat(wait.ravel()[experts], offsets[:-1] - offsets[0])
    return float(instance.demand_rate[begin:end] @ row_wait)
