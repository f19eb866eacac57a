"""``moeplace trace``: the routing of prompts in a Hugging Face model that is run here."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from bench.commands.output import print_block, print_json, require_writable
from bench.formats import plural
from bench.spinner import spinning
from instances.architecture_file import write_architecture
from instances.errors import InputError
from instances.extraction.models import load_config, load_model, require_packages, tokenize
from instances.extraction.prompts import Prompt, read_prompts
from instances.files import write_atomically
from instances.grouping import REQUESTS_FILE
from instances.importers.archive_routes import write as routes_bytes
from instances.model import MAX_BYTES


def execute(arguments: argparse.Namespace) -> int:
    """Run the model, write what its routers chose, and say what it is."""
    for option in ("max_tokens", "batch_size"):
        value = getattr(arguments, option)
        if value is not None and not 1 <= value <= MAX_BYTES:
            raise InputError(f"--{option.replace('_', '-')}", f"{value} is not at least 1")
    require_writable(arguments.output, (".npz",))
    if arguments.architecture is not None:
        require_writable(arguments.architecture, (".json",))
    require_packages()
    prompts = read_prompts(arguments.prompts)
    requests = _requests_path(arguments, prompts)
    with spinning("loading libraries"):
        config = load_config(arguments.model)
    try:
        tokens = tokenize(arguments.model, config, prompts, most_tokens=arguments.max_tokens)
    except InputError as error:
        if error.field.startswith("line"):
            raise error.in_file(arguments.prompts) from None
        raise
    # PyTorch is there, as the packages have been looked for.
    from instances.extraction.architecture import architecture_of
    from instances.extraction.capture import record

    name = arguments.name or Path(arguments.model).resolve().name
    architecture = architecture_of(config, name=name)
    with spinning("loading the model"):
        model = load_model(arguments.model, width=arguments.dtype)
    with spinning(f"running {plural(len(prompts), 'prompt')}"):
        routes = record(model, tokens, generate=arguments.generate, batch_size=arguments.batch_size)
    write_atomically(arguments.output, routes_bytes(routes))
    if requests is not None:
        write_atomically(requests, _requests(prompts, tokens))
    if arguments.architecture is not None:
        write_architecture(arguments.architecture, architecture)
    facts = {
        "path": arguments.output,
        "model": name,
        "requests": routes.num_requests,
        "tokens": routes.num_tokens,
        "layers": routes.num_layers,
        "dense_layers": list(architecture.dense_layers),
        "experts": architecture.experts_per_layer,
        "top_k": routes.top_k,
        "expert_bytes_bf16": architecture.expert_bytes(),
        "requests_file": None if requests is None else str(requests),
        "architecture": arguments.architecture,
    }
    if arguments.json:
        print_json(facts)
        return 0
    lines = {
        "tokens": f"{routes.num_tokens} of {plural(routes.num_requests, 'request')}",
        "model": f"{plural(routes.num_layers, 'layer')} of {architecture.experts_per_layer} "
        f"experts, {routes.top_k} at once; {plural(len(architecture.dense_layers), 'dense layer')}",
    }
    if requests is not None:
        lines["users"] = f"in {requests}; to group by them: --users field:user"
    if arguments.architecture is not None:
        lines["architecture"] = f"written to {arguments.architecture}"
    print_block(f"{name}, written to {arguments.output}", lines)
    return 0


def _requests_path(arguments: argparse.Namespace, prompts: Sequence[Prompt]) -> Path | None:
    """Return where the users of the requests go: None when no prompt has one."""
    if all(prompt.user is None for prompt in prompts):
        return None
    for prompt in prompts:
        if prompt.user is None:
            raise InputError(
                f"{prompt.where}.user",
                "is missing, where other prompts have one",
                source=arguments.prompts,
            )
    path = Path(arguments.output).with_name(REQUESTS_FILE)
    if path.exists() and not arguments.force:
        raise InputError(
            "",
            "is there already, and may be about other routes; --force replaces it",
            source=str(path),
        )
    return path


def _requests(prompts: Sequence[Prompt], tokens: Sequence[Sequence[int]]) -> bytes:
    requests = [
        {"user": prompt.user, "prompt_tokens": len(row)}
        for prompt, row in zip(prompts, tokens, strict=True)
    ]
    lines = ",\n ".join(json.dumps(request, ensure_ascii=False) for request in requests)
    return f"[\n {lines}\n]\n".encode()
