"""Fitting the routing model to a trace.

The statistics of a trace (:mod:`instances.routing.statistics`) are held against those of drawn
data of the same shape: as many users, as many tokens each. The distance is the sum over the
statistics of (weight * log(drawn / measured))^2. All draws share their random numbers, so that the
distance changes smoothly with the parameters and a fit is the same whenever its seed is.

1. The calibrated classes and some random parameters are tried.
2. From the best of them Gauss-Newton steps with damping (Levenberg 1944, Marquardt 1963) go on.
3. The same for other ranks of the topic and word vectors; the best rank stays.
4. ``stickiness``, on which only the order of the tokens depends, is found by bisection: the overlap
   of consecutive tokens grows with it.

Scores can be scaled without changing any choice, so the noise is 1: logits are natural logarithms.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws
from instances.errors import InputError
from instances.rounding import round_significant
from instances.routing.drawing import draw_tokens, route
from instances.routing.order import draw_order
from instances.routing.router import CLASSES, Router
from instances.routing.statistics import FIGURES, measure

LEAST_USERS, MOST_USERS = 40, 300
LEAST_TOKENS, MOST_TOKENS = 4_000, 10_000
LEAST_LAYERS, MOST_LAYERS = 2, 4
MOST_SCORES = 3_000_000
"""Size of the drawn data in a fit: fewer tokens and layers where there are many experts."""

REPLICAS = 3
"""Times that data is drawn for one distance: words of their own, so that no fit is to chance."""

RANKS = (4, 12)
"""Ranks that are tried besides that of the classes, 8."""

RANDOM_STARTS = 16
_MOST_STEPS = 8
_BISECTIONS = 7
_SETTLED = 0.02

_LIMITS: Mapping[str, tuple[float, float]] = {
    "user_weight": (0.02, 40.0),
    "token_weight": (0.02, 40.0),
    "bias_sigma": (0.02, 40.0),
    "user_bias_sigma": (0.02, 10.0),
    "group_weight": (0.05, 2.0),
    "own_words": (0.02, 0.98),
}
"""What is fitted, and within which limits; the search goes over logarithms."""

_MOST_STICKINESS = 4.0
_STEPS = {"own_words": 0.3}  # other words for a few ranks: too small a step would measure noise
_STEP = 0.08
_PRIOR = 0.02  # keeps parameters that no statistic depends on near where they were
_MISSING = 1.0  # a statistic that the trace has and the drawn data has not
_OFFSET = 0.02  # so that a quantile of zero is far away, but not infinitely far
_DIGITS = 3

_ORDER_FREE = tuple(
    figure
    for figure in FIGURES
    if not figure.name.startswith(("overlap_1", "overlap_2", "overlap_8"))
)

Array = NDArray[np.float64]


def fit_router(
    choices: NDArray[np.integer],
    offsets: NDArray[np.int64],
    *,
    experts: int,
    seed: int = 0,
) -> Router:
    """Fit the routing model to a trace.

    Parameters
    ----------
    choices
        Experts of each token in each layer, -1 for none; (T, L, K).
    offsets
        First token of each request, and the number of tokens; int64 (R + 1,). A request is a user.
    experts
        Experts of a layer.
    seed
        Of the draws that the trace is compared with.

    Returns
    -------
    Router
        Parameters of three digits.

    Raises
    ------
    InputError
        When the trace has no token with an expert, or a choice is not an expert.
    """
    if not (choices >= 0).any():
        raise InputError("experts", "no token uses any expert, so there is nothing to fit")
    search = _Search(choices, offsets, experts, seed)
    starts = [_normalised(router) for router in CLASSES.values()]
    starts += search.random_starts(RANDOM_STARTS)
    best = min(starts, key=search.distance)
    best = search.descend(best)
    for rank in RANKS:
        best = min(best, search.descend(replace(best, rank=rank)), key=search.distance)
    return search.with_order(best)


class _Search:
    """Distances of routers from one trace."""

    def __init__(
        self,
        choices: NDArray[np.integer],
        offsets: NDArray[np.int64],
        experts: int,
        seed: int,
    ) -> None:
        most = int(np.clip(MOST_SCORES // (LEAST_LAYERS * experts), LEAST_TOKENS, MOST_TOKENS))
        choices, self._offsets = _shorter(choices, offsets, most)
        layers = int(np.clip(MOST_SCORES // (experts * most), LEAST_LAYERS, MOST_LAYERS))
        self._lengths = np.diff(self._offsets)
        self._experts = experts
        self._seed = seed
        self._layers = min(choices.shape[1], layers)
        self._top_k = choices.shape[2]
        self._target = measure(choices, self._offsets, experts=experts).values
        self._known = [
            figure for figure in _ORDER_FREE if not math.isnan(self._target[figure.name])
        ]
        self._residuals: dict[Router, Array] = {}

    def random_starts(self, count: int) -> list[Router]:
        """Return routers with parameters drawn from the whole range."""
        draws = Draws("fit", self._seed, "starts")
        low, high = _bounds()
        shape = (count, low.size)
        return [_router(Router(), low + (high - low) * row) for row in draws.uniform(shape)]

    def distance(self, router: Router) -> float:
        """Return the sum of the squared residuals."""
        residuals = self.residuals(router)
        return float(residuals @ residuals)

    def residuals(self, router: Router) -> Array:
        """Return weight * log(drawn / measured) of each statistic that has no order."""
        if router not in self._residuals:
            choices = [self._draw(router, replica)[0] for replica in range(REPLICAS)]
            values = self._measure(choices)
            self._residuals[router] = np.array(
                [
                    figure.weight * _log_ratio(values[figure.name], self._target[figure.name])
                    for figure in self._known
                ]
            )
        return self._residuals[router]

    def descend(self, start: Router) -> Router:
        """Return the best router that damped Gauss-Newton steps find."""
        low, high = _bounds()
        best, damping = start, 0.1
        origin = _position(start)
        for _ in range(_MOST_STEPS):
            here = _position(best)
            residuals = self.residuals(best)
            slopes = np.empty((residuals.size, here.size))
            for axis, name in enumerate(_LIMITS):
                size = _STEPS.get(name, _STEP)
                if here[axis] + size > high[axis]:
                    size = -size
                moved = here.copy()
                moved[axis] += size
                slopes[:, axis] = (self.residuals(_router(best, moved)) - residuals) / size
            before = self.distance(best)
            while damping < 100:
                normal = slopes.T @ slopes
                normal += (_PRIOR**2 + damping * (normal.trace() / here.size)) * np.eye(here.size)
                pull = slopes.T @ residuals + _PRIOR**2 * (here - origin)
                goal = np.clip(here - np.linalg.solve(normal, pull), low, high)
                candidate = _router(best, goal)
                if self.distance(candidate) < before:
                    best, damping = candidate, damping / 4
                    break
                damping *= 4
            if before - self.distance(best) < _SETTLED * before:
                break
        return best

    def with_order(self, router: Router) -> Router:
        """Return the router with the stickiness that makes consecutive tokens overlap enough."""
        goal = self._target["overlap_1"]
        drawn = [self._draw(router, replica) for replica in range(REPLICAS)]

        def overlap(stickiness: float) -> float:
            ordered = []
            for replica, (choices, words) in enumerate(drawn):
                draws = Draws("fit", self._seed, "order", replica)
                ordered.append(choices[draw_order(stickiness, words, self._lengths, draws)])
            return self._measure(ordered)["overlap_1"]

        low, high = 0.0, _MOST_STICKINESS
        if math.isnan(goal):
            return router
        loose = overlap(low)
        # Noise, or words that have no part in the choices: the order explains nothing.
        if loose >= goal * (1 - _SETTLED) or overlap(high) < loose * (1 + _SETTLED):
            return router
        for _ in range(_BISECTIONS):
            # By square roots: a little stickiness does much, and more of it ever less.
            middle = ((math.sqrt(low) + math.sqrt(high)) / 2) ** 2
            if overlap(middle) < goal:
                low = middle
            else:
                high = middle
        return replace(router, stickiness=_rounded(math.sqrt(low * high) if low else high / 2))

    def _draw(self, router: Router, replica: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Draw choices, (T, L, K), and the words of their tokens, (T, rank)."""
        # Streams of their own, so that the layers stay when the words change.
        stream = ("fit", self._seed, replica)
        tokens = draw_tokens(router, Draws(*stream, "tokens"), self._lengths)
        choices = route(
            router,
            Draws(*stream, "layers"),
            tokens,
            layers=self._layers,
            experts=self._experts,
            top_k=self._top_k,
        )
        if tokens.words is None:
            raise AssertionError(router)  # weights are never zero in a search
        return choices, tokens.words

    def _measure(self, replicas: list[NDArray[np.int32]]) -> dict[str, float]:
        """Return the means over the replicas."""
        measured = [
            measure(choices, self._offsets, experts=self._experts).values for choices in replicas
        ]
        return {
            figure.name: sum(values[figure.name] for values in measured) / len(measured)
            for figure in FIGURES
        }


def _shorter(
    choices: NDArray[np.integer], offsets: NDArray[np.int64], most_tokens: int
) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Return evenly spaced requests of a trace, cut where they are long; none are empty."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    users = round(most_tokens / float(lengths.mean()))
    users = min(max(users, LEAST_USERS), MOST_USERS, lengths.size)
    chosen = np.arange(users) * lengths.size // users
    starts, lengths = starts[chosen], lengths[chosen]
    lengths = np.minimum(lengths, most_tokens // users)
    tokens = np.concatenate([np.arange(a, a + n) for a, n in zip(starts, lengths, strict=True)])
    return choices[tokens], np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _bounds() -> tuple[Array, Array]:
    limits = np.log(np.array(list(_LIMITS.values())))
    return limits[:, 0], limits[:, 1]


def _position(router: Router) -> Array:
    low, high = _bounds()
    values = np.array([getattr(router, name) for name in _LIMITS])
    return np.asarray(np.clip(np.log(np.maximum(values, 1e-9)), low, high))


def _router(template: Router, position: Array) -> Router:
    """Return the template with these parameters, rounded: what is judged is what is kept."""
    values = zip(_LIMITS, np.exp(position).tolist(), strict=True)
    fitted: dict[str, Any] = {name: _rounded(value) for name, value in values}
    return replace(template, noise=1.0, **fitted)


def _normalised(router: Router) -> Router:
    """Return the same router with noise 1, within the limits of the search."""
    scaled = replace(
        router,
        user_weight=router.user_weight / router.noise,
        token_weight=router.token_weight / router.noise,
        bias_sigma=router.bias_sigma / router.noise,
        user_bias_sigma=router.user_bias_sigma / router.noise,
        noise=1.0,
        stickiness=0.0,
    )
    return _router(scaled, _position(scaled))


def _rounded(value: float) -> float:
    return float(round_significant(np.array([value]), _DIGITS)[0])


def _log_ratio(drawn: float, measured: float) -> float:
    if math.isnan(drawn):
        return _MISSING
    return math.log((drawn + _OFFSET) / (measured + _OFFSET))
