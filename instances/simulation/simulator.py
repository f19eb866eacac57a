"""The simulator: tokens walk through all layers under a placement."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.simulation.intervals import Interval, batched, clustered, independent
from instances.simulation.kernels import World, walk
from instances.simulation.queue_kernels import Service, Traffic, run
from instances.simulation.queueing import LAWS, Queueing
from instances.simulation.tokens import Tokens

WARM_UP = 0.1
"""Share of the tokens that only fill the queues and are left out of all results."""

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """What tokens met. Times are in ms per token, in the unit of T(X).

    Parameters
    ----------
    tokens
        Tokens that count.
    mean
        Mean time, with its 99 % confidence interval.
    static_ms
        T(X) of the instance: what its demand, without queueing and jitter, comes to exactly.
    alone_ms
        Mean time of the very same tokens without queueing and jitter.
    percentiles_ms
        50th, 95th and 99th percentile over tokens.
    user_ms, user_tokens
        Mean time and tokens of each user; NaN for a user without tokens; (U,).
    fairness
        Jain's index of the users' mean times: 1 when all wait alike, 1 / users when only one
        waits.
    layer_ms
        Mean time of each layer over all tokens; they add up to the mean; float64 (G,).
    calls
        Expert calls that each server, the cloud and the devices answered; int64 (N + 2,).
    load
        With queueing: service that counted tokens need of each server, as a share of the time in
        which they came; from 1 on the queue grows without end; float64 (N,).
    queue_ms
        With queueing: mean time that a call waits at each server before its service, NaN where
        there was none; float64 (N,).
    """

    tokens: int
    mean: Interval
    static_ms: float
    alone_ms: float
    percentiles_ms: tuple[float, ...]
    user_ms: NDArray[np.float64]
    user_tokens: NDArray[np.int64]
    fairness: float
    layer_ms: NDArray[np.float64]
    calls: NDArray[np.int64]
    load: NDArray[np.float64] | None = None
    queue_ms: NDArray[np.float64] | None = None

    @property
    def worst_user(self) -> int | None:
        """Index of the user who waits longest; None when nobody decoded a token."""
        return None if np.isnan(self.user_ms).all() else int(np.nanargmax(self.user_ms))

    @property
    def call_shares(self) -> NDArray[np.float64]:
        """Share of the calls that each place answered; 0 where there was no call at all."""
        return self.calls / max(int(self.calls.sum()), 1)


class Walked(NamedTuple):
    """Tokens that count: user, time and time alone of each; sums by layer, calls by place."""

    user: NDArray[np.int64]
    times: NDArray[np.float64]
    calm: NDArray[np.float64]
    mean: Interval
    layer_ms: NDArray[np.float64]
    calls: NDArray[np.int64]


def simulate(
    instance: Instance,
    placement: Placement,
    tokens: Tokens,
    *,
    seed: int = 0,
    jitter: float = 0.0,
    queueing: Queueing | None = None,
) -> Simulation:
    """Let tokens walk through all layers of their model.

    In each layer the calls of a token's experts go out together, each to the fastest place that
    has the expert, and the next layer begins when the slowest has come back. Without queueing and
    jitter the expectation of a token drawn from the demand is T(X), and the mean over a trace is
    T(X) of the instance made of that trace.

    Parameters
    ----------
    instance, placement
        The network, and what its servers hold.
    tokens
        Drawn or replayed, see :mod:`instances.simulation.tokens`.
    seed
        For jitter, service times and arrivals.
    jitter
        Coefficient of variation of the time of a call, lognormal with the latency as its mean; of
        its travel with queueing. At least 0.
    queueing
        None: servers answer any number of calls at once.

    Raises
    ------
    InputError
        When an argument does not fit the others.
    """
    placement.check_shape(instance)
    if not 0 <= jitter < math.inf:
        raise InputError("jitter", f"{jitter} is not a finite number >= 0")
    world = make_world(instance, placement)
    seeds = np.random.SeedSequence(seed).generate_state(2, np.uint64) >> np.uint64(1)
    service_seed, travel_seed = (int(word) for word in seeds)
    sigma = math.sqrt(math.log1p(jitter * jitter))
    if queueing is None:
        times, layer_ms, calls = walk(world, tokens.user, tokens.experts, sigma, travel_seed)
        calm = walk(world, tokens.user, tokens.experts, 0.0, travel_seed)[0] if sigma else times
        drawn = bool(np.unique(tokens.request).size == len(tokens))
        mean = independent(times) if drawn else clustered(times, tokens.request)
        return _summarise(
            instance,
            placement,
            tokens,
            Walked(tokens.user, times, calm, mean, layer_ms, calls),
        )
    service = Service(
        mean_ms=queueing.mean_ms(instance),
        law=LAWS.index(queueing.law),
        sigma=sigma,
        service_seed=service_seed,
        travel_seed=travel_seed,
    )
    seen = run(world, service, _traffic(instance, tokens, queueing, seed))
    uncounted = _uncounted(tokens)
    times, token = seen.time_ms[uncounted:], seen.token[uncounted:]
    calm = walk(world, tokens.user, tokens.experts, 0.0, travel_seed)[0][token]
    with np.errstate(invalid="ignore", divide="ignore"):  # no call, or no time: NaN
        load = seen.busy_ms / seen.window_ms
        queue_ms = seen.wait_ms / seen.calls[: instance.num_servers]
    return _summarise(
        instance,
        placement,
        tokens,
        Walked(tokens.user[token], times, calm, batched(times), seen.layer_ms, seen.calls),
        load=load,
        queue_ms=queue_ms * tokens.rate,
    )


def make_world(instance: Instance, placement: Placement) -> World:
    """Return an instance and a placement in the form of the kernels."""
    experts, servers = np.nonzero(placement.stored.T)
    shape = np.array([(m.experts, m.layers) for m in instance.models], dtype=np.int64)
    return World(
        latency_ms=instance.latency_ms,
        cloud_ms=instance.cloud_latency_ms,
        local_ms=instance.local_latency_ms,
        local_offsets=instance.local_offsets,
        local_experts=instance.local_experts,
        user_experts=np.ascontiguousarray(shape[instance.user_model, 0]),
        user_layers=np.ascontiguousarray(shape[instance.user_model, 1]),
        user_first_expert=instance.model_expert_offset[instance.user_model],
        user_first_layer=instance.model_layer_offset[instance.user_model],
        copies=np.searchsorted(experts, np.arange(instance.num_experts + 1)).astype(np.int64),
        holders=servers.astype(np.int64),
        num_layers=instance.num_layers,
    )


def _uncounted(tokens: Tokens) -> int:
    return int(WARM_UP * len(tokens))


def _traffic(instance: Instance, tokens: Tokens, queueing: Queueing, seed: int) -> Traffic:
    arrival_ms = np.empty(0)
    if queueing.arrivals_per_s is not None:
        rng = np.random.default_rng([seed, 1])
        arrival_ms = np.cumsum(rng.exponential(1e3 / queueing.arrivals_per_s, len(tokens)))
    turns = np.argsort(tokens.user, kind="stable").astype(np.int64)
    users = np.arange(instance.num_users + 1)
    return Traffic(
        user=tokens.user,
        experts=tokens.experts,
        arrival_ms=arrival_ms,
        turn_offsets=np.searchsorted(tokens.user[turns], users).astype(np.int64),
        turns=turns,
        total=len(tokens),
        uncounted=_uncounted(tokens),
    )


def _summarise(
    instance: Instance,
    placement: Placement,
    tokens: Tokens,
    walked: Walked,
    *,
    load: NDArray[np.float64] | None = None,
    queue_ms: NDArray[np.float64] | None = None,
) -> Simulation:
    num_users = instance.num_users
    user, times = walked.user, walked.times
    user_tokens = np.bincount(user, minlength=num_users)
    sums = np.bincount(user, weights=times, minlength=num_users)
    with np.errstate(invalid="ignore"):  # a user without tokens: NaN
        user_ms = sums / user_tokens * tokens.rate
    percentiles = np.percentile(times, PERCENTILES, method="inverted_cdf") * tokens.rate
    return Simulation(
        tokens=int(times.size),
        mean=walked.mean.scaled(tokens.rate),
        static_ms=evaluate(instance, placement).latency_ms,
        alone_ms=math.fsum(walked.calm) / times.size * tokens.rate,
        percentiles_ms=tuple(float(value) for value in percentiles),
        user_ms=user_ms,
        user_tokens=user_tokens.astype(np.int64),
        fairness=jain_index(user_ms[user_tokens > 0]),
        layer_ms=walked.layer_ms / times.size * tokens.rate,
        calls=walked.calls,
        load=load,
        queue_ms=queue_ms,
    )


def jain_index(values: NDArray[np.float64]) -> float:
    """Return (sum of x)^2 / (n times the sum of x^2), 1 for equal values, also when all are 0.

    Examples
    --------
    >>> jain_index(np.array([3.0, 3.0])), jain_index(np.array([1.0, 0.0, 0.0, 0.0]))
    (1.0, 0.25)
    """
    largest = float(np.max(values, initial=0.0))
    if largest == 0.0:
        return 1.0
    shares = values / largest  # squares neither overflow nor vanish
    return float(shares.sum() ** 2 / (shares.size * np.square(shares).sum()))
