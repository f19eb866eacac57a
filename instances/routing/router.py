"""The routing model and its calibrated classes.

One model covers all classes. In layer l, token t of user u scores expert e with

    logit = W_l[e] . (user_weight * topic_u + token_weight * word_t)
            + bias_l[e] + user_bias_l[u, e] + noise * Gumbel

and chooses the top K. ``topic_u`` and ``word_t`` are vectors of a few dimensions that all layers
share, as in a real model, where the dependence between layers hardly decays with their distance.
Words follow Zipf's law; part of the ranking is each user's own. Without the vectors this is K
independent draws without replacement from lognormal popularities (Gumbel-top-K); without biases
too, uniform draws. The tokens of a user come in an order in which words like each other follow
each other (:mod:`instances.routing.order`), so that consecutive tokens share experts.

The parameters were fitted to the published routing of gpt-oss-20b, Qwen3-30B-A3B, OLMoE and
Mixtral-8x7B (docs/instances.md).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from instances.errors import InputError

MOST = {"rank": 64, "num_groups": 10_000, "vocabulary": 100_000}
"""Largest whole numbers that are taken."""

LARGEST = {"own_words": 1.0, "group_weight": 8.0}
LARGEST_WEIGHT = 64.0
"""Largest of the other numbers: scores then stay below 2^20, and sums of products exact."""


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
    stickiness
        How much consecutive words are alike; 0 for an order without any rule. Which tokens there
        are does not depend on it, so neither do the rates of an instance.

    Raises
    ------
    InputError
        When a parameter is out of range.
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
    stickiness: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            most = MOST.get(field.name)
            if most is not None:
                if not 1 <= value <= most:
                    raise InputError(field.name, f"{value} is not in 1..{most}")
                continue
            limit = LARGEST.get(field.name, LARGEST_WEIGHT)
            if not (math.isfinite(value) and 0 <= value <= limit):
                raise InputError(field.name, f"{value} is not in 0..{limit:g}")


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
"""Few large experts: nearly uniform, users nearly alike. Reuse by the next token: not measured."""

FINE_GRAINED: Mapping[str, Router] = MappingProxyType(
    {
        "linear-router": Router(
            user_weight=0.6,
            token_weight=1.3,
            group_weight=1.1,
            own_words=0.4,
            bias_sigma=1.2,
            noise=0.2,
            stickiness=0.24,
        ),
        "lognormal": Router(bias_sigma=0.75, user_bias_sigma=1.06),
        "uniform": UNIFORM,
    }
)
"""Many small experts: skewed, each user with experts of her own, strongly co-activated."""

ROUTINGS = tuple(FINE_GRAINED)
"""Kinds of routing, by the names that families take."""

CLASSES: Mapping[str, Router] = MappingProxyType(
    {
        "fine-grained": FINE_GRAINED["linear-router"],
        "fine-grained-independent": FINE_GRAINED["lognormal"],
        "mixtral-like": MIXTRAL_LIKE["linear-router"],
        "mixtral-like-independent": MIXTRAL_LIKE["lognormal"],
        "uniform": UNIFORM,
    }
)
"""The calibrated routers, by the names that the command line takes."""
