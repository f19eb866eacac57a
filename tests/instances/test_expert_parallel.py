import numpy as np
import pytest

from heuristics import HEURISTICS
from instances.families import FAMILIES, generate
from instances.family_conformance import check_family
from instances.registry import run
from instances.result import StopReason

CHECKSUMS = {
    "tiny": "79a4017b5370734771548c292f9f4ec43c3ae4dfd451541104ea4a79ba7c1cc9",
    "small": "11e03627fc46e8eb42b46859a61c8e9734c212117eacc377caaf3a6c4314e29f",
}
"""SHA-256 of seed 0: the same on every machine, for ever."""


@pytest.mark.parametrize("size", CHECKSUMS)
def test_seed_0_never_changes(size):
    assert generate("expert-parallel", size=size, seed=0).checksum() == CHECKSUMS[size]


def test_conforms():
    assert not check_family(FAMILIES.get("expert-parallel"))


def test_latencies_by_hand():
    # gpt-oss-20b: 128 tokens * 4 experts * 2880 * 3 bytes = 4423680 bytes, 0.027648 ms at 160 GB/s
    # and 0.0884736 ms at 50; 2 * 24891840 operations at 3.35 TFLOPS take 0.01486080 ms; MXFP4 is
    # 17 / 4 bits, 13223790 bytes, 0.2066217 ms at 64 GB/s
    small = generate("expert-parallel", size="small", seed=1)
    assert small.latency_ms[0].tolist() == pytest.approx([0.0425088] * 4 + [0.1033344] * 4, 1e-5)
    assert small.latency_ms[7].tolist() == small.latency_ms[0, ::-1].tolist()
    assert small.cloud_latency_ms == pytest.approx(0.2214825, rel=1e-5)
    assert small.capacity_bytes.tolist() == [5 * 3 * 13223790] * 8
    assert small.demand_rate[small.demand_layer == 0].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("policy", ["global", "hierarchical"])
@pytest.mark.parametrize("size", ["tiny", "small", "medium"])
def test_the_published_balancer_applies(size, policy):
    instance = generate("expert-parallel", size=size, seed=0)
    method = HEURISTICS.get("load-balance")
    outcome = run(method, instance, rng=np.random.default_rng(0), policy=policy)
    assert outcome.stop_reason is StopReason.COMPLETED
    assert outcome.placement.stored.any(axis=0).all()  # every expert is somewhere
    outcome.placement.check_capacity(instance)
