"""Routers of Hugging Face models: where they are, and by which rule they choose.

Each router module returns (logits, weights, indices of the chosen experts). The indices are what
is recorded; the rule is applied to the logits once more, so that a version of the library that
means something else by them is found out rather than recorded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from instances.errors import InputError

_ABSOLUTE, _RELATIVE = 1e-6, 1e-5
"""Scores within this of each other may change places: they are computed in single precision."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of models: name of its router module, and the scores whose largest it takes."""

    router: str
    scores: Callable[[Any, torch.Tensor], torch.Tensor]


def softmax_scores(router: Any, logits: torch.Tensor) -> torch.Tensor:
    """Return probabilities, the largest of which are chosen."""
    del router
    return logits.float().softmax(dim=-1)


def grouped_softmax_scores(router: Any, logits: torch.Tensor) -> torch.Tensor:
    """Return probabilities, 0 outside the groups with the largest single one (DeepSeek-V2)."""
    scores = softmax_scores(router, logits)
    if router.topk_method == "greedy":
        return scores
    if router.topk_method != "group_limited_greedy":
        raise InputError("topk_method", f"{router.topk_method!r} of the model is not known")
    grouped = scores.unflatten(-1, (router.num_group, -1))
    return _within_groups(router, grouped, grouped.amax(dim=-1), outside=0.0)


def grouped_sigmoid_scores(router: Any, logits: torch.Tensor) -> torch.Tensor:
    """Return biased sigmoids, within the groups whose two best are largest (DeepSeek-V3)."""
    scores = logits.float().sigmoid() + router.e_score_correction_bias
    grouped = scores.unflatten(-1, (router.num_group, -1))
    best_two = grouped.topk(2, dim=-1).values.sum(dim=-1)
    return _within_groups(router, grouped, best_two, outside=float("-inf"))


def _within_groups(
    router: Any, grouped: torch.Tensor, worth: torch.Tensor, *, outside: float
) -> torch.Tensor:
    chosen = worth.topk(router.topk_group, dim=-1).indices
    allowed = torch.zeros_like(worth, dtype=torch.bool).scatter_(1, chosen, True)
    return grouped.masked_fill(~allowed.unsqueeze(-1), outside).flatten(-2)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "mixtral": Kind("MixtralTopKRouter", softmax_scores),
        "qwen2_moe": Kind("Qwen2MoeTopKRouter", softmax_scores),
        "qwen3_moe": Kind("Qwen3MoeTopKRouter", softmax_scores),
        "olmoe": Kind("OlmoeTopKRouter", softmax_scores),
        "deepseek_v2": Kind("DeepseekV2TopkRouter", grouped_softmax_scores),
        "deepseek_v3": Kind("DeepseekV3TopkRouter", grouped_sigmoid_scores),
        "gpt_oss": Kind("GptOssTopKRouter", softmax_scores),
    }
)
"""By the ``model_type`` of a model's config.json."""


def kind_of(model_type: str) -> Kind:
    """Return the kind of a model.

    Raises
    ------
    InputError
        When its routers are not known.
    """
    if model_type not in KINDS:
        raise InputError("model_type", f"{model_type!r} is not one of {', '.join(KINDS)}")
    return KINDS[model_type]


def find_routers(model: Any) -> dict[int, Any]:
    """Return the router of each layer that has one, by the number of the layer among all.

    Raises
    ------
    InputError
        When there is none, or several in a layer: then the model is not built as known.
    """
    kind = kind_of(model.config.model_type)
    routers: dict[int, Any] = {}
    for number, layer in enumerate(model.model.layers):
        found = [each for each in layer.modules() if type(each).__name__ == kind.router]
        if len(found) > 1:
            raise InputError("model", f"layer {number} has {len(found)} modules {kind.router}")
        if found:
            routers[number] = found[0]
    if not routers:
        raise InputError("model", f"no layer has a {kind.router}: this has no routed experts")
    return routers


def check_choice(
    kind: Kind, router: Any, logits: torch.Tensor, indices: torch.Tensor, layer: int
) -> None:
    """Check that experts are the ones that the rule chooses from the logits; ties are free.

    Parameters
    ----------
    kind, router
        The rule, and the module with its settings.
    logits, indices
        What it returned; (tokens, E) and (tokens, K).
    layer
        For the message.

    Raises
    ------
    InputError
        When shapes or choices are not as expected.
    """
    top_k, experts = router.top_k, router.num_experts
    if logits.shape[1:] != (experts,) or indices.shape != (logits.shape[0], top_k):
        raise InputError(
            f"layer {layer}",
            f"the router returned shapes {tuple(logits.shape)} and {tuple(indices.shape)} where "
            f"(tokens, {experts}) and (tokens, {top_k}) are expected",
        )
    scores = kind.scores(router, logits)
    taken = scores.gather(1, indices).sort(dim=-1).values
    best = scores.topk(top_k, dim=-1).values.sort(dim=-1).values
    wrong = ~torch.isclose(taken, best, rtol=_RELATIVE, atol=_ABSOLUTE).all(dim=-1)
    for token in wrong.nonzero().flatten().tolist()[:1]:
        raise InputError(
            f"layer {layer}",
            f"the router took experts {indices[token].tolist()}, which are not the best by its own "
            "logits: this version of the model is not understood",
        )
