import json
from pathlib import Path

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES
from instances.documents import instance_to_dict
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import FAMILIES, Family, generate
from instances.families.spec import Request
from instances.placement import Placement
from instances.structure.clauses import build_clauses

CHECKSUMS = json.loads(Path(__file__).with_name("family_checksums.json").read_text())
"""SHA-256 of seed 0 of these families, tiny and small: the same on every machine, for ever."""

CLASSES = ("switch", "mixtral", "sixteen-expert", "gpt-oss", "fine-grained", "mixed")
SIZES = ("tiny", "small", "medium", "large", "real")
ALL = [f"{name}{twin}" for name in CLASSES for twin in ("", "-independent")]


def test_the_families_are_there():
    assert [family.name for family in FAMILIES][: len(ALL) + 1] == ["tiny", *ALL]
    assert FAMILIES.get("tiny").sizes == ("tiny",)
    for name in ALL:
        assert FAMILIES.get(name).sizes == SIZES


@pytest.mark.parametrize(("name", "size"), [key.split("/") for key in CHECKSUMS])
def test_seed_0_never_changes(name, size):
    assert generate(name, size=size, seed=0).checksum() == CHECKSUMS[f"{name}/{size}"]


def test_every_tiny_and_small_instance_is_pinned():
    assert set(CHECKSUMS) == {"tiny/tiny", *(f"{n}/{s}" for n in ALL for s in ("tiny", "small"))}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", ["tiny", "small", "medium"])
def test_rates_latencies_and_storage(name, size):
    instance = generate(name, size=size, seed=1)
    assert instance.name == f"{name}-{size}-s1"
    # Every layer of a model carries the share of the users who run it; all models together, 1.
    model = instance.user_model[instance.demand_user]
    for index, shape in enumerate(instance.models):
        mine = model == index
        by_layer = np.bincount(
            instance.demand_layer[mine], instance.demand_rate[mine], minlength=shape.layers
        )
        assert np.allclose(by_layer, by_layer[0], rtol=1e-7)
    first_layers = instance.demand_rate[instance.demand_layer == 0].sum()
    assert first_layers == pytest.approx(1, rel=1e-7)
    total = instance.expert_bytes.sum()
    assert np.all(instance.capacity_bytes >= 0.199 * total)
    assert np.all(instance.capacity_bytes <= 0.261 * total)
    assert np.all(np.diff(instance.demand_offsets) == [
        instance.models[m].top_k for m in model
    ])  # fmt: skip
    # Numbers are short in the file, whatever the machine.
    document = instance_to_dict(instance)
    for rate in document["demands"]["rate"]:
        assert rate == float(f"{rate:.8e}")
    for user in document["users"]:
        for latency in [*user["latency_ms"], user["cloud_latency_ms"]]:
            assert latency == float(f"{latency:.5e}")


@pytest.mark.parametrize(
    ("name", "size", "layers", "servers", "users"),
    [
        ("mixtral", "small", 4, 3, 8),
        ("mixtral", "real", 32, 4, 50),
        ("switch", "real", 12, 8, 50),
        ("gpt-oss", "real", 24, 4, 40),
        ("fine-grained", "real", 48, 8, 16),
    ],
)
def test_promised_shapes(name, size, layers, servers, users):
    instance = generate(name, size=size, seed=0)
    assert (instance.num_layers, instance.num_servers, instance.num_users) == (
        layers,
        servers,
        users,
    )
    model = instance.models[0]
    architecture = ARCHITECTURES.get(model.name)
    assert model.experts == architecture.experts_per_layer
    assert model.top_k == architecture.top_k
    assert size != "real" or layers == architecture.moe_layers


@pytest.mark.parametrize("name", CLASSES)
def test_twins_differ_in_routing_alone(name):
    one = generate(name, size="small", seed=2)
    other = generate(f"{name}-independent", size="small", seed=2)
    for field in ("capacity_bytes", "latency_ms", "cloud_latency_ms", "expert_bytes"):
        assert np.array_equal(getattr(one, field), getattr(other, field))
    assert not np.array_equal(one.demand_rate, other.demand_rate)
    drawn = generate(name, size="small", seed=2, routing="lognormal")
    assert np.array_equal(drawn.demand_rate, other.demand_rate)
    assert drawn.name == f"{name}-small-s2-lognormal"


def test_co_activation_makes_fewer_sets():
    for name in ("gpt-oss", "fine-grained"):
        one = generate(name, size="small", seed=0)
        other = generate(f"{name}-independent", size="small", seed=0)
        assert one.num_rows < 0.85 * other.num_rows


def test_precision_changes_sizes_alone():
    wide, narrow, mixed = (
        generate("mixtral", size="tiny", seed=0, precision=precision)
        for precision in ("bf16", "int4", "mixed")
    )
    assert wide.name == "mixtral-tiny-s0"
    assert mixed.name == "mixtral-tiny-s0-mixed"
    assert np.array_equal(wide.expert_bytes, 4 * narrow.expert_bytes)
    assert np.array_equal(wide.demand_rate, mixed.demand_rate)
    sizes = np.sort(mixed.models[0].expert_bytes, axis=1) * 16 // wide.expert_bytes[0]
    assert sizes.tolist() == [[4, 4, 8, 8, 8, 8, 16, 16]] * 2
    assert generate("mixtral", size="tiny", seed=0, routing="uniform", precision="fp8").name == (
        "mixtral-tiny-s0-uniform-fp8"
    )


@pytest.mark.parametrize("size", SIZES)
def test_mixed_has_models_of_unequal_size_and_experts_on_devices(size):
    instance = generate("mixed", size=size, seed=0)
    assert len(instance.models) >= 2
    assert instance.models[0].uniform_bytes is None
    others = [model.uniform_bytes for model in instance.models[1:]]
    assert None not in others
    assert len({*others, *instance.models[0].expert_bytes.ravel().tolist()}) > len(others) + 1
    assert set(instance.user_model.tolist()) == set(range(len(instance.models)))
    local = np.diff(instance.local_offsets)
    assert set(local.tolist()) == {0, instance.models[0].layers}
    assert np.all((instance.local_latency_ms > 0) == (local > 0))


def oddities(instance):
    """Name everything unusual that an instance of the family tiny holds."""
    clauses = build_clauses(instance)
    local = [set(instance.user_local_experts(u).tolist()) for u in range(instance.num_users)]
    models = instance.models
    first = instance.model_expert_offset[instance.user_model]
    width = np.array([model.experts for model in models])[instance.user_model]
    rows = [
        {
            int(first[u] + layer * width[u] + e)
            for e in instance.demand_experts[
                instance.demand_offsets[d] : instance.demand_offsets[d + 1]
            ]
        }
        for d, (u, layer) in enumerate(
            zip(instance.demand_user, instance.demand_layer, strict=True)
        )
    ]
    found = {f"K = {instance.models[0].top_k}", f"{instance.num_servers} servers"}
    tests = {
        "several models": len(models) > 1,
        "unequal models": len({int(m.expert_bytes[0, 0]) for m in models}) > 1,
        "unequal inside": any(m.uniform_bytes is None for m in models),
        "local experts": instance.local_experts.size > 0,
        "local slower than a server": any(
            experts and instance.local_latency_ms[u] > instance.latency_ms[u].min()
            for u, experts in enumerate(local)
        ),
        "wholly local row": any(
            row <= local[u] for row, u in zip(rows, instance.demand_user, strict=True)
        ),
        "partly local row": any(
            row & local[u] and not row <= local[u]
            for row, u in zip(rows, instance.demand_user, strict=True)
        ),
        "slower than the cloud": bool(
            np.any(instance.latency_ms > instance.cloud_latency_ms[:, None])
        ),
        "as slow as the cloud": bool(
            np.any(instance.latency_ms == instance.cloud_latency_ms[:, None])
        ),
        "ties": any(len(set(t)) < len(t) for t in instance.latency_ms.tolist()),
        "user without demand": len(set(instance.demand_user.tolist())) < instance.num_users,
        "short row": bool(np.any(np.diff(instance.demand_offsets) < instance.top_k)),
        "two layers": any(model.layers > 1 for model in models),
        "saves": len(clauses) > 0,
    }
    return found | {name for name, there in tests.items() if there}


def test_tiny_holds_every_oddity_and_stays_tiny():
    seen = {}
    for seed in range(48):
        instance = generate("tiny", size="tiny", seed=seed)
        for name in oddities(instance):
            seen[name] = seen.get(name, 0) + 1
        subsets = np.arange(2**instance.num_experts)[:, None] >> np.arange(instance.num_experts) & 1
        sizes = subsets @ instance.expert_bytes
        choices = [int(np.sum(sizes <= capacity)) for capacity in instance.capacity_bytes]
        assert np.prod(choices) <= 100_000
    for name in (
        *(f"K = {k}" for k in (1, 2, 3, 4)),
        *(f"{n} servers" for n in (1, 2, 3, 4)),
    ):
        assert seen[name] == 12
    rare = {name for name, count in seen.items() if count < 3}
    assert not rare
    assert len(seen) == 22
    assert seen["saves"] > 40


def test_tiny_is_worth_solving():
    saved = 0
    for seed in range(40):
        instance = generate("tiny", size="tiny", seed=seed)
        rng = np.random.default_rng(seed)
        best = 0.0
        for _ in range(60):  # a blind search finds a saving on most of them
            stored = np.zeros((instance.num_servers, instance.num_experts), dtype=bool)
            for n in range(instance.num_servers):
                used = 0
                for x in rng.permutation(instance.num_experts):
                    if used + instance.expert_bytes[x] <= instance.capacity_bytes[n]:
                        stored[n, x] = True
                        used += int(instance.expert_bytes[x])
            best = max(best, evaluate(instance, Placement(stored)).saving_ms)
        saved += best > 0
    assert saved >= 30


@pytest.mark.parametrize(
    ("size", "seed", "options", "message"),
    [
        ("huge", 0, {}, "size: 'huge' is not one of tiny, small, medium, large, real"),
        (None, 0, {}, "size: None is not one of tiny"),
        ("tiny", -1, {}, "seed: -1 is not a whole number >= 0"),
        ("tiny", 1.0, {}, r"seed: 1\.0 is not a whole number >= 0"),
        ("tiny", True, {}, "seed: True is not a whole number >= 0"),
        ("tiny", "0", {}, "seed: '0' is not a whole number >= 0"),
        ("tiny", 0, {"colour": "red"}, "colour: family 'mixtral' has no such option; it has: rout"),
        ("tiny", 0, {"routing": "zipf"}, "routing: 'zipf' is not one of linear-router, lognormal"),
        ("tiny", 0, {"precision": 4}, "precision: 4 is not one of bf16, fp8"),
        ("tiny", 0, {"precision": []}, r"precision: \[\] is not one of bf16, fp8"),
    ],
)
def test_wrong_requests_are_refused(size, seed, options, message):
    with pytest.raises(InputError, match=message):
        generate("mixtral", size=size, seed=seed, **options)


def test_options_that_a_family_does_not_have_are_refused():
    with pytest.raises(
        InputError, match=r"family: 'mixtrel' is not one of .*did you mean 'mixtral'"
    ):
        generate("mixtrel", size="tiny", seed=0)
    with pytest.raises(
        InputError, match="routing: family 'mixtral-independent' has no such option"
    ):
        generate("mixtral-independent", size="tiny", seed=0, routing="uniform")
    with pytest.raises(InputError, match="precision: family 'mixed' has no such option"):
        generate("mixed", size="tiny", seed=0, precision="bf16")
    with pytest.raises(InputError, match="routing: family 'tiny' has no such option; it has: none"):
        generate("tiny", size="tiny", seed=0, routing="uniform")


def test_seeds_of_any_size():
    large = generate("switch", size="tiny", seed=2**70)
    assert large.name == f"switch-tiny-s{2**70}"
    assert large.checksum() != generate("switch", size="tiny", seed=2**70 + 1).checksum()


def test_a_family_of_ones_own(tiny):
    seen = []

    def build(request: Request):
        seen.append(request)
        return tiny

    family = Family(
        name="own",
        summary="",
        source="",
        sizes=("s", "m"),
        build=build,
        options={"mode": ("a", "b"), "kind": ("x", "y")},
    )
    assert family.generate("m", 4, kind="y") is tiny
    assert seen[0].options == {"mode": "a", "kind": "y"}
    assert seen[0].name == "own-m-s4-y"
    family.generate("s", 0, mode="a")  # the default, said aloud
    assert seen[1].name == "own-s-s0"
