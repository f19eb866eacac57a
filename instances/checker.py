"""The exact checker: the value of a placement in rational arithmetic, straight from the definition.

Independent evidence about the evaluator and every solver: it shares no code with them, and uses
nothing of an instance but the fields that the file gives.

Why nothing is rounded, although NumPy does the work:

1. A row waits for the slowest of its experts, an expert comes from the fastest place that has it.
   Times are only compared, so each is replaced by its rank among all times of the instance: the
   largest rank belongs to the largest time.
2. A rate r > 0 is M * 2^(e - 53) with whole M < 2^53 and -1073 <= e <= 1024 (``frexp``), so
   M = 2^27 H + L with whole H < 2^26 and L < 2^27. H and L are added up in float64, separately for
   each rank and each e, for at most 2^16 rows at a time: every partial sum is a whole number below
   2^43, and float64 holds whole numbers up to 2^53 exactly.
3. From there on, Python's integers, which have no limit: the sum of the rates of a rank in units of
   2^-1126, since e - 53 >= -1126; times the time, a multiple of 2^-1074 as every double.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from instances.placement import Placement
from instances.problem import Instance

_ROWS_AT_A_TIME = 2**16  # not more: see 2 above
_RANKS_AT_A_TIME = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactValues:
    """What a placement is worth, without any rounding.

    Parameters
    ----------
    latency_ms
        T(X), mean latency per token over the demand, ms.
    saving_ms
        F(X) = T(empty) - T(X), ms per token.
    used_bytes
        Bytes stored on each server.
    overfull
        Indices of the servers that store more than their capacity; empty for a feasible placement.
    """

    latency_ms: Fraction
    saving_ms: Fraction
    used_bytes: tuple[int, ...]
    overfull: tuple[int, ...]

    @property
    def feasible(self) -> bool:
        """No server stores more than its capacity."""
        return not self.overfull


def check(instance: Instance, placement: Placement) -> ExactValues:
    """Evaluate a placement exactly.

    Raises
    ------
    InputError
        When the placement does not have the shape of the instance.
    """
    placement.check_shape(instance)
    times = np.unique(
        np.concatenate(
            [instance.latency_ms.ravel(), instance.cloud_latency_ms, instance.local_latency_ms]
        )
    )
    empty_rates, rates = _Rates(times), _Rates(times)
    # experts that the same servers hold come from the same place
    holders, kind = np.unique(placement.stored, axis=1, return_inverse=True)
    for users, rows in _parts(instance):
        ranks = _Ranks(instance, users, times, holders, kind.ravel())
        for part in rows:
            rate = instance.demand_rate[part]
            empty_rank, rank = ranks.of_rows(part)
            empty_rates.add(empty_rank, rate)
            rates.add(rank, rate)
    empty_latency, latency = empty_rates.latency(), rates.latency()
    sizes = [size for model in instance.models for size in model.expert_bytes.ravel().tolist()]
    used = tuple(sum(sizes[x] for x in row.nonzero()[0].tolist()) for row in placement.stored)
    capacities = instance.capacity_bytes.tolist()
    return ExactValues(
        latency_ms=latency,
        saving_ms=empty_latency - latency,
        used_bytes=used,
        overfull=tuple(n for n, capacity in enumerate(capacities) if used[n] > capacity),
    )


def _parts(instance: Instance) -> Iterator[tuple[slice, list[NDArray[np.int64]]]]:
    """Yield users, so many that ranks of all their experts take little memory, and their rows."""
    user = instance.demand_user
    order = np.arange(user.size)
    if (user[1:] < user[:-1]).any():
        order = np.argsort(user, kind="stable")
    num_experts = sum(model.layers * model.experts for model in instance.models)
    together = max(1, _RANKS_AT_A_TIME // num_experts)
    num_users = instance.user_model.size
    for first in range(0, num_users, together):
        users = slice(first, min(first + together, num_users))
        begin, end = np.searchsorted(user, [users.start, users.stop], sorter=order)
        yield (
            users,
            [
                order[at : min(at + _ROWS_AT_A_TIME, end)]
                for at in range(begin, end, _ROWS_AT_A_TIME)
            ],
        )


class _Ranks:
    """Ranks of the times for which some users wait for each expert.

    Parameters
    ----------
    instance, users
        The problem, and a range of users.
    times
        All times, ascending; ms.
    holders, kind
        Different sets of servers, bool (N, any), and which of them holds each expert; int64 (X,).
    """

    def __init__(
        self,
        instance: Instance,
        users: slice,
        times: NDArray[np.float64],
        holders: NDArray[np.bool_],
        kind: NDArray[np.int64],
    ) -> None:
        self._instance = instance
        self._first_user = users.start
        models = instance.models
        self._model_experts = np.array([model.experts for model in models])
        starts = accumulate((m.layers * m.experts for m in models), initial=0)
        self._model_start = np.array(list(starts)[:-1])
        cloud = instance.cloud_latency_ms[users]
        cloud_rank = np.searchsorted(times, cloud)
        nearest = np.empty((cloud.size, holders.shape[1]), dtype=np.int64)
        for k, held in enumerate(holders.T):
            fastest = instance.latency_ms[users][:, held].min(axis=1, initial=np.inf)
            nearest[:, k] = np.searchsorted(times, np.minimum(fastest, cloud))
        self._rank = nearest[:, kind]
        self._empty_rank = np.broadcast_to(cloud_rank[:, None], self._rank.shape)
        self._someone_has_own = bool(
            instance.local_offsets[users.start] < instance.local_offsets[users.stop]
        )
        if self._someone_has_own:
            self._empty_rank = self._empty_rank.copy()
            for row, user in enumerate(range(users.start, users.stop)):
                begin, end = instance.local_offsets[user : user + 2]
                own = self._model_start[instance.user_model[user]]
                own = own + instance.local_experts[begin:end]
                on_device = np.searchsorted(times, instance.local_latency_ms[user])
                self._rank[row, own] = self._empty_rank[row, own] = on_device

    def of_rows(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ranks of the times that rows wait: nothing stored, and with the placement."""
        instance = self._instance
        begin = instance.demand_offsets[rows]
        lengths = instance.demand_offsets[rows + 1] - begin
        first = np.cumsum(lengths) - lengths  # of each row, in what follows
        member = instance.demand_experts[
            np.repeat(begin - first, lengths) + np.arange(lengths.sum())
        ]
        user = instance.demand_user[rows].astype(np.int64)
        row = user - self._first_user
        model = instance.user_model[user]
        start = self._model_start[model] + instance.demand_layer[rows] * self._model_experts[model]
        place = np.repeat(row * self._rank.shape[1] + start, lengths) + member
        rank = np.maximum.reduceat(self._rank.ravel()[place], first)
        if not self._someone_has_own:
            return self._empty_rank[row, 0], rank
        return np.maximum.reduceat(self._empty_rank.ravel()[place], first), rank


class _Rates:
    """Sums of the rates of rows that wait equally long, exact.

    Parameters
    ----------
    times
        The time of each rank, ms.
    """

    def __init__(self, times: NDArray[np.float64]) -> None:
        self._times = times
        self._sums: dict[int, int] = {}  # of each rank, in units of 2^-1126

    def add(self, rank: NDArray[np.int64], rate: NDArray[np.float64]) -> None:
        """Add the rates of rows, at most 2^16, to those of their ranks."""
        fraction, exponent = np.frexp(rate)
        whole = (fraction * 2.0**53).astype(np.int64)
        # exponents are shifted to 0..2097: rank and exponent share a number
        keys, group = np.unique(rank * 4096 + (exponent + 1073), return_inverse=True)
        high = np.bincount(group, weights=(whole >> 27).astype(np.float64))
        low = np.bincount(group, weights=(whole & (2**27 - 1)).astype(np.float64))
        for key, upper, lower in zip(keys.tolist(), high.tolist(), low.tolist(), strict=True):
            total = (int(upper) << 27) + int(lower)
            index, shift = divmod(key, 4096)
            self._sums[index] = self._sums.get(index, 0) + (total << shift)

    def latency(self) -> Fraction:
        """Return the sum of rate times time over all rows, ms."""
        total = 0  # in units of 2^-1126 * 2^-1074
        for rank, rates in self._sums.items():
            numerator, denominator = float(self._times[rank]).as_integer_ratio()
            total += rates * numerator * (2**1074 // denominator)
        return Fraction(total, 2 ** (1126 + 1074))
