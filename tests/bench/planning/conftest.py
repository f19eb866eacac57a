"""A small model, four boxes and a trace, as the files that an engineer has."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.planning.inputs import Request

MODEL = """\
format = "moeplace/architecture"
version = 1
name = "toy-moe"
moe_layers = 3
experts_per_layer = 6
top_k = 2
hidden_size = 100
expert_intermediate_size = 50
"""
EXPERT_BYTES = 3 * 100 * 50 * 2

NETWORK = """\
format = "moeplace/network"
version = 1

[[servers]]
name = "hall <a>"
capacity_bytes = 310_000

[[servers]]
name = "hall & b"
capacity_bytes = 270_000

[[servers]]
name = "office"
capacity_bytes = 170_000

[[users]]
name = "ann <b>"
latency_ms = [1.0, 3.0, 5.0]
cloud_latency_ms = 20.0

[[users]]
name = "bob"
latency_ms = [4.0, 1.0, 3.0]
cloud_latency_ms = 15.0

[[users]]
name = "eve"
latency_ms = [30.0, 6.0, 0.5]
cloud_latency_ms = 25.0

[[users]]
name = "idle"
latency_ms = [1.0, 1.0, 1.0]
cloud_latency_ms = 10.0
"""


@dataclass(frozen=True)
class Files:
    """Paths of a model, a network, a trace and counts."""

    folder: Path
    model: Path
    network: Path
    trace: Path
    counts: Path

    def request(self) -> Request:
        """What a plan of these files is made for."""
        return Request(
            model=str(self.model),
            precision="bf16",
            network=str(self.network),
            recording=str(self.trace),
            holds_counts=False,
            users=str(self.folder / "users.json"),
        )

    def words(self) -> list[str]:
        """The same on the command line."""
        return [
            *("plan", "--model", str(self.model), "--network", str(self.network)),
            *("--trace", str(self.trace), "--users", str(self.folder / "users.json")),
            *("-o", str(self.folder / "placement.json")),
        ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("plan")
    rng = np.random.default_rng(7)
    popularity = rng.lognormal(sigma=1.0, size=(6, 3, 6))
    tokens = 40
    experts = np.array(
        [
            [rng.choice(6, size=2, replace=False, p=row / row.sum()) for row in popularity[request]]
            for request in range(6)
            for _ in range(tokens)
        ],
        dtype=np.int64,
    )
    np.savez(folder / "routes.npz", experts=experts, offsets=np.arange(7) * tokens)
    (folder / "users.json").write_text('["ann <b>", "bob", "eve", "ann <b>", "bob", "eve"]')
    (folder / "toy.toml").write_text(MODEL)
    (folder / "boxes.toml").write_text(NETWORK)
    lines = ["layer,expert,count"]
    for layer in range(3):
        for expert in range(6):
            lines.append(f"{layer},{expert},{int((experts[:, layer] == expert).sum())}")
    (folder / "counts.csv").write_text("\n".join(lines) + "\n")
    return Files(
        folder=folder,
        model=folder / "toy.toml",
        network=folder / "boxes.toml",
        trace=folder / "routes.npz",
        counts=folder / "counts.csv",
    )
