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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws
from instances.errors import InputError
from instances.rounding import round_significant
from instances.routing.drawing import draw_routes, draw_tokens, route
from instances.routing.order import draw_order
from instances.routing.router import CLASSES, Router
from instances.routing.statistics import FIGURES, Statistics, measure

MOST_USERS = 40
LEAST_TOKENS, MOST_TOKENS = 4_000, 20_000
LEAST_LAYERS, MOST_LAYERS = 2, 8
MOST_SCORES = 10_000_000
"""Size of the drawn data in a fit: fewer tokens and layers where there are many experts."""

RANKS = (4, 12)
"""Ranks that are tried besides that of the classes, 8."""

RANDOM_STARTS = 24
_MOST_STEPS = 10
_BISECTIONS = 7
_SETTLED = 0.01

MOST_COMPARED_SCORES = 2**23
"""Tokens times experts that are drawn at once for the comparison in the end: 64 MB."""

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
OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted router, and how far it is from the trace.

    Parameters
    ----------
    router
        The parameters.
    trace, drawn
        Statistics of the whole trace, and of data drawn from the router.
    """

    router: Router
    trace: Statistics
    drawn: Statistics

    @property
    def deviations(self) -> dict[str, float]:
        """``drawn / measured - 1`` by figure; NaN where one of them is not known."""
        return {
            figure.name: _ratio(self.drawn.values[figure.name], self.trace.values[figure.name]) - 1
            for figure in FIGURES
        }


def fit_router(
    choices: NDArray[np.integer],
    offsets: NDArray[np.int64],
    *,
    experts: int,
    seed: int = 0,
    on_progress: OnProgress | None = None,
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
    on_progress
        Told what is being done.

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
    tell = on_progress or (lambda text: None)
    tell("measuring the trace")
    search = _Search(choices, offsets, experts, seed)
    tell("trying parameters")
    starts = [_normalised(router) for router in CLASSES.values()]
    starts += search.random_starts(RANDOM_STARTS)
    best = min(starts, key=search.distance)
    best = search.descend(best, tell)
    for rank in RANKS:
        best = min(best, search.descend(replace(best, rank=rank), tell), key=search.distance)
    tell("ordering tokens")
    return search.with_order(best)


def compare(
    router: Router,
    choices: NDArray[np.integer],
    offsets: NDArray[np.int64],
    *,
    experts: int,
    seed: int = 0,
) -> tuple[Fit, NDArray[np.int32], NDArray[np.int64]]:
    """Put the statistics of a trace and of a router side by side.

    Parameters
    ----------
    router
        Where the data is drawn from: requests as long as those of the trace, as many layers; of a
        trace so long that memory could not hold its scores, evenly spaced requests.
    choices, offsets, experts
        The trace, as for :func:`fit_router`.
    seed
        Of the draws.

    Returns
    -------
    Fit
        Both statistics.
    NDArray[np.int32]
        The drawn choices, (T', L, K).
    NDArray[np.int64]
        Their offsets, (R' + 1,).
    """
    trace = measure(choices, offsets, experts=experts)
    lengths = np.diff(offsets)
    lengths = lengths[lengths > 0]
    limit = max(1, MOST_COMPARED_SCORES // experts)
    lengths = np.minimum(lengths, limit)
    while lengths.sum() > limit:
        lengths = lengths[:: -(-int(lengths.sum()) // limit)]
    drawn = draw_routes(
        router,
        Draws("compare", seed),
        lengths=lengths,
        layers=choices.shape[1],
        experts=experts,
        top_k=choices.shape[2],
    )
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    statistics = measure(drawn, starts, experts=experts)
    return Fit(router=router, trace=trace, drawn=statistics), drawn, starts


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
            # Streams of their own, so that the layers stay when the words change.
            tokens = draw_tokens(router, Draws("fit", self._seed, "tokens"), self._lengths)
            values = self._measure(
                route(
                    router,
                    Draws("fit", self._seed, "layers"),
                    tokens,
                    layers=self._layers,
                    experts=self._experts,
                    top_k=self._top_k,
                )
            )
            self._residuals[router] = np.array(
                [
                    figure.weight * _log_ratio(values[figure.name], self._target[figure.name])
                    for figure in self._known
                ]
            )
        return self._residuals[router]

    def descend(self, start: Router, tell: OnProgress) -> Router:
        """Return the best router that damped Gauss-Newton steps find."""
        low, high = _bounds()
        best, damping = start, 0.1
        origin = _position(start)
        for step in range(_MOST_STEPS):
            tell(f"rank {start.rank}, step {step + 1}: distance {self.distance(best):.3f}")
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
        tokens = draw_tokens(router, Draws("fit", self._seed, "tokens"), self._lengths)
        words = tokens.words
        if words is None or math.isnan(goal):
            return router
        choices = route(
            router,
            Draws("fit", self._seed, "layers"),
            tokens,
            layers=self._layers,
            experts=self._experts,
            top_k=self._top_k,
        )

        def overlap(stickiness: float) -> float:
            draws = Draws("fit", self._seed, "order")
            order = draw_order(stickiness, words, tokens.lengths, draws)
            return self._measure(choices[order])["overlap_1"]

        low, high = 0.0, _MOST_STICKINESS
        if overlap(low) >= goal:
            return router
        for _ in range(_BISECTIONS):
            # By square roots: a little stickiness does much, and more of it ever less.
            middle = ((math.sqrt(low) + math.sqrt(high)) / 2) ** 2
            if overlap(middle) < goal:
                low = middle
            else:
                high = middle
        return replace(router, stickiness=_rounded(math.sqrt(low * high) if low else high / 2))

    def _measure(self, choices: NDArray[np.int32]) -> Mapping[str, float]:
        return measure(choices, self._offsets, experts=self._experts).values


def _shorter(
    choices: NDArray[np.integer], offsets: NDArray[np.int64], most_tokens: int
) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Return evenly spaced requests of a trace, cut where they are long; none are empty."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    users = min(MOST_USERS, lengths.size)
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


def _ratio(drawn: float, measured: float) -> float:
    if measured == 0:
        return 1.0 if drawn == 0 else math.inf
    return drawn / measured
