"""Plans measured on traffic that they were not made for, beside caches that follow it."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.studies import Cache, Measurement, Plan, Study
from formulations import BOUNDS
from instances.draws import Draws
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, run
from instances.routing import CLASSES, draw_routes
from instances.simulation.caches import POLICIES, replay_caches
from instances.simulation.held_out import HeldOut, hold_out, join_tokens
from instances.simulation.queueing import Queueing
from instances.simulation.simulator import simulate
from instances.traces import Routes

SYNTHETIC = (("gpt-oss", "medium"), ("switch", "small"))
"""Families and sizes whose network and model synthetic traffic runs on: K = 4 and K = 1."""

BOUND = BOUNDS.get("server-set")
"""What tells how low any placement could come on the held-out part."""

LOAD_SHARE = 0.1
"""Share of each latency that keeps a server busy, where plans are looked at under load: experts of
gpt-oss-20b take 0.05 to 1 ms on the servers of the families, whose latencies begin at 4 ms."""

_REQUESTS, _LENGTH = 8, 100
"""Requests of each user and tokens of each request of synthetic traffic."""


def synthetic_traffic(family: str, size: str, seed: int) -> tuple[Instance, Routes, str]:
    """Return an instance, and requests drawn from the calibrated router for its model.

    Every request has a topic of its own beside that of its group, words of its own, and an order
    in which consecutive tokens share experts: what one request teaches about the next is what the
    router was fitted to, no more.
    """
    instance = generate(family, size=size, seed=seed)
    model = instance.models[0]
    lengths = np.full(_REQUESTS * instance.num_users, _LENGTH, dtype=np.int64)
    experts = draw_routes(
        CLASSES["fine-grained"],
        Draws("held-out", family, size, seed),
        lengths=lengths,
        layers=model.layers,
        experts=model.experts,
        top_k=model.top_k,
    )
    routes = Routes(
        experts=experts.astype(np.int16), offsets=np.concatenate([[0], np.cumsum(lengths)])
    )
    return instance, routes, "drawn from the fine-grained router"


def study(
    instance: Instance,
    routes: Routes,
    grouping: NDArray[np.int64] | None,
    *,
    traffic: str,
    synthetic: bool,
    splits: Sequence[str],
    methods: Sequence[Algorithm],
    seed: int,
    time_limit_s: float,
) -> Study:
    """Split a trace in each of the given ways, plan with one part, measure on the other.

    Raises
    ------
    InputError
        When the trace does not fit the instance, or cannot be split.
    """
    parts = [hold_out(instance, routes, grouping, split) for split in splits]  # mistakes first
    return Study(
        traffic=traffic,
        synthetic=synthetic,
        instance=instance.name,
        users=instance.num_users,
        servers=instance.num_servers,
        layers=instance.num_layers,
        experts=max(model.experts for model in instance.models),
        top_k=instance.top_k,
        requests=routes.num_requests,
        tokens=routes.num_tokens,
        seed=seed,
        time_limit_s=time_limit_s,
        load_share=LOAD_SHARE,
        measurements=tuple(
            _measure(split, part, methods, seed, time_limit_s)
            for split, part in zip(splits, parts, strict=True)
        ),
    )


def _measure(
    split: str, part: HeldOut, methods: Sequence[Algorithm], seed: int, time_limit_s: float
) -> Measurement:
    cloud_ms = evaluate(part.measured, Placement.empty(part.measured)).latency_ms
    best_ms, best = cloud_ms, Placement.empty(part.measured)
    plans = []
    for method in methods:
        planned, reason = _place(method, part.planned, seed, time_limit_s)
        hindsight, other = _place(method, part.measured, seed, time_limit_s)
        for placement in (planned, hindsight):
            if placement is not None and _latency(part.measured, placement) < best_ms:
                best_ms, best = _latency(part.measured, placement), placement
        plans.append(
            Plan(
                method=method.name,
                promised_ms=_latency(part.planned, planned),
                measured_ms=_latency(part.measured, planned),
                hindsight_ms=_latency(part.measured, hindsight),
                load_factor=_load_factor(part, planned, seed),
                reason=reason or other,
            )
        )
    proof = run(
        BOUND,
        part.measured,
        rng=np.random.default_rng(seed),
        time_limit=time_limit_s,
        start=best,
    )
    certified = proof.bound_certified and math.isfinite(proof.bound_saving_ms)
    tokens = join_tokens(part.warm_up, part.replay)
    caches = []
    for policy in POLICIES:
        replayed = replay_caches(part.measured, tokens, policy, uncounted=len(part.warm_up))
        caches.append(
            Cache(
                policy=policy,
                measured_ms=replayed.mean.mean,
                fetched_bytes=replayed.fetched_bytes / replayed.tokens,
            )
        )
    return Measurement(
        split=split,
        cloud_ms=cloud_ms,
        best_ms=best_ms,
        bound_ms=cloud_ms - proof.bound_saving_ms if certified else math.nan,
        plans=tuple(plans),
        caches=tuple(caches),
    )


def _place(
    method: Algorithm, instance: Instance, seed: int, time_limit_s: float
) -> tuple[Placement | None, str]:
    """Return a placement, or None and why there is none."""
    outcome = run(method, instance, rng=np.random.default_rng(seed), time_limit=time_limit_s)
    if outcome.placement is None:
        return None, outcome.reason or str(outcome.stop_reason.value)
    if not evaluate(instance, outcome.placement).feasible:
        return None, "its placement does not fit the servers"
    return outcome.placement, ""


def _load_factor(part: HeldOut, placement: Placement | None, seed: int) -> float:
    if placement is None:
        return math.nan
    queueing = Queueing(service_share=LOAD_SHARE)
    result = simulate(part.measured, placement, part.replay, seed=seed, queueing=queueing)
    return result.mean.mean / result.alone_ms if result.alone_ms > 0 else 1.0


def _latency(instance: Instance, placement: Placement | None) -> float:
    return math.nan if placement is None else evaluate(instance, placement).latency_ms
