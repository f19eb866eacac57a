"""GPU-like networks: equal servers on a few nodes, every user near all of them.

One model is served by expert parallelism: each GPU has the same number of expert slots in every
layer, somewhat more than there are experts, and is also where the tokens of one data-parallel
rank come from. A rank sends its batch to the experts of a layer in one collective call, so its
own GPU answers no sooner than the others of its node. What is not stored is read from the node's
memory, the "cloud" of this family.

    t = batch * K * hidden state * (1 byte out + 2 bytes back) / rate of the link + expert's time

Sources: 128 tokens a batch, FP8 out and BF16 back, 160 GB/s by NVLink, 50 GB/s by InfiniBand
(deepseek-ai/DeepEP, docs/legacy.md; with DeepSeek-V3's figures the formula gives 0.14 and 0.44 ms
where 0.19 ms on 8 GPUs and 0.43 ms on 32 were measured there); 32 GPUs with 9 slots each for 256
experts: DeepSeek-V3 report (arXiv:2412.19437, section 3.4.1); 64 GB/s for the node's memory over
PCIe 5.0 with 16 lanes; 3.35 TB/s of memory bandwidth (H100 SXM), as for the cloud of
:class:`~instances.network.NetworkSpec`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from instances.architectures import ARCHITECTURES
from instances.demand import merge_choices
from instances.draws import Draws
from instances.families.spec import FAMILIES, Family, Request
from instances.network import LATENCY_DIGITS
from instances.problem import Instance
from instances.rounding import round_significant
from instances.routing import FINE_GRAINED, MIXTRAL_LIKE, ROUTINGS, Router, draw_choices

BATCH_TOKENS = 128
BYTES_OUT_AND_BACK = 1 + 2
"""For each element of the hidden state."""
NODE_GB_S, NETWORK_GB_S, MEMORY_GB_S = 160.0, 50.0, 64.0
GPU_TFLOPS = 3.35

_BYTES_PER_MS_AND_GB_S = 1e6
_FLOPS_PER_MS_AND_TFLOPS = 1e9


@dataclass(frozen=True, slots=True)
class Cluster:
    """One size of the family; ``slots`` of each GPU in each layer, ``tokens`` of each rank."""

    architecture: str
    precision: str
    layers: int
    nodes: int
    gpus: int
    slots: int
    tokens: int
    routers: Mapping[str, Router]


CLUSTERS: Mapping[str, Cluster] = {
    "tiny": Cluster("mixtral-8x7b", "bf16", 2, 2, 2, 3, 100, MIXTRAL_LIKE),
    "small": Cluster("gpt-oss-20b", "mxfp4", 3, 2, 4, 5, 100, FINE_GRAINED),
    "medium": Cluster("olmoe-1b-7b", "bf16", 8, 2, 4, 10, 200, FINE_GRAINED),
    "large": Cluster("qwen3-30b-a3b", "bf16", 24, 2, 8, 10, 200, FINE_GRAINED),
    "real": Cluster("deepseek-v3", "fp8", 58, 4, 8, 9, 100, FINE_GRAINED),
}


def build(request: Request) -> Instance:
    """Make an instance of the family ``expert-parallel``."""
    cluster = CLUSTERS[request.size]
    architecture = ARCHITECTURES.get(cluster.architecture)
    model = architecture.model(layers=cluster.layers, precision=cluster.precision)
    size = architecture.expert_bytes(cluster.precision)
    ranks = cluster.nodes * cluster.gpus
    node = np.arange(ranks) // cluster.gpus
    sent = BATCH_TOKENS * model.top_k * architecture.hidden_size * BYTES_OUT_AND_BACK
    compute_ms = architecture.expert_flops / (GPU_TFLOPS * _FLOPS_PER_MS_AND_TFLOPS)
    near_ms, far_ms = (
        sent / (rate * _BYTES_PER_MS_AND_GB_S) + compute_ms for rate in (NODE_GB_S, NETWORK_GB_S)
    )
    memory_ms = size / (MEMORY_GB_S * _BYTES_PER_MS_AND_GB_S) + compute_ms
    latency_ms = np.where(node[:, None] == node, near_ms, far_ms)
    choices = draw_choices(
        cluster.routers[request.options["routing"]],
        Draws("expert-parallel", request.size, request.seed, "routes"),
        users=ranks,
        tokens=cluster.tokens,
        layers=cluster.layers,
        experts=model.experts,
        top_k=model.top_k,
    )
    demand = merge_choices(
        choices,
        np.repeat(np.arange(ranks), cluster.tokens),
        np.full(ranks, 1 / (ranks * cluster.tokens)),
    )
    names = [f"node-{n // cluster.gpus}-gpu-{n % cluster.gpus}" for n in range(ranks)]
    return Instance(
        name=request.name,
        models=(model,),
        server_names=tuple(names),
        capacity_bytes=np.full(ranks, cluster.slots * cluster.layers * size),
        user_names=tuple(f"{name}-rank" for name in names),
        user_model=np.zeros(ranks, dtype=np.int64),
        latency_ms=round_significant(latency_ms, LATENCY_DIGITS),
        cloud_latency_ms=round_significant(np.full(ranks, memory_ms), LATENCY_DIGITS),
        local_latency_ms=np.zeros(ranks),
        local_offsets=np.zeros(ranks + 1, dtype=np.int64),
        local_experts=np.zeros(0, dtype=np.int64),
        demand_user=demand.user,
        demand_layer=demand.layer,
        demand_offsets=demand.offsets,
        demand_experts=demand.experts,
        demand_rate=demand.rate,
    )


FAMILIES.register(
    Family(
        name="expert-parallel",
        summary="GPU-like networks: equal servers on fast links, each expert stored at least once",
        source="DeepSeek-AI 2024 (arXiv:2412.19437), section 3.4; DeepEP's measured links",
        sizes=tuple(CLUSTERS),
        build=build,
        options={"routing": ROUTINGS},
    )
)
