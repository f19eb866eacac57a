import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from instances.certificate import (
    Certificate,
    certificate_from_dict,
    certificate_to_dict,
    is_certificate,
    read_certificate,
    write_certificate,
)
from instances.certificate_checker import proven_bound
from instances.errors import InputError
from instances.files import write_placement
from instances.multipliers import DualForm
from tests.strategies import instances


@pytest.fixture
def certificate(tiny):
    form = DualForm.of(tiny)
    bound, used = form.tightened(form.even_multipliers())
    return Certificate.of(form, used, method="even", bound_saving_ms=bound)


def test_the_formula_by_hand(tiny):
    """Ann alone wants experts 0 and 1 of layer 0: 1 and 4 ms from the servers, 10 from the cloud.

    The clauses are (3, {near}) and (6, {near, far}). With alpha = (1, 1) and (2, 3),
    pi[near] = (1, 0.5), pi[both] = (2, 3), lambda = (0.25, 0): 1 + 1 unpaid by clauses, 0.5 by pi;
    near's loads are 3 and 3.5 less 2.5 of storage, far's 2 and 3, and near's storage is 5.
    """
    instance = replace(
        tiny,
        demand_user=np.array([0]),
        demand_layer=np.array([0]),
        demand_offsets=np.array([0, 2]),
        demand_experts=np.array([1, 0]),
        demand_rate=np.array([1.0]),
    )
    written = Certificate(
        method="by hand",
        bound_saving_ms=15.0,
        server_sets=np.array([[True, True], [True, False]]),
        alpha_set=np.array([1, 0]),
        alpha_offsets=np.array([0, 2, 4]),
        alpha_experts=np.array([0, 1, 0, 1]),
        alpha_ms=np.array([1.0, 1.0, 2.0, 3.0]),
        pi_set=np.array([1, 1, 0, 0]),
        pi_expert=np.array([0, 1, 0, 1]),
        pi_ms=np.array([1.0, 0.5, 2.0, 3.0]),
        price_ms=np.array([0.25, 0.0]),
    )
    assert proven_bound(instance, written) == 1 + 1 + Fraction(1, 2) + (0.5 + 1.0) + 5 + 5
    dear = replace(written, price_ms=np.array([0.25, 0.25]))
    assert proven_bound(instance, dear) == 1 + 1 + Fraction(1, 2) + (0.5 + 1.0) + 0.5 + 5 + 7.5
    # 29 bytes hold no more than 20
    odd = replace(instance, capacity_bytes=np.array([29, 30]))
    assert proven_bound(odd, written) == proven_bound(instance, written)
    # without alpha every clause counts in full, and nothing pays for storage
    nothing = replace(
        written,
        alpha_ms=np.zeros(4),
        pi_ms=np.zeros(4),
        price_ms=np.zeros(2),
    )
    assert proven_bound(instance, nothing) == 9
    # an expert that fits nowhere takes its clause along
    small = replace(instance, capacity_bytes=np.array([9, 30]))
    assert proven_bound(small, nothing) == 6


@pytest.mark.parametrize("field", ["alpha_ms", "pi_ms", "price_ms"])
def test_negative_multipliers_prove_nothing(tiny, certificate, field):
    values = getattr(certificate, field).copy()
    values[0] = -1e-30
    with pytest.raises(ValueError, match="is negative"):
        proven_bound(tiny, replace(certificate, **{field: values}))


@given(instances())
def test_round_trip(instance):
    form = DualForm.of(instance)
    bound, used = form.tightened(form.even_multipliers())
    written = Certificate.of(form, used, method="even", bound_saving_ms=bound)
    content = json.loads(json.dumps(certificate_to_dict(instance, written)))
    read = certificate_from_dict(content, instance)
    assert proven_bound(instance, read) == proven_bound(instance, written) <= Fraction(bound)
    assert read.bound_saving_ms == bound
    back = read.multipliers(form)
    assert np.array_equal(back.alpha_ms, used.alpha_ms)
    assert np.array_equal(back.pi_ms, used.pi_ms)
    assert np.array_equal(back.price_ms, used.price_ms)


@pytest.mark.parametrize("name", ["bound.json", "bound.json.gz"])
def test_files(tiny, tiny_placement, certificate, tmp_path, name):
    path = tmp_path / name
    write_certificate(path, tiny, certificate)
    assert is_certificate(path)
    read = read_certificate(path, tiny)
    assert read.method == "even"
    assert proven_bound(tiny, read) == proven_bound(tiny, certificate)
    write_placement(path, tiny, tiny_placement)
    assert not is_certificate(path)
    assert not is_certificate(tmp_path / "missing.json")


def test_of_another_instance(tiny, certificate, tmp_path):
    path = tmp_path / "bound.json"
    write_certificate(path, tiny, certificate)
    with pytest.raises(InputError, match=r"bound\.json: checksum: '.* is not that of the instance"):
        read_certificate(path, replace(tiny, cloud_latency_ms=np.array([10.0, 9.0])))
    with pytest.raises(InputError, match=r"instance: 'tiny-by-hand' is not that"):
        read_certificate(path, replace(tiny, name="other"))


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("bound_saving_ms",), math.inf, r"bound_saving_ms: inf is not a finite number"),
        (("method",), "", r"method: '' is not a name"),
        (("extra",), 1, r"extra: unknown field"),
        (("server_sets", 0, 0), "nowhere", r"server_sets\[0\]\[0\]: 'nowhere' is not a server"),
        (("server_sets", 1), ["far", "far"], r"server_sets\[1\]\[1\]: 'far' is repeated"),
        (("alpha", "server_set", 0), 9, r"alpha\.server_set\[0\]: 9 is not in 0\.\."),
        (("alpha", "layer", 0), 2, r"alpha\.layer\[0\]: 2 is not in 0\.\.1"),
        (("alpha", "model", 0), -1, r"alpha\.model\[0\]: -1 is not in 0\.\.0"),
        (("alpha", "experts", 0, 0), 3, r"alpha\.experts\[0\]: 3 is not in 0\.\.2"),
        (("alpha", "value_ms", 0, 0), -0.5, r"alpha\.value_ms\[0\]\[0\]: -0\.5 is negative"),
        (("alpha", "value_ms", 0), [], r"alpha\.value_ms\[0\]: 0 values where \d are needed"),
        (("alpha", "value_ms"), [], r"alpha\.value_ms: 0 values where \d are needed"),
        (("pi", "expert", 0), -1, r"pi\.expert\[0\]: -1 is not in 0\.\.2"),
        (("pi", "value_ms", 0), "1", r"pi\.value_ms\[0\]: '1' is not a number"),
        (("pi", "value_ms"), [1.0], r"pi\.value_ms: 1 values where"),
        (("lambda", "near"), -1.0, r"lambda\['near'\]: -1\.0 is negative"),
        (("lambda", "nowhere"), 1.0, r"lambda\['nowhere'\]: 'nowhere' is not a server"),
    ],
)
def test_mistakes_in_files(tiny, certificate, path, value, match):
    content = certificate_to_dict(tiny, certificate)
    part = content
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(InputError, match=match):
        certificate_from_dict(content, tiny)
