"""A mixture-of-experts model: only what placement needs of it."""

import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.arrays import frozen_array
from instances.errors import InputError

MAX_BYTES = 2**62
"""Largest capacity, and largest sum of expert sizes: sums then fit into int64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A mixture-of-experts model.

    Parameters
    ----------
    name
        Unique within an instance.
    expert_bytes
        Size of every expert, bytes; int64, shape (layers, experts). Sizes may differ.
    top_k
        Most experts of one layer that a token uses together.

    Raises
    ------
    InputError
        When a size is not positive or ``top_k`` does not lie in 1..experts.
    """

    name: str
    expert_bytes: NDArray[np.int64]
    top_k: int

    def __post_init__(self) -> None:
        sizes = frozen_array(self.expert_bytes, np.int64, "expert_bytes", ndim=2)
        object.__setattr__(self, "expert_bytes", sizes)
        object.__setattr__(self, "top_k", operator.index(self.top_k))
        if sizes.size == 0:
            raise InputError("expert_bytes", f"shape {sizes.shape} holds no expert")
        bad = np.argwhere(sizes <= 0)
        if bad.size:
            layer, expert = bad[0]
            raise InputError(
                f"expert_bytes[{layer}][{expert}]",
                f"{sizes[layer, expert]} is not a positive number of bytes",
            )
        if not 1 <= self.top_k <= self.experts:
            raise InputError("top_k", f"{self.top_k} is not in 1..{self.experts}")

    @property
    def layers(self) -> int:
        """Number of MoE layers."""
        return int(self.expert_bytes.shape[0])

    @property
    def experts(self) -> int:
        """Number of experts in each layer."""
        return int(self.expert_bytes.shape[1])

    @property
    def uniform_bytes(self) -> int | None:
        """The size that all experts share, or None when sizes differ."""
        first = int(self.expert_bytes[0, 0])
        return first if bool(np.all(self.expert_bytes == first)) else None

    @classmethod
    def uniform(
        cls, name: str, *, layers: int, experts: int, top_k: int, expert_bytes: int
    ) -> "Model":
        """Make a model whose experts all have the same size."""
        sizes = np.full((layers, experts), expert_bytes, dtype=np.int64)
        return cls(name=name, expert_bytes=sizes, top_k=top_k)
