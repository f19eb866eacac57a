r"""Splits of the clause weights with a small bound: a saddle point, step by step.

Splits go where labels meet the sets least, labels where splits pay:

    min over splits a of max over mixed labels q within the storage of  sum of a[x, s] met_q(x, s).

Both move in entropy distances (Chambolle and Pock 2016), so that the state is one number for each
pair (expert, server set) on either side, whatever the number of clauses: a split is proportional to
exp(-repulsion), mixed labels to exp((pull - paid) / scale).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.credits import Credits
from formulations.bounds.labels import Labels
from formulations.bounds.search import Search

_WINDOW = 30
_FIRST_WINDOW = 10
"""Steps between two looks: bounds are evaluated there, and means begin afresh."""

_FIRST_LENGTH, _SHORTEST, _LONGEST = 5.0, 0.5, 50.0
"""Lengths of the steps: at first, and what they stay within."""

_SPECK = 1e-9
"""Share of all weight that is added to what others are divided by."""

_RESPONSES_AFTER = 3
"""Windows before servers first respond to what labels say; they do so again at the end."""

_RESERVE = 1.5
"""Time that is kept for that, as a multiple of what it took the first time."""


@dataclass(slots=True, eq=False)
class _Logs:
    """Where the search is: (X, S), (X, S), (M,)."""

    repulsion: NDArray[np.float64]
    pull: NDArray[np.float64]
    paid: NDArray[np.float64]


class _Means:
    """Means over a window, weighted by the lengths of the steps."""

    def __init__(self, logs: _Logs, on: NDArray[np.float64]) -> None:
        self._parts = [np.zeros_like(a) for a in (logs.repulsion, logs.pull, logs.paid)]
        self._split, self._on = np.zeros_like(logs.repulsion), np.zeros_like(on)
        self.reset()

    def reset(self) -> None:
        for part in (*self._parts, self._split, self._on):
            part[:] = 0.0
        self._weight, self.count = 0.0, 0

    def add(
        self, length: float, logs: _Logs, split: NDArray[np.float64], on: NDArray[np.float64]
    ) -> None:
        news = (logs.repulsion, logs.pull, logs.paid, split, on)
        for part, new in zip((*self._parts, self._split, self._on), news, strict=True):
            part += length * new
        self._weight += length
        self.count += 1

    @property
    def logs(self) -> _Logs:
        return _Logs(*(part / self._weight for part in self._parts))

    @property
    def split(self) -> NDArray[np.float64]:
        return np.asarray(self._split / self._weight)

    @property
    def on(self) -> NDArray[np.float64]:
        return np.asarray(self._on / self._weight)


def find_splits(
    search: Search, credits: Credits, labels: Labels, steps: int
) -> NDArray[np.float64]:
    """Look for splits of the clause weights with a small bound; returns the best credits.

    Steps are as long as the last change allows: what splits and labels do to each other may not
    exceed how far they have moved (the rule of PDLP, in entropy distances). At the end of a window
    the mean split is a better split than the last one, and means of the logarithms are a better
    place to go on from, unless the last iterate is.
    """
    shape, threads = credits.alone.shape, search.threads
    logs = _Logs(np.zeros(shape), np.zeros(shape), np.zeros_like(labels.price))
    split = credits.split(logs.repulsion, threads)
    scale = split.sum(axis=1) + _SPECK * credits.total
    best = credits.rounded_up(split, 1)
    means = _Means(logs, labels.on)
    length, change = _FIRST_LENGTH, np.zeros(shape)
    window, num_windows = _FIRST_WINDOW, 0
    response_s = 0.0
    for step in range(steps):
        if search.must_stop():
            break
        is_last = step == steps - 1 or search.deadline.remaining < _RESERVE * response_s
        moved, lost = np.zeros(shape), np.zeros(shape)
        if step:
            moved = length * (labels.met + change)
            logs.repulsion = logs.repulsion + moved
            before = split
            split = credits.split(logs.repulsion, threads)
            lost = before - split
        logs.pull = logs.pull + length * split
        met, used = labels.met.copy(), labels.used
        labels.mix(logs.pull, scale, logs.paid, length)
        logs.paid = logs.paid + length * labels.price
        means.add(length, logs, split, labels.on)
        if step:
            change = labels.met - met
            distance = float((lost * moved).sum() + length * (change * split).sum())
            distance -= length * float((labels.used - used) @ labels.price)
            meeting = abs(float((change * lost).sum()))
            longer = _next_length(length, distance, meeting, step)
            change *= longer / length
            length = longer
        if means.count >= window or is_last:
            best, goes_on = _look(search, credits, labels, means, split, best)
            num_windows += 1
            if num_windows == _RESPONSES_AFTER or is_last:
                began = search.deadline.remaining
                search.respond(means.on)
                if math.isfinite(began):
                    response_s = began - search.deadline.remaining
            if is_last:
                search.was_hurried |= step < steps - 1
                break
            if not goes_on:
                logs, change = means.logs, np.zeros(shape)
                split = credits.split(logs.repulsion, threads)
                labels.mix_as_paid(logs.pull, scale, logs.paid)
            means.reset()
            window = _WINDOW
    return best


def _next_length(length: float, distance: float, meeting: float, step: int) -> float:
    """Return the length of the next step: near what the last one would have allowed."""
    longest = distance / (2.0 * meeting) if meeting > 0.0 else _LONGEST
    longer = min((1.0 - (step + 1) ** -0.3) * longest, (1.0 + (step + 1) ** -0.6) * length)
    return float(min(max(longer, _SHORTEST), _LONGEST))


def _look(
    search: Search,
    credits: Credits,
    labels: Labels,
    means: _Means,
    split: NDArray[np.float64],
    best: NDArray[np.float64],
) -> tuple[NDArray[np.float64], bool]:
    """Evaluate bounds; returns the best credits, and whether the last split is to be kept."""
    from_logs = credits.split(means.logs.repulsion, search.threads)
    bounds = []
    for candidate, count in ((split, 1), (from_logs, 1), (means.split, means.count)):
        credit = credits.rounded_up(candidate, count)
        labels.look_at(credit)
        bounds.append(labels.value())
        if search.lower(bounds[-1], credit, labels.best_price):
            best = credit
        if search.is_closed:
            return best, True
    return best, bounds[0] <= bounds[1]
