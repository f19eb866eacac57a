"""Fitting: known routers, a real trace beside the project, and what there is to refuse."""

import math
from pathlib import Path

import numpy as np
import pytest

from instances.draws import Draws
from instances.errors import InputError
from instances.routing import FINE_GRAINED, UNIFORM, Router
from instances.routing import fit as module
from instances.routing.comparison import compare, sample_routes
from instances.routing.fit import fit_router
from instances.routing.statistics import FIGURES
from instances.traces import Routes, read_routes

ROOT = Path(__file__).parents[3]
TRACE = ROOT.parent / "shared" / "traces" / "gpt-oss-20b" / "routes.npz"

DONE_WHEN = (
    "top_quarter",
    "top_quarter_user",
    "lift_50",
    "lift_95",
    "lift_99",
    "sets_random",
    "cosine",
    "overlap_1",
)


@pytest.fixture
def quick(monkeypatch):
    """Make a fit a matter of a second or two."""
    for name, value in {
        "REPLICAS": 2,
        "MOST_TOKENS": 4000,
        "RANKS": (),
        "RANDOM_STARTS": 4,
        "_MOST_STEPS": 3,
    }.items():
        monkeypatch.setattr(module, name, value)


def sample(router, *, users=12, tokens=250, layers=3, experts=16, top_k=2, key="truth"):
    return sample_routes(
        router,
        Draws(key),
        lengths=np.full(users, tokens),
        layers=layers,
        experts=experts,
        top_k=top_k,
    )


def fitted(routes, *, experts=16, seed=0):
    return fit_router(routes.experts, routes.offsets, experts=experts, seed=seed)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "truth",
    [
        Router(user_weight=2.0, token_weight=4.0, bias_sigma=3.0, stickiness=0.3),
        FINE_GRAINED["lognormal"],
        UNIFORM,
    ],
    ids=["linear-router", "lognormal", "uniform"],
)
def test_statistics_of_a_known_router_are_recovered(truth):
    routes = sample(truth)
    router = fitted(routes)
    deviations = compare(router, routes, experts=16).deviations
    for name in DONE_WHEN:
        assert math.isnan(deviations[name]) or abs(deviations[name]) < 0.2, (name, deviations)
    # Reuse beyond what users have in common comes from the order alone.
    assert (router.stickiness > 0.05) == (truth.stickiness > 0)


@pytest.mark.usefixtures("quick")
def test_same_seed_same_router():
    routes = sample(Router(user_weight=2.0, token_weight=4.0, stickiness=0.3), users=6, layers=2)
    first = fitted(routes)
    assert first == fitted(routes)
    assert first != fitted(routes, seed=1)
    assert first.noise == 1.0
    for name in ("user_weight", "token_weight", "bias_sigma", "own_words", "stickiness"):
        value = getattr(first, name)
        assert value == float(f"{value:.2e}")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "shape",
    [
        {"users": 1},
        {"users": 2, "tokens": 1},
        {"layers": 1},
        {"top_k": 1},
        {"experts": 2},
        {"experts": 2, "top_k": 2, "users": 3, "tokens": 5},
        {"experts": 1, "top_k": 1, "users": 1, "tokens": 1, "layers": 1},
    ],
    ids=str,
)
def test_traces_on_which_little_can_be_measured(shape):
    routes = sample(Router(user_weight=1.0, token_weight=2.0), **{"tokens": 150, **shape})
    experts = shape.get("experts", 16)
    router = fitted(routes, experts=experts)
    comparison = compare(router, routes, experts=experts)
    assert comparison.routes.experts.shape == routes.experts.shape
    known = [name for name, value in comparison.trace.values.items() if not math.isnan(value)]
    assert "top_quarter" in known
    assert ("cosine" in known) == (shape.get("users", 12) > 1 and shape.get("tokens", 150) >= 64)


@pytest.mark.usefixtures("quick")
def test_gaps_and_empty_requests():
    full = sample(Router(user_weight=1.0, token_weight=2.0))
    experts = full.experts.copy()
    experts[::3, 0] = -1
    experts[1::3, 1, 1] = -1
    offsets = np.insert(full.offsets, 4, full.offsets[4])
    routes = Routes(experts=experts, offsets=offsets)
    comparison = compare(fitted(routes), routes, experts=16)
    assert comparison.trace.requests == 13
    assert comparison.drawn.requests == 12
    assert abs(comparison.deviations["top_quarter"]) < 0.2


@pytest.mark.usefixtures("quick")
def test_long_traces_are_cut():
    routes = sample(Router(token_weight=2.0), users=90, tokens=100, layers=8)
    search = module._Search(routes.experts, routes.offsets, 16, 0)  # noqa: SLF001 -- its size
    drawn, words = search._draw(Router(token_weight=2.0), 0)  # noqa: SLF001
    assert drawn.shape == (40 * 100, module.MOST_LAYERS, 2)  # of 90 users
    assert words.shape[0] == drawn.shape[0]
    assert search.distance(Router(token_weight=2.0)) < search.distance(Router(token_weight=0.1))


@pytest.mark.usefixtures("quick")
def test_of_short_requests_more_are_taken():
    routes = sample(Router(token_weight=2.0), users=600, tokens=20, layers=1)
    search = module._Search(routes.experts, routes.offsets, 16, 0)  # noqa: SLF001 -- its size
    assert search._draw(Router(token_weight=2.0), 0)[0].shape == (4000 // 20 * 20, 1, 2)  # noqa: SLF001


def test_comparisons_of_long_traces_draw_a_part(monkeypatch):
    monkeypatch.setattr("instances.routing.comparison.MOST_SCORES", 16 * 1000)
    routes = sample(UNIFORM, users=30, tokens=100)
    comparison = compare(UNIFORM, routes, experts=16)
    assert comparison.trace.tokens == 3000
    assert comparison.drawn.tokens == 1000
    assert comparison.drawn.requests == 10
    one = compare(UNIFORM, sample(UNIFORM, users=1, tokens=3000), experts=16)
    assert one.drawn.tokens == 1000


def test_deviations():
    routes = sample(UNIFORM)
    comparison = compare(UNIFORM, routes, experts=16)
    for figure in FIGURES:
        deviation = comparison.deviations[figure.name]
        trace, drawn = (side.values[figure.name] for side in (comparison.trace, comparison.drawn))
        assert math.isnan(deviation) or trace * (1 + deviation) == pytest.approx(drawn)


def test_nothing_to_fit_is_refused():
    nothing = Routes(experts=np.full((5, 2, 2), -1, dtype=np.int16), offsets=np.array([0, 5]))
    with pytest.raises(InputError, match="experts: no token uses any expert"):
        fitted(nothing)
    with pytest.raises(InputError, match=r"is not in 0\.\.3"):
        fitted(sample(UNIFORM), experts=4)


@pytest.mark.skipif(not TRACE.exists(), reason="no trace beside the project")
def test_fit_to_a_real_trace(monkeypatch):
    # A smaller search than that of the command, so that the test takes seconds.
    for name, value in {
        "RANKS": (),
        "RANDOM_STARTS": 0,
        "_MOST_STEPS": 2,
        "MOST_TOKENS": 6000,
    }.items():
        monkeypatch.setattr(module, name, value)
    routes = read_routes(TRACE)
    router = fitted(routes, experts=32)
    comparison = compare(router, routes, experts=32)
    for name in DONE_WHEN:
        assert abs(comparison.deviations[name]) < 0.2, (name, comparison.deviations[name])
    # What was measured on the larger set that this one is a sample of.
    for name, value in {"overlap_1": 0.437, "overlap_2": 0.38, "next_layer": 0.60}.items():
        assert comparison.trace.values[name] == pytest.approx(value, rel=0.05)


@pytest.mark.skipif(not TRACE.exists(), reason="no trace beside the project")
def test_the_calibrated_class_is_like_a_real_trace():
    comparison = compare(FINE_GRAINED["linear-router"], read_routes(TRACE), experts=32)
    for name in (*DONE_WHEN, "sets_consecutive", "overlap_2", "overlap_8", "next_layer"):
        assert abs(comparison.deviations[name]) < 0.2, (name, comparison.deviations[name])
    independent = compare(FINE_GRAINED["lognormal"], read_routes(TRACE), experts=32).deviations
    assert independent["lift_99"] < -0.5
    assert independent["sets_random"] > 0.5
