"""Models and tokenizers of Hugging Face from a folder: no download, no code from there."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instances.errors import InputError
from instances.extraction.prompts import Prompt

PACKAGES = ("torch", "transformers", "accelerate")
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")


def require_packages() -> None:
    """Check that the extra is installed.

    Raises
    ------
    InputError
        When it is not.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            "",
            f"this needs {', '.join(missing)}; install with: pip install moeplace[trace]",
        )


def load_model(folder: str, *, width: str = "auto") -> Any:
    """Load a causal language model for evaluation on the CPU.

    Weights are read from safetensors files only: they cannot run anything. Those in MXFP4 or
    FP8, as gpt-oss and DeepSeek-V3 are published, become bfloat16.

    Parameters
    ----------
    folder
        Folder with ``config.json`` and the weights.
    width
        One of :data:`~instances.extraction.WIDTHS`; ``auto`` keeps what the files have.

    Raises
    ------
    InputError
        When it cannot be loaded, or its routers are not known.
    """
    config = load_config(folder)
    from transformers import AutoModelForCausalLM

    try:
        model, told = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=width,
            use_safetensors=True,
            output_loading_info=True,
            **_LOCAL,
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise _cannot_load(folder, error) from error
    # The library would fill these at random: such a router is nobody's.
    lacking = sorted({*told["missing_keys"], *(each[0] for each in told["mismatched_keys"])})
    if lacking:
        raise InputError(
            "--model", f"{folder!r} lacks {len(lacking)} weights of the model, first {lacking[0]}"
        )
    return model.eval()


def load_config(folder: str) -> Any:
    """Read ``config.json`` of a model.

    Raises
    ------
    InputError
        When it cannot be read, or the routers of such a model are not known.
    """
    require_packages()
    # Read by the hub's client when it is first imported: nothing is ever asked of a network.
    os.environ["HF_HUB_OFFLINE"] = "1"
    if not Path(folder, "config.json").is_file():
        raise InputError(
            "--model", f"{folder!r} is not a folder with config.json (nothing is downloaded)"
        )
    import transformers

    from instances.extraction.routers import kind_of

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **_LOCAL)
    except (OSError, ValueError) as error:
        raise _cannot_load(folder, error) from error
    try:
        kind_of(config.model_type)
    except InputError as error:
        raise error.in_file(str(Path(folder, "config.json"))) from None
    return config


def tokenize(
    folder: str, config: Any, prompts: Sequence[Prompt], *, most_tokens: int | None = None
) -> list[list[int]]:
    """Return the tokens of each prompt; the tokenizer is loaded only when there is text.

    Parameters
    ----------
    folder
        Where the tokenizer is: beside the model.
    config
        The model's.
    prompts
        What was read.
    most_tokens
        Only this many tokens of each prompt; None for all.

    Raises
    ------
    InputError
        When there is no tokenizer, a token is not of the model, or a prompt has none or too many.
    """
    encode = _load_tokenizer(folder) if any(each.text is not None for each in prompts) else None
    limit = getattr(config, "max_position_embeddings", None)
    rows = []
    for prompt in prompts:
        text = prompt.text
        tokens = list(prompt.token_ids) if encode is None or text is None else encode(text)
        for i, token in enumerate(tokens):
            if not 0 <= token < config.vocab_size:
                raise InputError(
                    f"{prompt.where}.token_ids[{i}]",
                    f"{token} is not in 0..{config.vocab_size - 1}, the tokens of the model",
                )
        tokens = tokens[:most_tokens]
        if not tokens:
            raise InputError(f"{prompt.where}.prompt", f"{text!r} has no tokens")
        if limit is not None and len(tokens) > limit:
            raise InputError(
                prompt.where, f"{len(tokens)} tokens where the model takes at most {limit}"
            )
        rows.append(tokens)
    return rows


def _load_tokenizer(folder: str) -> Any:
    if not any(Path(folder, name).is_file() for name in _TOKENIZERS):
        raise InputError(
            "--model",
            f"{folder!r} has no tokenizer ({', '.join(_TOKENIZERS)}); add one, or give prompts as "
            "JSON lines with token_ids",
        )
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, **_LOCAL).encode
    except (OSError, ValueError, ImportError) as error:
        raise _cannot_load(folder, error) from error


def _cannot_load(folder: str, error: Exception) -> InputError:
    return InputError("--model", f"{folder!r} cannot be loaded: {' '.join(str(error).split())}")


_LOCAL = {"local_files_only": True, "trust_remote_code": False}
