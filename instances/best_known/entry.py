"""What the archive knows of one instance."""

import base64
import binascii
import math
from dataclasses import dataclass

import numpy as np

from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.result import relative_gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a value, a bound or a proof comes from.

    Parameters
    ----------
    method
        Name of the method.
    seconds
        Wall clock of that run of it.
    version
        Version of the code that ran.
    date
        Day of the run, UTC, ISO 8601.
    """

    method: str
    seconds: float
    version: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One instance with its best known value, bound and proof.

    Parameters
    ----------
    instance, family, size, seed
        Name, and what it is generated from.
    checksum
        SHA-256 of the instance's content.
    saving_ms, latency_ms
        Exact values of the placement, rounded to the nearest double, ms per token.
    found
        Who has found the placement.
    bound_saving_ms
        Lowest certified upper bound on the saving of any placement, ms per token; infinite when
        there is none.
    bounded
        Who has certified it; None without a bound.
    proven
        Who has proved that no placement saves more, to 1e-9 relative; None when nobody has.
    placement
        The placement, packed by :func:`pack_placement`.
    """

    instance: str
    family: str
    size: str
    seed: int
    checksum: str
    saving_ms: float
    latency_ms: float
    found: Provenance
    bound_saving_ms: float = math.inf
    bounded: Provenance | None = None
    proven: Provenance | None = None
    placement: str

    def __post_init__(self) -> None:
        for name in ("saving_ms", "latency_ms"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise InputError(name, f"{value} is not a finite number >= 0")
        if math.isfinite(self.bound_saving_ms) != (self.bounded is not None):
            raise InputError("bound_saving_ms", "a bound and its method belong together")
        # the exact value may lie an ulp below its double, and the bound in between
        if not self.bound_saving_ms >= math.nextafter(self.saving_ms, -math.inf):
            raise InputError(
                "bound_saving_ms",
                f"{self.bound_saving_ms} is below saving_ms, {self.saving_ms}",
            )

    @property
    def gap(self) -> float:
        """Share of the certified bound that is not reached; infinite without one."""
        return relative_gap(self.saving_ms, self.bound_saving_ms)


def pack_placement(placement: Placement) -> str:
    """Return a placement as text: bits of ``stored`` row by row, eight to a byte, in base64.

    The first bit is the highest of the first byte (``numpy.packbits``); a last byte is filled up
    with zeros.
    """
    return base64.b64encode(np.packbits(placement.stored).tobytes()).decode("ascii")


def unpack_placement(text: str, instance: Instance) -> Placement:
    """Return the placement that :func:`pack_placement` has packed.

    Raises
    ------
    InputError
        When the text is no placement of that instance.
    """
    try:
        packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except binascii.Error as error:
        raise InputError("placement", f"not base64: {error}") from None
    shape = (instance.num_servers, instance.num_experts)
    needed = math.prod(shape)
    if packed.size != -(-needed // 8):
        raise InputError(
            "placement", f"{packed.size} bytes where {needed} bits (servers x experts) are needed"
        )
    bits = np.unpackbits(packed)
    if bits[needed:].any():
        raise InputError("placement", f"bits beyond the {needed} of servers x experts are set")
    return Placement(bits[:needed].reshape(shape).astype(np.bool_))
