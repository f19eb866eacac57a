"""Queueing: how long calls keep a server busy, and when tokens come."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.problem import Instance

LAWS = ("fixed", "exponential")
"""Laws of service times, by the numbers that the event loop knows them by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queueing:
    """Servers that work on one call at a time, in the order in which calls reach them.

    Of the latency t[u, n] of an instance the service is one part, at the server; the rest is
    travel, half of it before and half behind. A call that need not wait takes t[u, n]. The cloud
    and the device never let anyone wait.

    Parameters
    ----------
    service_ms
        Mean service time of a call at each server, ms; one for all servers, or one each.
    service_share
        Instead: the service is this share of the latency, in 0..1.
    law
        ``fixed`` or ``exponential``.
    arrivals_per_s
        Tokens that arrive in a second, a Poisson process over all users. None: every user decodes
        one token after another, without a pause.

    Raises
    ------
    InputError
        When a number is out of range, or not exactly one of the two kinds of service is given.
    """

    service_ms: tuple[float, ...] | None = None
    service_share: float | None = None
    law: str = "fixed"
    arrivals_per_s: float | None = None

    def __post_init__(self) -> None:
        if (self.service_ms is None) == (self.service_share is None):
            raise InputError("service", "give times in ms or a share of the latency, one of them")
        for n, value in enumerate(self.service_ms or ()):
            if not 0 <= value < np.inf:
                raise InputError(f"service[{n}]", f"{value} is not a finite number >= 0")
        if self.service_share is not None and not 0 <= self.service_share <= 1:
            raise InputError("service", f"{self.service_share} is not a share in 0..1")
        if self.law not in LAWS:
            raise InputError("law", f"{self.law!r} is not one of {', '.join(LAWS)}")
        if self.arrivals_per_s is not None and not 0 < self.arrivals_per_s < np.inf:
            raise InputError("arrivals", f"{self.arrivals_per_s} is not a positive rate")

    def mean_ms(self, instance: Instance) -> NDArray[np.float64]:
        """Return the mean service time of each user's calls at each server; float64 (U, N).

        Raises
        ------
        InputError
            When a service takes longer than the latency that it is part of.
        """
        latency = instance.latency_ms
        if self.service_share is not None:
            return self.service_share * latency
        times = np.asarray(self.service_ms, dtype=np.float64)
        if times.size not in (1, instance.num_servers):
            raise InputError(
                "service", f"{times.size} values where 1 or {instance.num_servers} are needed"
            )
        mean = np.ascontiguousarray(np.broadcast_to(times, latency.shape))
        used = latency < instance.cloud_latency_ms[:, None]  # others are never called
        for u, n in np.argwhere(used & (mean > latency))[:1]:
            raise InputError(
                f"service[{n if times.size > 1 else 0}]",
                f"{mean[u, n]} ms is more than the whole latency of user "
                f"{instance.user_names[u]!r} at server {instance.server_names[n]!r}, "
                f"{latency[u, n]} ms",
            )
        return mean
