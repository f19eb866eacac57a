"""``moeplace generate``: an instance of a family, as a file."""

import argparse

from bench.commands.output import complain, print_block, print_json, require_writable
from bench.formats import plural
from instances import generate
from instances.files import INSTANCE_SUFFIXES, write_instance
from instances.problem import Instance


def execute(arguments: argparse.Namespace) -> int:
    """Generate, write, and say what it is."""
    require_writable(arguments.output, INSTANCE_SUFFIXES)
    instance = generate.make(arguments)
    write_instance(arguments.output, instance)
    show_instance(instance, arguments.output, as_json=arguments.json)
    return 0


def show_instance(instance: Instance, path: str, *, as_json: bool, note: str | None = None) -> None:
    """Say what an instance holds and where it was written; a note goes to stderr, or into JSON."""
    if note is not None and not as_json:
        complain(note, 0, label="")
    if as_json:
        print_json(
            {
                **({} if note is None else {"note": note}),
                "instance": instance.name,
                "path": path,
                "checksum": instance.checksum(),
                "models": [model.name for model in instance.models],
                "servers": instance.num_servers,
                "users": instance.num_users,
                "layers": instance.num_layers,
                "experts": instance.num_experts,
                "top_k": instance.top_k,
                "rows": instance.num_rows,
                "capacity_bytes": int(instance.capacity_bytes.sum()),
                "expert_bytes": int(instance.expert_bytes.sum()),
            }
        )
        return
    stored = int(instance.capacity_bytes.sum()) / int(instance.expert_bytes.sum())
    shapes = [
        f"{model.name} ({plural(model.layers, 'layer')} of {model.experts} experts, "
        f"up to {model.top_k} at once)"
        for model in instance.models
    ]
    print_block(
        f"{instance.name}, written to {path}",
        {
            "models": "; ".join(shapes),
            "servers": f"{instance.num_servers}, with room for {stored:.0%} of all expert bytes",
            "users": str(instance.num_users),
            "demand": plural(instance.num_rows, "row"),
        },
    )
