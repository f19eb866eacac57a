"""What the store keeps of an instance."""

from collections.abc import Mapping
from typing import Any

from bench.records import InstanceRecord
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.structure.clauses import build_clauses


def describe_instance(
    instance: Instance,
    *,
    family: str,
    size: str,
    seed: int | None,
    options: Mapping[str, Any],
    code_version: str,
    plugin: str = "",
) -> InstanceRecord:
    """Gather the facts about an instance; family, size and seed tell where it comes from."""
    return InstanceRecord(
        checksum=instance.checksum(),
        name=instance.name,
        family=family,
        size=size,
        seed=seed,
        options=options,
        model_shapes=tuple(_model_shape(model) for model in instance.models),
        server_shapes=tuple(
            {"name": name, "capacity_bytes": int(capacity)}
            for name, capacity in zip(instance.server_names, instance.capacity_bytes, strict=True)
        ),
        models=len(instance.models),
        servers=instance.num_servers,
        users=instance.num_users,
        layers=instance.num_layers,
        experts=instance.num_experts,
        top_k=instance.top_k,
        rows=instance.num_rows,
        clauses=len(build_clauses(instance)),
        empty_latency_ms=evaluate(instance, Placement.empty(instance)).latency_ms,
        code_version=code_version,
        plugin=plugin,
    )


def _model_shape(model: Model) -> dict[str, Any]:
    size = model.uniform_bytes
    return {
        "name": model.name,
        "layers": model.layers,
        "experts": model.experts,
        "top_k": model.top_k,
        "expert_bytes": model.expert_bytes.tolist() if size is None else size,
    }
