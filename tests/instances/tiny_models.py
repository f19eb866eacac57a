"""Tiny models of every class that can be traced, with random weights, and a tokenizer for them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)  # these models are too small to share, and tests run side by side

WORDS = ("the", "moon", "is", "far", "how", "green", "cheese", "of", "made")

_COMMON: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_LATENT: dict[str, Any] = {
    "q_lora_rank": None,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "moe_intermediate_size": 8,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {
        "num_experts": 6,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 8,
        "shared_expert_intermediate_size": 8,
        "mlp_only_layers": [1],
    },
    "qwen3_moe": {"num_experts": 6, "moe_intermediate_size": 8, "head_dim": 8},
    "olmoe": {"num_experts": 8},
    "deepseek_v2": {**_LATENT, "topk_method": "group_limited_greedy"},
    "deepseek_v3": {**_LATENT, "num_experts_per_tok": 3},
    "gpt_oss": {"num_local_experts": 4, "head_dim": 8, "intermediate_size": 16},
}
"""What each class has beside the common sizes."""


def make_model(kind: str, seed: int = 0, **changes: Any) -> Any:
    """Return a model with weights large enough that tokens differ in their experts."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **(_COMMON | CONFIGS[kind] | changes))
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if "correction_bias" in name or (tensor.ndim > 1 and tensor.is_floating_point()):
                tensor.normal_(0.0, 0.4)
    return model


def save_mxfp4(folder: Path) -> None:
    """Save a gpt-oss model whose experts are in MXFP4, as it is published."""
    model = make_model("gpt_oss", hidden_size=32, intermediate_size=32)
    model.save_pretrained(folder)
    weights = dict(model.state_dict())
    for name in [name for name in weights if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, inner, outer = weights.pop(name).shape
        shape = (experts, outer, inner // 32)
        weights[f"{name}_blocks"] = torch.randint(0, 256, (*shape, 16), dtype=torch.uint8)
        weights[f"{name}_scales"] = torch.full(shape, 125, dtype=torch.uint8)  # times 2^-2
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    kept = ["self_attn", "mlp.router", "embed_tokens", "lm_head"]
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": kept}
    (folder / "config.json").write_text(json.dumps(config))


def save_model(kind: str, folder: Path, *, tokenizer: bool = True, **changes: Any) -> Any:
    """Save such a model, and return it."""
    model = make_model(kind, **changes)
    model.save_pretrained(folder)
    if tokenizer:
        words = Tokenizer(
            models.WordLevel({w: i + 2 for i, w in enumerate(WORDS)} | {"?": 11}, "?")
        )
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(folder)
    return model
