"""Running a model and writing down what its routers choose.

The routers are hooked, so what is recorded is what the experts got, whatever the rule. Prompts are
run in batches, the shorter ones filled up on the left and what they filled with left out.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instances.errors import InputError
from instances.extraction.routers import check_choice, find_routers, kind_of
from instances.traces import Routes


class Recorder:
    """Collects the choices of all routers of a model while it is open.

    Parameters
    ----------
    model
        A causal language model of a known kind.
    """

    def __init__(self, model: Any) -> None:
        self._kind = kind_of(model.config.model_type)
        self._routers = find_routers(model)
        self._hooks: list[Any] = []
        self._mask = torch.zeros(0, dtype=torch.bool)
        self._calls: dict[int, list[torch.Tensor]] = {}

    def __enter__(self) -> "Recorder":
        for layer, router in self._routers.items():
            hook = self._listener(layer)
            self._hooks.append(router.register_forward_hook(hook))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def begin(self, mask: torch.Tensor) -> None:
        """Forget what was recorded; ``mask`` (batch, tokens) tells real tokens from filling."""
        self._mask = mask.bool()
        self._calls = {layer: [] for layer in self._routers}

    def choices(self) -> NDArray[np.int16]:
        """Return what was recorded since; (batch, tokens, layers with routers, K).

        Raises
        ------
        InputError
            When a router was not called as often as the others.
        """
        batch = self._mask.shape[0]
        layers = []
        for layer, calls in self._calls.items():
            if [len(call) for call in calls] != [len(call) for call in self._first_calls()]:
                raise InputError(
                    f"layer {layer}", "its router was not called as those of other layers"
                )
            layers.append(torch.cat([call.view(batch, -1, call.shape[1]) for call in calls], 1))
        found: NDArray[np.int16] = torch.stack(layers, dim=2).to(torch.int16).numpy()
        return found

    def _first_calls(self) -> list[torch.Tensor]:
        calls = next(iter(self._calls.values()))
        if not calls:
            raise InputError("model", "its routers were not called")
        return calls

    def _listener(self, layer: int) -> Callable[[Any, Any, Any], None]:
        def listen(router: Any, inputs: Any, output: Any) -> None:
            del inputs
            logits, _, indices = output
            calls = self._calls[layer]
            # The first call of a batch has the prompts, with their filling; later ones new tokens.
            real = slice(None) if calls else self._mask.flatten()
            check_choice(self._kind, router, logits[real], indices[real], layer)
            calls.append(indices.detach().cpu())

        return listen


def record(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    generate: int = 0,
    batch_size: int = 8,
) -> Routes:
    """Run prompts through a model and return the experts that their tokens used.

    Parameters
    ----------
    model
        A causal language model of a known kind, in evaluation mode.
    prompts
        Tokens of each prompt; none is empty.
    generate
        Tokens to generate after each prompt, always the likeliest; fewer where the model ends. The
        last one is not routed, as nothing follows it.
    batch_size
        Prompts that are run together.

    Returns
    -------
    Routes
        Layers with routers only, in their order; one request for each prompt.

    Raises
    ------
    InputError
        When a router does not do what is known of it.
    """
    parts: list[NDArray[np.int16]] = []
    with Recorder(model) as recorder, torch.inference_mode():
        for first in range(0, len(prompts), batch_size):
            parts += _record_batch(model, recorder, prompts[first : first + batch_size], generate)
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Routes(experts=np.concatenate(parts), offsets=offsets)


def _record_batch(
    model: Any, recorder: Recorder, prompts: Sequence[Sequence[int]], generate: int
) -> list[NDArray[np.int16]]:
    longest = max(len(prompt) for prompt in prompts)
    tokens = torch.zeros((len(prompts), longest), dtype=torch.int64)
    mask = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    recorder.begin(mask)
    new = [0] * len(prompts)
    if generate:
        new = [max(count - 1, 0) for count in _generate(model, tokens, mask, generate)]
    else:
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=1,
        )
    choices = recorder.choices()
    return [
        choices[row, longest - len(prompt) : longest + new[row]]
        for row, prompt in enumerate(prompts)
    ]


def _generate(model: Any, tokens: torch.Tensor, mask: torch.Tensor, most: int) -> list[int]:
    """Generate; return how many tokens each prompt got, its end token among them."""
    from transformers import GenerationConfig

    own = model.generation_config
    ends = own.eos_token_id
    ends = [ends] if isinstance(ends, int) else list(ends or ())
    # In place of the model's own settings: those may sample, or punish repetition.
    model.generation_config = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=ends or None, pad_token_id=0
    )
    try:
        written = model.generate(input_ids=tokens, attention_mask=mask)
    finally:
        model.generation_config = own
    counts = []
    for row in written[:, tokens.shape[1] :].tolist():
        stops = [i + 1 for i, token in enumerate(row) if token in ends]
        counts.append(stops[0] if stops else len(row))
    return counts
