from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES, PRECISIONS
from instances.errors import InputError

BY_NAME = {architecture.name: architecture for architecture in ARCHITECTURES}


def test_all_25_models_are_there():
    assert len(ARCHITECTURES) == 25
    for name in ("switch-base-8", "mixtral-8x7b", "gpt-oss-20b", "deepseek-v3", "qwen3-30b-a3b"):
        assert name in ARCHITECTURES


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.name)
def test_figures_are_consistent(architecture):
    a = architecture
    assert a.name == a.published_name.lower()
    assert a.source
    assert 1 <= a.moe_layers <= a.total_layers
    assert len(a.dense_layers) == a.total_layers - a.moe_layers
    assert list(a.dense_layers) == sorted({i for i in a.dense_layers if 0 <= i < a.total_layers})
    assert 1 <= a.top_k < a.experts_per_layer
    # Two or three matrices; biases (gpt-oss, Phi-2) add less than a thousandth.
    weights = (3 if a.gated else 2) * a.hidden_size * a.expert_intermediate_size
    assert weights <= a.params_per_expert < 1.001 * weights
    experts = a.moe_layers * a.experts_per_layer * a.params_per_expert
    assert experts + a.non_expert_bytes_bf16_est // 2 == a.total_params_est
    unused = a.moe_layers * (a.experts_per_layer - a.top_k) * a.params_per_expert
    assert a.total_params_est - unused == a.active_params_est


@pytest.mark.parametrize(
    ("name", "layers", "experts", "top_k", "expert_bytes"),
    [
        ("mixtral-8x7b", 32, 8, 2, 352_321_536),  # the example of the file format
        ("switch-base-128", 12, 128, 1, 9_437_184),
        ("deepseek-v3", 58, 256, 8, 88_080_384),
        ("grok-1", 64, 8, 2, 1_207_959_552),
    ],
)
def test_models_have_the_published_shape(name, layers, experts, top_k, expert_bytes):
    model = BY_NAME[name].model()
    assert (model.name, model.layers, model.experts, model.top_k) == (name, layers, experts, top_k)
    assert model.uniform_bytes == expert_bytes


def test_byte_width_is_exact_and_rounds_up():
    gpt_oss = BY_NAME["gpt-oss-20b"]
    assert gpt_oss.expert_bytes("mxfp4") == 13_223_790  # "about 13.2 MB as shipped"
    assert gpt_oss.expert_bytes("int4") * 2 == gpt_oss.expert_bytes("int8") == 24_891_840
    assert gpt_oss.expert_bytes("fp8") * 2 == gpt_oss.expert_bytes() == 49_783_680
    odd = replace(gpt_oss, params_per_expert=33)
    assert [odd.expert_bytes(p) for p in PRECISIONS] == [66, 33, 33, 17, 18]
    for precision, bits in PRECISIONS.items():
        exact = odd.params_per_expert * bits / 8
        assert 0 <= Fraction(odd.expert_bytes(precision)) - exact < 1


def test_hidden_state_and_operations():
    mixtral = BY_NAME["mixtral-8x7b"]
    assert mixtral.hidden_state_bytes() == 8192
    assert mixtral.hidden_state_bytes("fp8") == 4096
    assert mixtral.expert_flops == 352_321_536


def test_fewer_layers():
    model = BY_NAME["mixtral-8x7b"].model(layers=4, precision="int4")
    assert model.layers == 4
    assert np.all(model.expert_bytes == 88_080_384)


@pytest.mark.parametrize("layers", [0, -1, 33, 2.0, True, "4"])
def test_wrong_layers_are_refused(layers):
    with pytest.raises(InputError, match=r"layers: .* is not in 1\.\.32, the layers of mixtral"):
        BY_NAME["mixtral-8x7b"].model(layers=layers)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="precision: 'bf15' is not one of bf16, fp8, int8, int4"):
        BY_NAME["mixtral-8x7b"].model(precision="bf15")
    with pytest.raises(InputError, match=r"model: 'mixtral' is not one of .*did you mean"):
        ARCHITECTURES.get("mixtral")
