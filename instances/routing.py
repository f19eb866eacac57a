"""Routing: which experts the tokens of each user choose.

One model covers all classes. In layer l, token t of user u scores expert e with

    logit = W_l[e] . (user_weight * topic_u + token_weight * word_t)
            + bias_l[e] + user_bias_l[u, e] + noise * Gumbel

and chooses the top K. ``topic_u`` and ``word_t`` are vectors of a few dimensions that all layers
share, as in a real model, where the dependence between layers hardly decays with their distance.
Words follow Zipf's law; part of the ranking is each user's own. Without the vectors this is K
independent draws without replacement from lognormal popularities (Gumbel-top-K); without biases
too, uniform draws.

The parameters were fitted to the published routing of gpt-oss-20b, Qwen3-30B-A3B, OLMoE and
Mixtral-8x7B (docs/instances.md). Scores are fixed-point numbers that are exact in float64, so
the choices are the same on every machine (see :mod:`instances.draws`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws, fixed_point
from instances.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Parameters of the routing model above. Logits are natural logarithms.

    Parameters
    ----------
    rank
        Dimensions of the topic and word vectors.
    user_weight, token_weight
        How strongly the user's topic and the word at hand move the scores.
    group_weight, num_groups
        ``topic = group_weight * topic of the group + the user's own``; users belong to groups
        (tasks, languages) in turn.
    vocabulary, own_words
        Words, drawn by Zipf's law with exponent 1, and the share of ranks that each user fills
        in an order of her own.
    bias_sigma, user_bias_sigma
        Standard deviation of the biases that all users share, and of each user's own.
    noise
        Scale of the Gumbel noise; at least 0.
    """

    rank: int = 8
    user_weight: float = 0.0
    token_weight: float = 0.0
    group_weight: float = 0.7
    num_groups: int = 4
    vocabulary: int = 1000
    own_words: float = 0.5
    bias_sigma: float = 0.0
    user_bias_sigma: float = 0.0
    noise: float = 1.0


UNIFORM = Router()

MIXTRAL_LIKE: Mapping[str, Router] = MappingProxyType(
    {
        "linear-router": Router(
            user_weight=0.05, token_weight=0.6, own_words=0.1, bias_sigma=0.1, noise=0.8
        ),
        "lognormal": Router(bias_sigma=0.25, user_bias_sigma=0.1),
        "uniform": UNIFORM,
    }
)
"""Few large experts: nearly uniform, users nearly alike."""

FINE_GRAINED: Mapping[str, Router] = MappingProxyType(
    {
        "linear-router": Router(
            user_weight=0.6,
            token_weight=1.3,
            group_weight=1.1,
            own_words=0.4,
            bias_sigma=1.2,
            noise=0.2,
        ),
        "lognormal": Router(bias_sigma=0.75, user_bias_sigma=1.06),
        "uniform": UNIFORM,
    }
)
"""Many small experts: skewed, each user with experts of her own, strongly co-activated."""

ROUTINGS = tuple(FINE_GRAINED)
"""Kinds of routing, by the names that families take."""


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
    """Draw the experts that every token uses.

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
    _check_sizes(users=users, tokens=tokens, layers=layers, experts=experts)
    if not 1 <= top_k <= experts:
        raise InputError("top_k", f"{top_k} is not in 1..{experts}")
    hidden = _hidden_states(router, draws, users, tokens)
    choices = np.empty((users * tokens, layers, top_k), dtype=np.int32)
    for layer in range(layers):
        scores = np.zeros((users * tokens, experts))
        if hidden is not None:
            weights = fixed_point(draws.normal((experts, router.rank)))
            scores += hidden @ weights.T  # exact: sums of multiples of 2^-32, below 2^20
        bias = draws.normal(experts) * router.bias_sigma
        user_bias = draws.normal((users, experts)) * router.user_bias_sigma
        scores += np.repeat(fixed_point(bias + user_bias), tokens, axis=0)
        scores += fixed_point(draws.gumbel(scores.shape) * router.noise)
        choices[:, layer] = _top_k(scores, top_k)
    return choices


def _hidden_states(
    router: Router, draws: Draws, users: int, tokens: int
) -> NDArray[np.float64] | None:
    """Fixed-point hidden states, (users * tokens, rank); None where they have no effect."""
    if router.user_weight == 0 and router.token_weight == 0:
        return None
    groups = draws.normal((router.num_groups, router.rank))
    own = draws.normal((users, router.rank))
    topic = router.group_weight * groups[np.arange(users) % router.num_groups] + own
    words = draws.normal((router.vocabulary, router.rank))
    token = _draw_words(router, draws, users, tokens)
    hidden = router.user_weight * topic[:, None, :] + router.token_weight * words[token]
    return fixed_point(hidden.reshape(users * tokens, router.rank))


def _draw_words(router: Router, draws: Draws, users: int, tokens: int) -> NDArray[np.int64]:
    """Word of each token, (users, tokens): Zipf's law over each user's ranking of the words."""
    ranks = np.arange(1, router.vocabulary + 1)
    rank = draws.below_mass(2**40 // ranks, (users, tokens))
    ranking = np.tile(np.arange(router.vocabulary), (users, 1))
    num_own = int(router.own_words * router.vocabulary)
    for user in range(users):
        own = np.sort(draws.permutation(router.vocabulary)[:num_own])
        ranking[user, own] = own[draws.permutation(num_own)]
    return np.take_along_axis(ranking, rank, axis=1)


def _top_k(scores: NDArray[np.float64], top_k: int) -> NDArray[np.int32]:
    """Experts of the highest scores in each row, ascending; of equal scores the first expert's."""
    experts = scores.shape[1]
    # One whole number for score and expert makes the order strict, so that no detail of the
    # selection algorithm shows.
    keys = np.rint(scores * 2**32).astype(np.int64) * experts - np.arange(experts)
    best = np.argpartition(keys, experts - top_k, axis=1)[:, experts - top_k :]
    return np.sort(best, axis=1).astype(np.int32)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise InputError(name, f"{size} is not at least 1")
