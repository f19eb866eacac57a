import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra moeplace[trace]")
pytest.importorskip("transformers", reason="needs the extra moeplace[trace]")

from safetensors.torch import save_file  # noqa: E402

from instances.architecture_file import read_architecture, write_architecture  # noqa: E402
from instances.errors import InputError  # noqa: E402
from instances.extraction.architecture import architecture_of  # noqa: E402
from instances.extraction.capture import Recorder, record  # noqa: E402
from instances.extraction.models import load_config, load_model, tokenize  # noqa: E402
from instances.extraction.prompts import Prompt  # noqa: E402
from instances.extraction.routers import KINDS, check_choice, find_routers  # noqa: E402
from tests.instances.tiny_models import CONFIGS, make_model, save_model, save_mxfp4  # noqa: E402

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12], [13, 14, 15, 12], [20, 21, 22, 23, 24]]
DENSE = {"qwen2_moe": (1,), "deepseek_v2": (0,), "deepseek_v3": (0,)}


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def chosen_by_hand(kind, config, weights, hidden):
    """Experts of each token, ascending, from hidden states and weights in double precision."""
    logits = hidden @ weights["weight"].T + weights.get("bias", 0.0)
    scores = softmax(logits)
    if kind.startswith("deepseek"):
        if kind == "deepseek_v3":
            scores = 1 / (1 + np.exp(-logits)) + weights["e_score_correction_bias"]
        for row in scores:
            groups = row.reshape(config.n_group, -1)
            ordered = np.sort(groups, axis=1)
            worth = ordered[:, -2:].sum(axis=1) if kind == "deepseek_v3" else ordered[:, -1]
            groups[np.argsort(-worth)[config.topk_group :]] = -np.inf
    best = np.argsort(-scores, axis=1)[:, : config.num_experts_per_tok]
    return np.sort(best, axis=1)


def watch(model):
    """Hook what goes into the MoE blocks and into their experts; lists by layer."""
    hidden, used, hooks = {}, {}, []
    for number in find_routers(model):
        block = model.model.layers[number].mlp

        def before_block(module, inputs, number=number):
            flat = inputs[0].detach().reshape(-1, inputs[0].shape[-1])
            hidden.setdefault(number, []).append(flat.double().numpy())

        def before_experts(module, inputs, number=number):
            used.setdefault(number, []).append(inputs[1].detach().numpy())

        hooks.append(block.register_forward_pre_hook(before_block))
        hooks.append(block.experts.register_forward_pre_hook(before_experts))
    return hidden, used, hooks


def weights_of(router):
    named = [*router.named_parameters(), *router.named_buffers()]
    return {name: tensor.detach().double().numpy() for name, tensor in named}


@pytest.mark.parametrize("kind", CONFIGS)
def test_recorded_is_what_the_model_used(kind):
    """Against the experts' own input, and against the rule in double precision."""
    model = make_model(kind)
    hidden, used, hooks = watch(model)
    routes = record(model, PROMPTS, batch_size=1)
    for hook in hooks:
        hook.remove()
    assert routes.offsets.tolist() == [0, 7, 8, 12, 17]
    layers = [layer for layer in range(3) if layer not in DENSE.get(kind, ())]
    assert list(find_routers(model)) == layers
    config = model.config
    assert routes.experts.shape == (17, len(layers), config.num_experts_per_tok)
    for position, layer in enumerate(layers):
        recorded = np.sort(routes.experts[:, position], axis=1)
        assert np.array_equal(recorded, np.sort(np.concatenate(used[layer]), axis=1))
        weights = weights_of(find_routers(model)[layer])
        states = np.concatenate(hidden[layer])
        assert np.array_equal(recorded, chosen_by_hand(kind, config, weights, states))
    assert len(np.unique(np.sort(routes.experts, axis=2), axis=0)) > 3  # tokens differ


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("generate", [0, 6])
def test_batches_change_nothing(kind, generate):
    model = make_model(kind, seed=1)
    alone = record(model, PROMPTS, generate=generate, batch_size=1)
    together = record(model, PROMPTS, generate=generate, batch_size=3)
    assert np.array_equal(alone.offsets, together.offsets)
    assert np.array_equal(np.sort(alone.experts, axis=2), np.sort(together.experts, axis=2))


@pytest.mark.parametrize("kind", CONFIGS)
def test_generated_tokens_are_routed_as_if_they_had_been_given(kind):
    model = make_model(kind, seed=2)
    model.generation_config.eos_token_id = None
    routes = record(model, PROMPTS[:2], generate=5)
    assert routes.offsets.tolist() == [0, 11, 16]  # 7 + 4 and 1 + 4: the last is not routed
    written = []
    for prompt in PROMPTS[:2]:
        tokens = list(prompt)
        for _ in range(4):
            logits = model(input_ids=torch.tensor([tokens])).logits
            tokens.append(int(logits[0, -1].argmax()))
        written.append(tokens)
    given = record(model, written)
    assert np.array_equal(np.sort(given.experts, axis=2), np.sort(routes.experts, axis=2))


def test_generation_ends_with_the_end_token():
    model = make_model("mixtral", seed=3)
    first = int(model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].argmax())
    model.generation_config.eos_token_id = first
    routes = record(model, [PROMPTS[0], PROMPTS[3]], generate=4)
    # The end token is the only new one of the first prompt, and nothing follows it.
    assert routes.offsets[1] == 7
    free = record(model, [PROMPTS[3]], generate=4)
    assert np.array_equal(routes.experts[7:], free.experts)


def test_hooks_are_removed():
    model = make_model("olmoe")
    with Recorder(model) as recorder:
        recorder.begin(torch.ones(1, 3))
        model(input_ids=torch.tensor([[2, 3, 4]]))
    assert recorder.choices().shape == (1, 3, 3, 2)
    model(input_ids=torch.tensor([[2, 3, 4]]))
    assert recorder.choices().shape == (1, 3, 3, 2)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_router_that_chooses_otherwise_is_refused(kind):
    model = make_model(kind)
    router = next(iter(find_routers(model).values()))
    hook = router.register_forward_hook(
        lambda module, inputs, output: (output[0], output[1], (output[2] + 1) % router.num_experts)
    )
    with pytest.raises(InputError, match=r"layer \d: the router took experts \[.* not the best"):
        record(model, PROMPTS)
    hook.remove()


def test_shapes_that_are_not_a_routers_are_refused():
    model = make_model("mixtral")
    router = find_routers(model)[0]
    with pytest.raises(InputError, match=r"layer 0: the router returned shapes \(5, 3\)"):
        check_choice(
            KINDS["mixtral"], router, torch.zeros(5, 3), torch.zeros(5, 2, dtype=torch.int64), 0
        )


def test_ties_are_free():
    model = make_model("mixtral")
    router = find_routers(model)[0]
    logits = torch.tensor([[1.0, 2.0, 2.0, 2.0]])
    for pair in ([1, 2], [3, 1]):
        check_choice(KINDS["mixtral"], router, logits, torch.tensor([pair]), 0)
    with pytest.raises(InputError, match=r"took experts \[0, 1\]"):
        check_choice(KINDS["mixtral"], router, logits, torch.tensor([[0, 1]]), 0)


def test_greedy_deepseek_v2():
    model = make_model("deepseek_v2", topk_method="greedy")
    assert record(model, PROMPTS).num_tokens == 17
    router = find_routers(model)[1]
    router.topk_method = "noaux_tc"
    logits, indices = torch.zeros(1, 8), torch.zeros(1, 2, dtype=torch.int64)
    with pytest.raises(InputError, match="topk_method: 'noaux_tc' of the model is not known"):
        check_choice(KINDS["deepseek_v2"], router, logits, indices, 1)


def test_models_own_generation_settings_do_not_matter():
    model = make_model("mixtral", seed=4)
    plain = record(model, PROMPTS, generate=6)
    own = model.generation_config
    own.update(do_sample=True, temperature=3.0, repetition_penalty=5.0, eos_token_id=None)
    again = record(model, PROMPTS, generate=6)
    assert model.generation_config is own
    model.generation_config.eos_token_id = 1
    assert np.array_equal(record(model, PROMPTS, generate=6).experts, plain.experts)
    assert again.num_tokens == 17 + 4 * 5


@pytest.mark.parametrize("kind", CONFIGS)
def test_models_from_a_folder(kind, tmp_path):
    saved = save_model(kind, tmp_path)
    config = load_config(str(tmp_path))
    loaded = load_model(str(tmp_path))
    prompts = [
        Prompt(text="how far is the moon", token_ids=(), user=None, where="line 1"),
        Prompt(text=None, token_ids=(12, 13), user=None, where="line 2"),
    ]
    tokens = tokenize(str(tmp_path), config, prompts)
    assert tokens == [[6, 5, 4, 2, 3], [12, 13]]
    found, expected = record(loaded, tokens), record(saved, tokens)
    assert np.array_equal(np.sort(found.experts), np.sort(expected.experts))


@pytest.mark.parametrize(
    ("kind", "experts", "top_k", "params"),
    [
        ("mixtral", 4, 2, 3 * 16 * 24),
        ("qwen2_moe", 6, 3, 3 * 16 * 8),
        ("qwen3_moe", 6, 2, 3 * 16 * 8),
        ("olmoe", 8, 2, 3 * 16 * 24),
        ("deepseek_v2", 8, 2, 3 * 16 * 8),
        ("deepseek_v3", 8, 3, 3 * 16 * 8),
        ("gpt_oss", 4, 2, 3 * 16 * 16 + 2 * 16 + 16),  # with biases
    ],
)
def test_architectures(kind, experts, top_k, params, tmp_path):
    found = architecture_of(make_model(kind).config, name="mine")
    dense = DENSE.get(kind, ())
    assert (found.moe_layers, found.total_layers) == (3 - len(dense), 3)
    assert found.dense_layers == dense
    assert (found.experts_per_layer, found.top_k) == (experts, top_k)
    assert found.params_per_expert == params
    assert found.hidden_size == 16
    path = tmp_path / "mine.json"
    write_architecture(path, found)
    again = read_architecture(path)
    assert again == found
    assert json.loads(path.read_text())["params_per_expert"] == params


def test_mistakes_in_folders(tmp_path):
    with pytest.raises(InputError, match=r"nothing.json' is not a folder with config.json"):
        load_config(str(tmp_path / "nothing.json"))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match=r"config.json: model_type: 'llama' is not one of mixtral"):
        load_config(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"--model: .* cannot be loaded"):
        load_config(str(tmp_path))


def test_no_weights_no_tokenizer(tmp_path):
    save_model("mixtral", tmp_path, tokenizer=False)
    config = load_config(str(tmp_path))
    text = Prompt(text="moon", token_ids=(), user=None, where="line 1")
    with pytest.raises(InputError, match=r"--model: .* has no tokenizer .* or give .* token_ids"):
        tokenize(str(tmp_path), config, [text])
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"--model: .* cannot be loaded"):
        load_model(str(tmp_path))


def test_weights_that_are_not_there_are_not_made_up(tmp_path):
    model = save_model("olmoe", tmp_path)
    weights = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if "layers.1.mlp.gate" not in name
    }
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        InputError, match=r"lacks 1 weights of the model, first .*layers.1.mlp.gate"
    ):
        load_model(str(tmp_path))


def test_experts_in_mxfp4(tmp_path):
    save_mxfp4(tmp_path)
    config = load_config(str(tmp_path))
    model = load_model(str(tmp_path), width="bfloat16")
    block = model.model.layers[0].mlp.experts
    assert block.gate_up_proj.dtype is torch.bfloat16
    values = set(block.gate_up_proj.detach().float().abs().flatten().tolist())
    assert values == {x / 4 for x in (0, 0.5, 1, 1.5, 2, 3, 4, 6)}
    assert record(model, PROMPTS).experts.shape == (17, 3, 2)
    # matrices of 64 x 32 and 32 x 32 and their biases, however they are stored
    assert architecture_of(config, name="x").params_per_expert == 96 * 32 + 96


def test_no_pickled_weights(tmp_path):
    model = save_model("mixtral", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"--model: .* cannot be loaded"):
        load_model(str(tmp_path))


def test_wrong_tokens():
    config = make_model("mixtral").config

    def tokens(*ids, most=None):
        prompt = Prompt(text=None, token_ids=ids, user=None, where="line 4")
        return tokenize("nowhere", config, [prompt], most_tokens=most)

    with pytest.raises(InputError, match=r"line 4.token_ids\[1\]: 40 is not in 0..39"):
        tokens(3, 40)
    with pytest.raises(InputError, match="line 4: 65 tokens where the model takes at most 64"):
        tokens(*[3] * 65)
    assert tokens(*[3] * 65, most=9) == [[3] * 9]
