from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.certificate import Certificate
from instances.certificate_checker import proven_bound
from instances.checker import check
from instances.multipliers import DualForm, Multipliers
from tests.strategies import instances, placements


def random_multipliers(rng, form, *, scale):
    """Anything: far too small, far too large, negative, zero."""

    def values(size, unit):
        drawn = unit * 10.0 ** rng.uniform(-6, 3, size) * rng.choice([-1.0, 0.0, 1.0, 1.0], size)
        return np.asarray(drawn)

    return Multipliers(
        alpha_ms=values(form.entry_pair.size, scale),
        pi_ms=values(form.pair_expert.size, scale),
        price_ms=values(form.capacity_bytes.size, scale / max(1, form.capacity_bytes.max())),
    )


def exact(instance, form, bound, multipliers):
    """Evaluate the formula in fractions, by the checker that shares no code with the form."""
    certificate = Certificate.of(form, multipliers, method="test", bound_saving_ms=bound)
    return proven_bound(instance, certificate)


@given(instances(wild=True), st.integers(0, 2**32), st.data())
def test_any_multipliers_prove_a_bound(instance, seed, data):
    form = DualForm.of(instance)
    scale = float(form.weight_ms.max(initial=1.0))
    given_ = random_multipliers(np.random.default_rng(seed), form, scale=scale)
    bound, used = form.tightened(given_)
    for values in (used.alpha_ms, used.pi_ms, used.price_ms):
        assert np.all(values >= 0.0)
    proven = exact(instance, form, bound, used)
    assert Fraction(bound) >= proven
    saving = check(instance, data.draw(placements(instance))).saving_ms
    assert proven >= saving
    assert Fraction(bound) >= saving


@settings(max_examples=50)
@given(instances(), st.integers(0, 2**32))
def test_tightening_never_loosens(instance, seed):
    form = DualForm.of(instance)
    rng = np.random.default_rng(seed)
    drawn = random_multipliers(rng, form, scale=float(form.weight_ms.max(initial=1.0)))
    clipped = Multipliers(
        alpha_ms=np.maximum(drawn.alpha_ms, 0.0),
        pi_ms=np.maximum(drawn.pi_ms, 0.0),
        price_ms=np.maximum(drawn.price_ms, 0.0),
    )
    before = float(exact(instance, form, np.inf, clipped))
    first, used = form.tightened(drawn)
    # units of 2^-50 of the total weight, one for each multiplier, may go the wrong way
    speck = 1e-12 * float(form.weight_ms.sum())
    assert first <= before + speck
    again, _ = form.tightened(used)
    assert again <= first + speck


@given(instances(), st.integers(0, 2**32))
def test_the_bound_is_hardly_above_what_is_proven(instance, seed):
    form = DualForm.of(instance)
    scale = float(form.weight_ms.max(initial=1.0))
    given_ = random_multipliers(np.random.default_rng(seed), form, scale=scale)
    bound, used = form.tightened(given_)
    excess = bound - float(exact(instance, form, bound, used))
    assert excess <= 1e-12 * float(form.weight_ms.sum()) + 1e-300


@given(instances())
def test_even_multipliers_prove_no_more_than_everything(instance):
    form = DualForm.of(instance)
    bound, _ = form.tightened(form.even_multipliers())
    total = float(form.weight_ms.sum())
    assert 0.0 <= bound <= total * (1 + 1e-12) + 1e-300


def test_worth_per_byte_is_a_bound_by_hand(tiny):
    """One server in reach of one user, rows of one expert: the bound is the fractional knapsack.

    ``near`` holds 2 of the 3 experts that ann wants there, worth 4.5, 2.25 and 9 ms alone.
    """
    instance = replace(
        tiny,
        latency_ms=np.array([[1.0, 99.0], [99.0, 99.0]]),
        demand_user=np.array([0, 0, 0]),
        demand_layer=np.array([0, 0, 1]),
        demand_offsets=np.array([0, 1, 2, 3]),
        demand_experts=np.array([0, 1, 2]),
        demand_rate=np.array([0.5, 0.25, 1.0]),
    )
    form = DualForm.of(instance)
    bound, _ = form.tightened(form.even_multipliers())
    assert bound == pytest.approx(13.5, rel=1e-14)
    # 29 bytes hold no more than 20: storage is taken in tens
    larger = DualForm.of(replace(instance, capacity_bytes=np.array([29, 30])))
    assert larger.tightened(larger.even_multipliers())[0] == pytest.approx(13.5, rel=1e-14)
    # unequal sizes: half of an expert counts
    half = replace(instance, capacity_bytes=np.array([15, 30]))
    sizes = np.array([[10.0, 10.0, 10.0], [10.0, 10.0, 5.0]]).astype(np.int64)
    model = replace(instance.models[0], expert_bytes=sizes)
    form = DualForm.of(replace(half, models=(model,)))
    assert form.tightened(form.even_multipliers())[0] == pytest.approx(13.5, rel=1e-14)
