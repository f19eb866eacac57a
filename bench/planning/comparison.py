"""How long tokens wait with the plan, and with what else could be done."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alternative:
    """One way to place the experts.

    Parameters
    ----------
    name, about
        What it is called, and what it is.
    latency_ms
        Mean latency of a token, ms.
    user_latency_ms
        The same for the tokens of each user, NaN for users without any; float64 (U,).
    """

    name: str
    about: str
    latency_ms: float
    user_latency_ms: NDArray[np.float64]


def token_shares(instance: Instance) -> NDArray[np.float64]:
    """Share of all tokens that are each user's; float64 (U,).

    The rates of a layer count the tokens that use it; a token that skips layers is counted by the
    layer that most tokens of its user use.
    """
    model = instance.user_model[instance.demand_user]
    layer = instance.model_layer_offset[model] + instance.demand_layer
    key = instance.demand_user.astype(np.int64) * instance.num_layers + layer
    rates = np.bincount(
        key, weights=instance.demand_rate, minlength=instance.num_users * instance.num_layers
    )
    return np.asarray(rates.reshape(instance.num_users, instance.num_layers).max(axis=1))


def alternative(
    instance: Instance, placement: Placement, shares: NDArray[np.float64], name: str, about: str
) -> Alternative:
    """Evaluate one way to place the experts, whether it fits into the storage or not."""
    evaluation = evaluate(instance, placement)
    # NumPy would warn of users without tokens
    each = np.full(instance.num_users, np.nan)
    np.divide(evaluation.user_latency_ms, shares, out=each, where=shares > 0.0)
    return Alternative(
        name=name, about=about, latency_ms=evaluation.latency_ms, user_latency_ms=each
    )


def everywhere(instance: Instance) -> Placement:
    """Every expert on every server: what no placement can beat, whatever the storage."""
    return Placement(np.ones((instance.num_servers, instance.num_experts), dtype=np.bool_))
