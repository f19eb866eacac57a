"""What was measured on held-out traffic: plans, caches, measurements, studies."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One method. Times are T in ms per token, NaN where it gave no placement.

    Parameters
    ----------
    method
        Its name.
    promised_ms
        T of its plan on the part that it was made with.
    measured_ms
        T of the same plan on the held-out part.
    hindsight_ms
        T on the held-out part of the plan that the method makes with that part.
    load_factor
        Mean time of the held-out tokens under load over that of the same tokens alone: every user
        decodes one token after another, servers work on one call at a time, and a share of each
        latency is service.
    reason
        Why there is no plan; else empty.
    """

    method: str
    promised_ms: float
    measured_ms: float
    hindsight_ms: float
    load_factor: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A policy by which servers follow the traffic, warm from the first part.

    Parameters
    ----------
    policy
        Its name.
    measured_ms
        Mean time of the tokens of the held-out part.
    fetched_bytes
        Bytes that servers fetched for each of these tokens.
    """

    policy: str
    measured_ms: float
    fetched_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One way of holding out traffic.

    Parameters
    ----------
    split
        Its name, see :data:`instances.simulation.held_out.SPLITS`.
    cloud_ms
        T on the held-out part when servers hold nothing.
    best_ms
        Least T on the held-out part of all plans, hindsight included.
    bound_ms
        No placement has a smaller T there: certified, NaN when unknown.
    plans, caches
        What was measured.
    """

    split: str
    cloud_ms: float
    best_ms: float
    bound_ms: float
    plans: tuple[Plan, ...]
    caches: tuple[Cache, ...]

    def share(self, measured_ms: float) -> float:
        """Return what is saved as a share of the most that any plan here saves."""
        most = self.cloud_ms - self.best_ms
        return (self.cloud_ms - measured_ms) / most if most > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All measurements on one traffic.

    Parameters
    ----------
    traffic
        What it is, in words.
    synthetic
        It was drawn from a model of routing, not recorded.
    instance
        Name of the instance whose network and models were used.
    users, servers, layers, experts, top_k
        Its sizes; experts of the largest layer.
    requests, tokens
        Length of the trace.
    seed, time_limit_s
        For methods; seconds for each on each part.
    load_share
        Share of each latency that keeps a server busy in ``load_factor``.
    measurements
        One for each split.
    """

    traffic: str
    synthetic: bool
    instance: str
    users: int
    servers: int
    layers: int
    experts: int
    top_k: int
    requests: int
    tokens: int
    seed: int
    time_limit_s: float
    load_share: float
    measurements: tuple[Measurement, ...]
