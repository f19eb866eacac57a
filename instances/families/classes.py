"""One family for each class of architecture, from Switch (K = 1) to 256 experts with K = 8.

Each comes with routing by the linear router and, as ``NAME-independent``, with independent draws
from lognormal popularities; both share models, network and storage, so that a comparison shows
what co-activation does. For Switch, Phi-3.5-MoE and DeepSeek no routing has been
published: they borrow the class of the models nearest to them in grain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from instances.architectures import ARCHITECTURES, PRECISIONS
from instances.families.assembly import MIXED_PRECISION, Workload, assemble
from instances.families.networks import NETWORK_OPTIONS, hidden_state, network_spec
from instances.families.spec import FAMILIES, Family, Request
from instances.problem import Instance
from instances.routing import FINE_GRAINED, MIXTRAL_LIKE, ROUTINGS, Router

PRECISION_CHOICES = (*PRECISIONS, MIXED_PRECISION)


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of one size of a family; ``tokens`` is the sample of each user's routing."""

    architecture: str
    layers: int
    servers: int
    users: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureClass:
    """A class of architectures: how it routes, and what its sizes are."""

    name: str
    summary: str
    source: str
    routers: Mapping[str, Router]
    shapes: Mapping[str, Shape]


CLASSES = (
    ArchitectureClass(
        name="switch",
        summary="Switch Transformer: K = 1, 8 to 128 experts of 9 MB",
        source="Fedus, Zoph, Shazeer 2022 (arXiv:2101.03961); fine-grained routing assumed",
        routers=FINE_GRAINED,
        shapes={
            "tiny": Shape("switch-base-8", 2, 2, 4, 200),
            "small": Shape("switch-base-8", 6, 3, 8, 400),
            "medium": Shape("switch-base-32", 12, 4, 16, 400),
            "large": Shape("switch-base-64", 12, 6, 32, 400),
            "real": Shape("switch-base-128", 12, 8, 50, 400),
        },
    ),
    ArchitectureClass(
        name="mixtral",
        summary="Mixtral 8x7B: 8 experts of 352 MB, K = 2, nearly uniform routing",
        source="Jiang et al. 2024 (arXiv:2401.04088); routing statistics of Mixtral-8x7B",
        routers=MIXTRAL_LIKE,
        shapes={
            "tiny": Shape("mixtral-8x7b", 2, 2, 3, 400),
            "small": Shape("mixtral-8x7b", 4, 3, 8, 400),
            "medium": Shape("mixtral-8x7b", 8, 3, 16, 400),
            "large": Shape("mixtral-8x7b", 16, 4, 32, 400),
            "real": Shape("mixtral-8x7b", 32, 4, 50, 400),
        },
    ),
    ArchitectureClass(
        name="sixteen-expert",
        summary="Phi-3.5-MoE: 16 experts of 157 MB, K = 2",
        source="Abdin et al. 2024 (arXiv:2404.14219); Mixtral-like routing assumed",
        routers=MIXTRAL_LIKE,
        shapes={
            "tiny": Shape("phi-3.5-moe", 1, 2, 3, 50),
            "small": Shape("phi-3.5-moe", 3, 3, 6, 200),
            "medium": Shape("phi-3.5-moe", 8, 3, 16, 400),
            "large": Shape("phi-3.5-moe", 16, 4, 32, 400),
            "real": Shape("phi-3.5-moe", 32, 6, 50, 400),
        },
    ),
    ArchitectureClass(
        name="gpt-oss",
        summary="gpt-oss-20b: 32 experts of 50 MB, K = 4, strong co-activation",
        source="OpenAI 2025 (arXiv:2508.10925); routing statistics of gpt-oss-20b",
        routers=FINE_GRAINED,
        shapes={
            "tiny": Shape("gpt-oss-20b", 1, 2, 2, 25),
            "small": Shape("gpt-oss-20b", 3, 3, 4, 100),
            "medium": Shape("gpt-oss-20b", 8, 3, 8, 200),
            "large": Shape("gpt-oss-20b", 16, 4, 16, 400),
            "real": Shape("gpt-oss-20b", 24, 4, 40, 400),
        },
    ),
    ArchitectureClass(
        name="fine-grained",
        summary="DeepSeek, OLMoE, Qwen3: 64 to 256 experts of 9 to 88 MB, K = 6 to 8",
        source="DeepSeek-AI 2024 (arXiv:2401.06066); routing statistics of OLMoE and Qwen3-30B-A3B",
        routers=FINE_GRAINED,
        shapes={
            "tiny": Shape("deepseek-v2-lite", 1, 2, 2, 12),
            "small": Shape("deepseek-v2-lite", 2, 3, 4, 60),
            "medium": Shape("olmoe-1b-7b", 8, 4, 8, 200),
            "large": Shape("deepseek-v3", 16, 6, 16, 200),
            "real": Shape("qwen3-30b-a3b", 48, 8, 16, 400),
        },
    ),
)


def _build(spec: ArchitectureClass, routing: str | None, request: Request) -> Instance:
    shape = spec.shapes[request.size]
    workload = Workload(
        architecture=ARCHITECTURES.get(shape.architecture),
        layers=shape.layers,
        precision=request.options["precision"],
        users=shape.users,
        tokens=shape.tokens,
        router=request.router or spec.routers[routing or request.options["routing"]],
    )
    stream = (spec.name, request.size, request.seed)
    return assemble(
        request.name,
        stream,
        workloads=(workload,),
        servers=shape.servers,
        spec=network_spec(request.options),
        hidden=hidden_state(request.options),
    )


def register_twins(
    *,
    name: str,
    summary: str,
    source: str,
    sizes: tuple[str, ...],
    build: Callable[[str | None, Request], Instance],
    precisions: tuple[str, ...],
    takes_router: bool,
) -> None:
    """Register a family and its twin with independent draws.

    ``build`` gets the fixed routing of the twin, or None where the request has it as an option;
    without ``precisions`` there is no such option. Both have those of the network; a router of the
    user's own is for the family alone.
    """
    widths = {"precision": precisions} if precisions else {}
    FAMILIES.register(
        Family(
            name=name,
            summary=summary,
            source=source,
            sizes=sizes,
            build=partial(build, None),
            options={"routing": ROUTINGS, **widths, **NETWORK_OPTIONS},
            takes_router=takes_router,
        )
    )
    FAMILIES.register(
        Family(
            name=f"{name}-independent",
            summary=f"{name} with independent draws from lognormal popularities",
            source=source,
            sizes=sizes,
            build=partial(build, "lognormal"),
            options={**widths, **NETWORK_OPTIONS},
        )
    )


for _spec in CLASSES:
    register_twins(
        name=_spec.name,
        summary=_spec.summary,
        source=_spec.source,
        sizes=tuple(_spec.shapes),
        build=partial(_build, _spec),
        precisions=PRECISION_CHOICES,
        takes_router=True,
    )
