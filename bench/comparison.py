"""What became better or worse between two sets of attempts, and whether that is more than chance.

Attempts with the same key are paired. Every pair gives a change, positive when the new attempt is
better, in four quantities:

- ``saving``: (new - old) / larger; no placement counts as a saving of 0;
- ``bound``: (old - new) / larger of the upper bounds; no bound counts as the latency without any
  placement, which no saving exceeds;
- ``ending``: 1 when only the new attempt ended well, -1 when only the old one did, else 0;
- ``time``: ln(old seconds / new seconds) where both found a placement, seconds from 1 ms up.

The change of a method is the mean over instances of the mean over seeds. Its interval comes from a
bootstrap that draws instances, and seeds within each, 20,000 times from a fixed stream; the level
is divided by the number of intervals, so that the chance of any false alarm is 5 % however many
methods there are. Fewer than six pairs are never significant: six equal signs are the fewest that
chance gives in less than 5 % of cases. A time is only called worse when it is by more than a
tolerance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.kinds import SETTLED
from instances.errors import InputError

KEY = ["checksum", "algorithm", "parameters", "seed", "time_limit", "start"]

QUANTITIES = ("saving", "bound", "ending", "time")

ERROR_RATE = 0.05
"""Chance of any false alarm in one comparison, at most."""

DRAWS = 20_000

FEWEST_PAIRS = 6

NOISE = 1e-9
"""Relative changes below this are rounding."""

TIME_FLOOR_S = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one quantity of one method has changed.

    Parameters
    ----------
    method, quantity
        Algorithm (with its parameters, start and limit where there are several), one of
        :data:`QUANTITIES`.
    pairs, better, worse
        Pairs of attempts, and those in which the new one is better or worse.
    mean, low, high
        Mean change, and the ends of its interval.
    verdict
        ``better`` or ``worse`` when that is significant, else ``same`` (no pair differs) or
        ``unclear``.
    """

    method: str
    quantity: str
    pairs: int
    better: int
    worse: int
    mean: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sets of attempts, compared.

    Parameters
    ----------
    changes
        By method and quantity.
    pairs
        Attempts that both sets have.
    only_old, only_new
        Attempts without a partner.
    same_machine
        All attempts ran on one kind of processor; else times are shown, but not judged.
    """

    changes: tuple[Change, ...]
    pairs: int
    only_old: int
    only_new: int
    same_machine: bool

    @property
    def worse(self) -> tuple[Change, ...]:
        """What became significantly worse."""
        return tuple(change for change in self.changes if change.verdict == "worse")


def compare(
    old: pd.DataFrame, new: pd.DataFrame, *, time_tolerance: float, same_machine: bool
) -> Comparison:
    """Compare two tables of results, each with at most one attempt of a key.

    Parameters
    ----------
    old, new
        As :meth:`bench.store.Store.results` returns them.
    time_tolerance
        Slowdown that is accepted: 0.1 for 10 %.
    same_machine
        Whether times can be judged.

    Raises
    ------
    InputError
        When no attempt has a partner.
    """
    pairs = pair(old, new)
    if pairs.empty:
        raise InputError("compare", "no attempt of the first has a partner in the second")
    values = {quantity: _changes(pairs, quantity) for quantity in QUANTITIES}
    methods = _methods(pairs)
    known = {
        (method, quantity): rows
        for method in sorted(set(methods))
        for quantity in QUANTITIES
        if (rows := np.flatnonzero((methods == method) & ~np.isnan(values[quantity]))).size
    }
    tested = sum(bool(np.any(values[quantity][rows])) for (_, quantity), rows in known.items())
    changes = tuple(
        _change(
            method,
            quantity,
            values[quantity][rows],
            pairs["checksum"].to_numpy()[rows],
            level=ERROR_RATE / max(1, tested),
            tolerance=math.log1p(time_tolerance) if quantity == "time" else 0.0,
            judged=quantity != "time" or same_machine,
        )
        for (method, quantity), rows in known.items()
    )
    return Comparison(
        changes=changes,
        pairs=len(pairs),
        only_old=len(old) - len(pairs),
        only_new=len(new) - len(pairs),
        same_machine=same_machine,
    )


def pair(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Join attempts with the same key; columns of the two end in ``_old`` and ``_new``."""
    values = ["saving_ms", "bound_saving_ms", "kind", "seconds", "empty_latency_ms"]

    def keyed(frame: pd.DataFrame) -> pd.DataFrame:
        table = frame[[*KEY, *values]].copy()
        for name in ("seed", "time_limit"):  # no seed and no limit equal each other
            table[name] = table[name].astype("Float64").fillna(-1.0).astype("float64")
        return table

    joined = keyed(old).merge(keyed(new), on=KEY, suffixes=("_old", "_new"), validate="one_to_one")
    return joined.sort_values(KEY, kind="stable").reset_index(drop=True)


def _methods(pairs: pd.DataFrame) -> NDArray[np.str_]:
    """Name the methods: more than the algorithm only where one algorithm ran in several ways."""
    names = pairs["algorithm"].astype(str)
    for column, text in (("parameters", "{}"), ("start", "start {}"), ("time_limit", "{} s")):
        several = pairs.groupby("algorithm")[column].transform("nunique") > 1
        added = [
            f" ({text.format(f'{v:g}' if column == 'time_limit' else v)})" if more else ""
            for v, more in zip(pairs[column], several, strict=True)
        ]
        names = names + pd.Series(added, index=names.index, dtype="object")
    return np.array(names.tolist(), dtype=np.str_)


def _changes(pairs: pd.DataFrame, quantity: str) -> NDArray[np.float64]:
    """Return the change in every pair, NaN where it has no meaning; float64 (P,)."""
    if quantity == "saving":
        old = pairs["saving_ms_old"].fillna(0.0).to_numpy(dtype=np.float64)
        new = pairs["saving_ms_new"].fillna(0.0).to_numpy(dtype=np.float64)
        return _relative(new - old, np.maximum(old, new))
    if quantity == "bound":
        empty = pairs["empty_latency_ms_old"]
        known = pairs["bound_saving_ms_old"].notna() | pairs["bound_saving_ms_new"].notna()
        old = pairs["bound_saving_ms_old"].fillna(empty).to_numpy(dtype=np.float64)
        new = pairs["bound_saving_ms_new"].fillna(empty).to_numpy(dtype=np.float64)
        changes = _relative(old - new, np.maximum(old, new))
        return np.where(known.to_numpy(dtype=np.bool_), changes, np.nan)
    settled = [str(kind) for kind in SETTLED]
    ended_old = pairs["kind_old"].isin(settled).to_numpy(dtype=np.float64)
    ended_new = pairs["kind_new"].isin(settled).to_numpy(dtype=np.float64)
    if quantity == "ending":
        return np.asarray(ended_new - ended_old, dtype=np.float64)
    both = (pairs["saving_ms_old"].notna() & pairs["saving_ms_new"].notna()).to_numpy()
    old = np.maximum(pairs["seconds_old"].to_numpy(dtype=np.float64), TIME_FLOOR_S)
    new = np.maximum(pairs["seconds_new"].to_numpy(dtype=np.float64), TIME_FLOOR_S)
    return np.where(both.astype(np.bool_), np.log(old / new), np.nan)


def _relative(difference: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    changes = np.divide(difference, scale, out=np.zeros_like(difference), where=scale > 0)
    changes[np.abs(changes) < NOISE] = 0.0
    return changes


def _change(
    method: str,
    quantity: str,
    values: NDArray[np.float64],
    instances: NDArray[np.str_],
    *,
    level: float,
    tolerance: float,
    judged: bool,
) -> Change:
    groups = [values[instances == name] for name in sorted(set(instances))]
    mean = float(np.mean([group.mean() for group in groups]))
    low, high = bootstrap(groups, level)
    verdict = "unclear"
    if not values.any():
        verdict = "same"
    elif judged and values.size >= FEWEST_PAIRS:
        if high < -tolerance:
            verdict = "worse"
        elif low > tolerance:
            verdict = "better"
    return Change(
        method=str(method),
        quantity=quantity,
        pairs=values.size,
        better=int((values > 0).sum()),
        worse=int((values < 0).sum()),
        mean=mean,
        low=low,
        high=high,
        verdict=verdict,
    )


def bootstrap(groups: list[NDArray[np.float64]], level: float) -> tuple[float, float]:
    """Return an interval for the mean over groups of their means.

    Parameters
    ----------
    groups
        The values of each instance, one for each seed.
    level
        Chance that the interval misses.
    """
    flat = np.concatenate(groups)
    if flat.min() == flat.max():
        return float(flat[0]), float(flat[0])
    sizes = np.array([group.size for group in groups], dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    rng = np.random.default_rng(0)
    means = np.empty(DRAWS)
    block = max(1, 2_000_000 // (len(groups) * int(sizes.max())))
    for begin in range(0, DRAWS, block):
        count = min(block, DRAWS - begin)
        chosen = rng.integers(len(groups), size=(count, len(groups)))
        draws = rng.random((count, len(groups), int(sizes.max())))
        positions = (draws * sizes[chosen][..., None]).astype(np.int64)
        drawn = flat[offsets[chosen][..., None] + positions]
        used = np.arange(int(sizes.max())) < sizes[chosen][..., None]
        group_means = np.where(used, drawn, 0.0).sum(axis=2) / sizes[chosen]
        means[begin : begin + count] = group_means.mean(axis=1)
    low, high = np.quantile(means, [level / 2, 1 - level / 2])
    return float(low), float(high)


def as_dict(change: Change) -> Mapping[str, object]:
    """Return a change for programs; times as the factor by which the new one is faster."""
    scale = math.exp if change.quantity == "time" else float
    return {
        "method": change.method,
        "quantity": change.quantity,
        "pairs": change.pairs,
        "better": change.better,
        "worse": change.worse,
        "mean": scale(change.mean),
        "low": scale(change.low),
        "high": scale(change.high),
        "verdict": change.verdict,
    }
