"""The catalogue of real mixture-of-experts models: their figures and where these come from.

The figures live in ``architectures.json`` beside this file, each with its source. Shared experts
and everything else that every token needs stay on the device; only routed experts are placed.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources

from instances.errors import InputError
from instances.model import Model
from instances.registry import Registry

PRECISIONS: dict[str, Fraction] = {
    "bf16": Fraction(16),
    "fp8": Fraction(8),
    "int8": Fraction(8),
    "int4": Fraction(4),
    "mxfp4": Fraction(17, 4),
}
"""Bits for each stored parameter. MXFP4 keeps one 8-bit scale for every 32 values of 4 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A published model: what placement, transfer and compute need of it.

    Parameters
    ----------
    name
        Registry name, the published name in lower case.
    published_name
        As its authors write it.
    moe_layers, total_layers
        Layers with routed experts, and all transformer layers.
    dense_layers
        Layers without routed experts, ascending, numbered among all layers.
    experts_per_layer, top_k
        Routed experts of a layer, and how many of them a token uses.
    shared_experts, shared_intermediate_total
        Experts of a layer that every token uses (kept on the device), and their total width.
    hidden_size, expert_intermediate_size
        Width of the hidden state, and inner width of an expert.
    gated
        An expert has three matrices (gate, up, down) rather than two.
    params_per_expert
        Parameters of one routed expert.
    non_expert_bytes_bf16_est, total_params_est, active_params_est
        Estimates: bytes of everything that is not a routed expert, all parameters, parameters
        that one token uses.
    source, note
        Where the figures come from, and what to know about them.
    """

    name: str
    published_name: str
    moe_layers: int
    total_layers: int
    experts_per_layer: int
    top_k: int
    shared_experts: int
    shared_intermediate_total: int
    hidden_size: int
    expert_intermediate_size: int
    gated: bool
    params_per_expert: int
    non_expert_bytes_bf16_est: int
    total_params_est: int
    active_params_est: int
    source: str
    note: str
    dense_layers: tuple[int, ...] = ()

    @property
    def expert_flops(self) -> int:
        """Floating-point operations of one expert for one token: a multiply-add a parameter."""
        return 2 * self.params_per_expert

    def expert_bytes(self, precision: str = "bf16") -> int:
        """Size of one expert, bytes, rounded up.

        Raises
        ------
        InputError
            When the precision is unknown.
        """
        return _whole_bytes(self.params_per_expert, precision)

    def hidden_state_bytes(self, precision: str = "bf16") -> int:
        """Size of the hidden state of one token, which travels to an expert and back, bytes.

        Raises
        ------
        InputError
            When the precision is unknown.
        """
        return _whole_bytes(self.hidden_size, precision)

    def model(self, *, layers: int | None = None, precision: str = "bf16") -> Model:
        """Make the model that an instance holds.

        Parameters
        ----------
        layers
            Keep only this many MoE layers; None keeps all.
        precision
            Width of the stored parameters, a key of :data:`PRECISIONS`.

        Raises
        ------
        InputError
            When there are not that many layers, or the precision is unknown.
        """
        depth = self.moe_layers if layers is None else layers
        if (
            isinstance(depth, bool)
            or not isinstance(depth, int)
            or not (1 <= depth <= self.moe_layers)
        ):
            raise InputError(
                "layers", f"{layers!r} is not in 1..{self.moe_layers}, the layers of {self.name}"
            )
        return Model.uniform(
            self.name,
            layers=depth,
            experts=self.experts_per_layer,
            top_k=self.top_k,
            expert_bytes=self.expert_bytes(precision),
        )


def precision_bits(precision: str) -> Fraction:
    """Bits of one parameter.

    Raises
    ------
    InputError
        When the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise InputError("precision", f"{precision!r} is not one of {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def _whole_bytes(count: int, precision: str) -> int:
    bits = count * precision_bits(precision)
    return -(-bits.numerator // (8 * bits.denominator))  # exact ceiling


def _load() -> Registry[Architecture]:
    text = resources.files("instances").joinpath("architectures.json").read_text("utf-8")
    registry = Registry[Architecture]("model")
    for record in json.loads(text)["architectures"]:
        record["dense_layers"] = tuple(record.get("dense_layers", ()))
        registry.register(Architecture(**record))
    return registry


ARCHITECTURES = _load()
