"""``moeplace simulate``: tokens walk through the layers under a placement."""

import argparse
import math
import re
from typing import Any

import numpy as np

from bench.commands.output import print_block, print_columns, print_json
from bench.formats import MISSING, plural
from bench.spinner import spinning
from bench.traces import read_trace
from instances.errors import InputError
from instances.files import read_instance, read_placement
from instances.problem import Instance
from instances.simulation.queueing import Queueing
from instances.simulation.simulator import PERCENTILES, Simulation, simulate
from instances.simulation.tokens import Tokens, draw_tokens, replay_tokens

DEFAULT_TOKENS = 20_000

_DOUBTFUL = 0.35
"""Correlation of neighbouring batches that 32 independent ones have once in twenty times."""


def execute(arguments: argparse.Namespace) -> int:
    """Simulate and print what tokens, users and servers met."""
    queueing = _queueing(arguments)
    instance = read_instance(arguments.file)
    placement = read_placement(arguments.placement, instance)
    tokens = _tokens(arguments, instance)
    with spinning(f"simulating {plural(len(tokens), 'token')}"):
        result = simulate(
            instance,
            placement,
            tokens,
            seed=arguments.seed,
            jitter=arguments.jitter,
            queueing=queueing,
        )
    if arguments.json:
        print_json(_as_json(instance, result))
    else:
        _print(arguments, instance, result, queueing)
    return 0


def _queueing(arguments: argparse.Namespace) -> Queueing | None:
    if arguments.service is None:
        for name in ("service_law", "arrivals"):
            if getattr(arguments, name) is not None:
                option = name.replace("_", "-")
                raise InputError(f"--{option}", "needs --service: without it nobody queues")
        return None
    share, times = None, None
    if len(arguments.service) == 1 and arguments.service[0].endswith("%"):
        share = _number(arguments.service[0].removesuffix("%")) / 100
    else:
        times = tuple(_number(word) for word in arguments.service)
    try:
        return Queueing(
            service_ms=times,
            service_share=share,
            law=arguments.service_law or "fixed",
            arrivals_per_s=arguments.arrivals,
        )
    except InputError as error:
        raise InputError(f"--{error.field}", error.problem) from None


def _number(word: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", word):
        raise InputError("--service", f"{word!r} is neither a number of ms nor a percentage")
    return float(word)


def _tokens(arguments: argparse.Namespace, instance: Instance) -> Tokens:
    if arguments.routes is None:
        if arguments.users is not None:
            raise InputError("--users", "needs --routes: drawn tokens have their users")
        count = DEFAULT_TOKENS if arguments.tokens is None else arguments.tokens
        return draw_tokens(instance, count, np.random.default_rng(arguments.seed))
    tokens = replay_tokens(instance, *read_trace(arguments.routes, instance, arguments.users))
    if arguments.tokens is None:
        return tokens
    if not 1 <= arguments.tokens <= len(tokens):
        raise InputError(
            "--tokens", f"{arguments.tokens} is not in 1..{len(tokens)}, the tokens of the trace"
        )
    first = slice(arguments.tokens)
    return Tokens(
        user=tokens.user[first],
        experts=tokens.experts[first],
        request=tokens.request[first],
        rate=tokens.rate,
    )


def _as_json(instance: Instance, result: Simulation) -> dict[str, Any]:
    places = _places(instance)
    content: dict[str, Any] = {
        "instance": instance.name,
        "tokens": result.tokens,
        "mean_ms": result.mean.mean,
        "half_width_ms": result.mean.half_width,
        "confidence": 0.99,
        "latency_ms": result.static_ms,
        "alone_ms": result.alone_ms,
        "percentiles_ms": {
            f"p{percent}": value
            for percent, value in zip(PERCENTILES, result.percentiles_ms, strict=True)
        },
        "users_ms": dict(zip(instance.user_names, result.user_ms.tolist(), strict=True)),
        "user_tokens": dict(zip(instance.user_names, result.user_tokens.tolist(), strict=True)),
        "fairness": result.fairness,
        "worst_user": None if result.worst_user is None else instance.user_names[result.worst_user],
        "layers_ms": {
            model.name: result.layer_ms[first:last].tolist()
            for model, first, last in zip(
                instance.models,
                instance.model_layer_offset[:-1],
                instance.model_layer_offset[1:],
                strict=True,
            )
        },
        "call_shares": dict(zip(places, result.call_shares.tolist(), strict=True)),
    }
    if result.load is not None and result.queue_ms is not None:
        content["load"] = dict(zip(instance.server_names, result.load.tolist(), strict=True))
        content["queue_ms"] = dict(
            zip(instance.server_names, result.queue_ms.tolist(), strict=True)
        )
        content["batch_correlation"] = result.mean.batch_correlation
    return content


def _print(
    arguments: argparse.Namespace,
    instance: Instance,
    result: Simulation,
    queueing: Queueing | None,
) -> None:
    source = "drawn from the demand" if arguments.routes is None else f"of {arguments.routes}"
    mean = result.mean
    width = "unknown" if math.isinf(mean.half_width) else f"{mean.half_width:.3g}"
    seen = np.flatnonzero(result.user_tokens)
    best = seen[np.argmin(result.user_ms[seen])]
    worst = result.worst_user
    shares = zip(_places(instance), result.call_shares, strict=True)
    slowest = np.argsort(-result.layer_ms, kind="stable")[:3]
    lines = {
        "mean": f"{mean.mean:.6g} ms ± {width} (99 %)",
        "static T": f"{result.static_ms:.6g} ms, exactly",
        **_alone(result),
        "percentiles": ", ".join(
            f"p{percent} {value:.6g}"
            for percent, value in zip(PERCENTILES, result.percentiles_ms, strict=True)
        )
        + " ms",
        "users": f"fairness {result.fairness:.4f} (Jain); {instance.user_names[best]} waits "
        f"{result.user_ms[best]:.6g} ms, {instance.user_names[worst or 0]} "
        f"{result.user_ms[worst or 0]:.6g} ms",
        "answered by": ", ".join(f"{name} {value:.1%}" for name, value in shares if value > 0),
        "layers": ", ".join(f"{_layer(instance, g)} {result.layer_ms[g]:.4g} ms" for g in slowest)
        + (" are the slowest" if instance.num_layers > 3 else ""),
    }
    print_block(f"{instance.name}: {plural(result.tokens, 'token')} {source}", lines)
    if result.load is None or result.queue_ms is None:
        return
    print_columns(
        [
            ("server", "load", "queueing of a call"),
            *(
                (name, f"{load:.1%}", MISSING if math.isnan(wait) else f"{wait:.4g} ms")
                for name, load, wait in zip(
                    instance.server_names, result.load, result.queue_ms, strict=True
                )
            ),
        ]
    )
    full = [n for n, load in zip(instance.server_names, result.load, strict=True) if load >= 1]
    if full and queueing is not None and queueing.arrivals_per_s is not None:
        print(f"overloaded: {', '.join(full)}; times grow with the number of tokens")
    elif mean.batch_correlation > _DOUBTFUL:
        print("neighbouring batches are alike: the interval is too narrow; take more --tokens")


def _alone(result: Simulation) -> dict[str, str]:
    """Say what queueing and jitter cost, where there is any."""
    if result.alone_ms == result.mean.mean or result.alone_ms == 0:
        return {}
    cost = 100 * (result.mean.mean / result.alone_ms - 1)
    return {
        "alone": f"{result.alone_ms:.6g} ms: queueing and jitter cost these tokens {cost:.3g} %"
    }


def _places(instance: Instance) -> tuple[str, ...]:
    """Return names of all places that answer calls; servers may have any name."""
    return (*instance.server_names, "(cloud)", "(device)")


def _layer(instance: Instance, layer: int) -> str:
    model_idx = int(instance.layer_model[layer])
    within = layer - int(instance.model_layer_offset[model_idx])
    name = f"{instance.models[model_idx].name} " if len(instance.models) > 1 else ""
    return f"{name}L{within}"
