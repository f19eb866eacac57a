"""Drawing the choices of tokens from a router.

Scores are fixed-point numbers that are exact in float64, so the choices are the same on every
machine (see :mod:`instances.draws`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws, fixed_point, gumbel_quantiles
from instances.errors import InputError
from instances.routing.drawing_kernels import choose
from instances.routing.order import draw_order
from instances.routing.router import Router

_SCORES_AT_A_TIME = 2**18
"""Scores are drawn for as many tokens at a time: what they take then stays in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """Tokens to be routed.

    Parameters
    ----------
    user
        User of each token, ascending; int64 (T,).
    lengths
        Tokens of each user; int64 (U,).
    words
        Vector of the word of each token, float64 (T, rank), fixed-point; None where a router has
        no use for it.
    hidden
        What the experts' weights are multiplied with, like ``words``.
    """

    user: NDArray[np.int64]
    lengths: NDArray[np.int64]
    words: NDArray[np.float64] | None
    hidden: NDArray[np.float64] | None


def draw_choices(
    router: Router,
    draws: Draws,
    *,
    users: int,
    tokens: int,
    layers: int,
    experts: int,
    top_k: int,
) -> NDArray[np.int32]:
    """Draw the experts that every token uses, the tokens of a user in no order.

    Parameters
    ----------
    router
        The model to draw from.
    draws
        Source of randomness.
    users, tokens
        Users, and tokens of each user.
    layers, experts, top_k
        Shape of the model.

    Returns
    -------
    NDArray[np.int32]
        Experts of each token and layer, ascending; shape (users * tokens, layers, top_k), the
        tokens of one user together.

    Raises
    ------
    InputError
        When a size is out of range.
    """
    by_layer = draw_layers(
        router,
        draws,
        users=users,
        tokens=tokens,
        layers=layers,
        experts=experts,
        top_k=top_k,
    )
    return _stacked(by_layer, (users * tokens, layers, top_k))


def draw_layers(
    router: Router,
    draws: Draws,
    *,
    users: int,
    tokens: int,
    layers: int,
    experts: int,
    top_k: int,
) -> Iterator[NDArray[np.int32]]:
    """Draw as :func:`draw_choices` does, layer by layer: no more than one is in memory.

    Returns
    -------
    Iterator[NDArray[np.int32]]
        For each layer the experts of each token, ascending; shape (users * tokens, top_k).

    Raises
    ------
    InputError
        When a size is out of range.
    """
    _check_sizes(users=users, tokens=tokens, layers=layers, experts=experts)
    _check_top_k(top_k, experts)
    drawn = draw_tokens(router, draws, np.full(users, tokens, dtype=np.int64))
    return route_layers(router, draws, drawn, layers=layers, experts=experts, top_k=top_k)


def draw_routes(
    router: Router,
    draws: Draws,
    *,
    lengths: NDArray[np.int64],
    layers: int,
    experts: int,
    top_k: int,
) -> NDArray[np.int32]:
    """Draw a trace: like :func:`draw_choices`, the tokens of each user in the router's order.

    Parameters
    ----------
    router
        The model to draw from.
    draws
        Source of randomness.
    lengths
        Tokens of each user, at least 1; int64 (U,).
    layers, experts, top_k
        Shape of the model.

    Returns
    -------
    NDArray[np.int32]
        Experts of each token and layer, ascending; shape (tokens, layers, top_k). With equal
        lengths and the same draws, the rows of each user are those of :func:`draw_choices`.

    Raises
    ------
    InputError
        When a size is out of range.
    """
    _check_sizes(users=lengths.size, layers=layers, experts=experts)
    _check_sizes(**{f"lengths[{user}]": n for user, n in enumerate(lengths.tolist())})
    _check_top_k(top_k, experts)
    drawn = draw_tokens(router, draws, lengths)
    choices = route(router, draws, drawn, layers=layers, experts=experts, top_k=top_k)
    if drawn.words is None:
        return choices
    return choices[draw_order(router.stickiness, drawn.words, lengths, draws)]


def draw_tokens(router: Router, draws: Draws, lengths: NDArray[np.int64]) -> Tokens:
    """Draw the words of all users."""
    users = lengths.size
    user = np.repeat(np.arange(users), lengths)
    if router.user_weight == 0 and router.token_weight == 0:
        return Tokens(user=user, lengths=lengths, words=None, hidden=None)
    groups = draws.normal((router.num_groups, router.rank))
    own = draws.normal((users, router.rank))
    topic = router.group_weight * groups[np.arange(users) % router.num_groups] + own
    vectors = draws.normal((router.vocabulary, router.rank))
    words = vectors[_draw_words(router, draws, user, users)]
    hidden = router.user_weight * topic[user] + router.token_weight * words
    return Tokens(user=user, lengths=lengths, words=words, hidden=fixed_point(hidden))


def route(
    router: Router, draws: Draws, tokens: Tokens, *, layers: int, experts: int, top_k: int
) -> NDArray[np.int32]:
    """Draw the experts of given tokens; int32 (T, layers, top_k), ascending."""
    by_layer = route_layers(router, draws, tokens, layers=layers, experts=experts, top_k=top_k)
    return _stacked(by_layer, (tokens.user.size, layers, top_k))


def route_layers(
    router: Router, draws: Draws, tokens: Tokens, *, layers: int, experts: int, top_k: int
) -> Iterator[NDArray[np.int32]]:
    """Draw the experts of given tokens layer by layer; each int32 (T, top_k), ascending."""
    num_tokens = tokens.user.size
    hidden = np.zeros((num_tokens, 0)) if tokens.hidden is None else tokens.hidden
    noise = fixed_point(gumbel_quantiles() * router.noise)
    # four numbers come from one word: parts of 4 tokens each draw what all draw together
    part = 4 * -(-_SCORES_AT_A_TIME // (4 * experts))
    for _ in range(layers):
        weight = np.zeros((0, experts))
        if tokens.hidden is not None:
            weight = np.ascontiguousarray(fixed_point(draws.normal((experts, router.rank))).T)
        bias = draws.normal(experts) * router.bias_sigma
        user_bias = draws.normal((tokens.lengths.size, experts)) * router.user_bias_sigma
        bias = fixed_point(bias + user_bias)
        choices = np.empty((num_tokens, top_k), dtype=np.int32)
        for begin in range(0, num_tokens, part):
            here = slice(begin, min(begin + part, num_tokens))
            index = draws.quantile_index((here.stop - begin, experts))
            choose(hidden[here], weight, bias, tokens.user[here], noise, index, choices[here])
        yield choices


def _stacked(
    by_layer: Iterator[NDArray[np.int32]], shape: tuple[int, int, int]
) -> NDArray[np.int32]:
    choices = np.empty(shape, dtype=np.int32)
    for layer, chosen in enumerate(by_layer):
        choices[:, layer] = chosen
    return choices


def _draw_words(
    router: Router, draws: Draws, token_user: NDArray[np.int64], users: int
) -> NDArray[np.int64]:
    """Word of each token: Zipf's law over each user's ranking of the words; int64 (T,)."""
    ranks = np.arange(1, router.vocabulary + 1)
    rank = draws.below_mass(2**40 // ranks, token_user.size)
    ranking = np.tile(np.arange(router.vocabulary), (users, 1))
    num_own = int(router.own_words * router.vocabulary)
    for user in range(users):
        own = np.sort(draws.permutation(router.vocabulary)[:num_own])
        ranking[user, own] = own[draws.permutation(num_own)]
    return ranking[token_user, rank]


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise InputError(name, f"{size} is not at least 1")


def _check_top_k(top_k: int, experts: int) -> None:
    if not 1 <= top_k <= experts:
        raise InputError("top_k", f"{top_k} is not in 1..{experts}")
