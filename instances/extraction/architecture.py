"""What placement needs to know of a Hugging Face model: its architecture, from its config."""

from typing import Any

import torch

from instances.architecture_file import architecture_from_dict
from instances.architectures import Architecture
from instances.extraction.routers import find_routers

_WIDTHS = ("moe_intermediate_size", "intermediate_size")
"""Where configs keep the inner width of an expert; the first wins where both are."""


def architecture_of(config: Any, *, name: str) -> Architecture:
    """Return the architecture of a model of a known kind.

    The model is built without weights, and its routers and experts counted: shared experts and
    dense layers do not count, biases do.

    Parameters
    ----------
    config
        The model's config.
    name
        What to call it.

    Raises
    ------
    InputError
        When the model is not built as known.
    """
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    routers = find_routers(model)
    layers = model.model.layers
    first = next(iter(routers))
    router = routers[first]
    experts = layers[first].mlp.experts
    weights = sum(parameter.numel() for parameter in experts.parameters())
    width = next(getattr(config, field) for field in _WIDTHS if hasattr(config, field))
    return architecture_from_dict(
        {
            "format": "moeplace/architecture",
            "version": 1,
            "name": name,
            "moe_layers": len(routers),
            "experts_per_layer": router.num_experts,
            "top_k": router.top_k,
            "hidden_size": config.hidden_size,
            "expert_intermediate_size": width,
            "gated": True,
            "params_per_expert": weights // router.num_experts,
            "dense_layers": [layer for layer in range(len(layers)) if layer not in routers],
            "source": f"config.json of a {config.model_type} model",
        }
    )
