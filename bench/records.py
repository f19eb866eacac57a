"""What the store keeps of an instance and of an attempt; bench/schema.py explains each field."""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.incumbent import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """The facts about an instance that the store keeps; see the schema."""

    checksum: str
    name: str
    family: str
    size: str
    seed: int | None
    options: Mapping[str, Any]
    model_shapes: tuple[Mapping[str, Any], ...]
    server_shapes: tuple[Mapping[str, Any], ...]
    models: int
    servers: int
    users: int
    layers: int
    experts: int
    top_k: int
    rows: int
    clauses: int
    empty_latency_ms: float
    code_version: str
    plugin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptKey:
    """What makes two attempts the same attempt.

    Parameters
    ----------
    checksum
        The instance.
    algorithm, parameters
        The method, and its own parameters as JSON with sorted keys.
    seed
        None for a method that is not randomised.
    time_limit
        Seconds, or None.
    start
        ``auto`` or ``none``; empty for a method that takes no start.
    """

    checksum: str
    algorithm: str
    parameters: str = "{}"
    seed: int | None = None
    time_limit: float | None = None
    start: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, and which code ran."""

    status: str
    stop_reason: str
    code_version: str
    plugin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One finished attempt; see the schema."""

    key: AttemptKey
    exact: bool
    status: str
    stop_reason: str
    reason: str
    seconds: float
    started_at: str
    code_version: str
    environment: int
    memory_limit_bytes: int | None = None
    start_seconds: float = math.nan
    saving_ms: float = math.nan
    latency_ms: float = math.nan
    bound_saving_ms: float = math.inf
    claimed_saving_ms: float = math.nan
    guarantee: str = ""
    guarantee_ratio: float = math.nan
    bound_certified: bool = False
    threads: int = 1
    plugin: str = ""
    cores: str = ""
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)
    placement: Mapping[str, Any] | None = field(default=None, repr=False)
    trajectory: tuple[Step, ...] = field(default=(), repr=False)
