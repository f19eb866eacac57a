"""The parts of column-enumeration against plain enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formulations.within_gap.allowances import allowance, constant
from formulations.within_gap.combination import Combination, GaveUpError
from formulations.within_gap.option_kernels import share_out
from formulations.within_gap.options import Options, PricedLayer
from formulations.within_gap.packing import Packing, bits_needed
from formulations.within_gap.projections import project, rests, rests_of_uses, select
from formulations.within_gap.storage import storage_of
from instances.deadline import Deadline
from instances.problem import Instance
from instances.structure.label_pricing import LabelPricer
from tests.formulations.rules import one_layer
from tests.strategies import random_instance

NEVER = Deadline.after(None)


def priced_layers(instance: Instance, seed: int) -> list[PricedLayer]:
    """Price storage anyhow, with multipliers from pricing at other prices."""
    rng = np.random.default_rng(seed)
    storage = storage_of(instance)
    down = storage.upper.down
    price = down(rng.random(storage.servers.size) * storage.worth_ms / (storage.capacity.sum() + 1))
    layers = []
    for layer in storage.layers:
        pricer = LabelPricer(layer)
        position = storage.position(layer)
        pricer.price(price[position], NEVER)
        split = down(pricer.split)
        share_out(layer.weight, layer.offsets, split)
        layers.append(
            PricedLayer(
                layer=layer,
                pricer=pricer,
                position=position,
                price=price[position],
                rent=down(pricer.rent / layer.capacity_bytes),
                split=split,
                packing=Packing(storage.capacity),
            )
        )
    return layers


def every_placement(priced: PricedLayer) -> list[tuple[tuple[int, ...], float, float]]:
    """Try everything: used units, value less price, and value, for those that fit."""
    layer = priced.layer
    shape = (layer.servers.size, layer.experts.size)
    found = []
    for bits in itertools.product([False, True], repeat=math.prod(shape)):
        part = np.array(bits).reshape(shape)
        used = layer.used_bytes(part)
        if np.all(used <= layer.capacity_bytes):
            found.append((tuple(used.tolist()), priced.value_ms(part), layer.value_ms(part)))
    return found


def some_layers() -> list[PricedLayer]:
    found = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        instance = random_instance(
            rng, max_servers=3, max_models=1, max_layers=1, max_cells=10, max_users=8, max_rows=40
        )
        found += priced_layers(instance, seed)
    return found


def test_options_are_all_undominated_placements_within_the_budget() -> None:
    compared = 0
    for priced in some_layers():
        everything = every_placement(priced)
        top = max(value for _, value, _ in everything)
        assert priced.bound_ms() >= top
        budget = priced.layer.worth_ms / 2
        best: dict[tuple[int, ...], tuple[float, float]] = {}
        for used, value, gross in everything:
            if top - value <= budget and value > best.get(used, (-math.inf, 0.0))[0]:
                best[used] = value, gross
        expected = {
            used: top - value
            for used, (value, gross) in best.items()
            if not any(
                other != used
                and g >= gross
                and all(a <= b for a, b in zip(other, used, strict=True))
                for other, (_, g) in best.items()
            )
        }
        options = priced.options(top, constant(budget, priced.layer.experts.size), NEVER)
        assert options is not None
        uses = map(tuple, options.used[:, priced.position].tolist())
        assert dict(zip(uses, options.loss.tolist(), strict=True)) == expected  # exactly
        assert np.all(np.diff(options.loss) >= 0.0)
        for label, loss in zip(options.label, options.loss, strict=True):
            assert priced.value_ms(priced.part(label)) == top - loss
        compared += len(expected) > 2
    assert compared >= 15


def test_time_ends_a_search() -> None:
    instance = one_layer(
        rows=[(0, [a, b], 1.0) for a in range(9) for b in range(a)],
        capacity=[5, 5, 5],
        latency=[[0.0, 1.0, 2.0]],
        cloud=[9.0],
        sizes=[[1] * 9],
    )
    (priced,) = priced_layers(instance, 0)
    late = Deadline.after(0.0)
    assert priced.options(priced.bound_ms(), constant(1e9, 9), late) is None


def random_options(seed: int, num_servers: int) -> tuple[list[Options], np.ndarray, Packing]:
    """Draw layers of options with whole losses; float sums of them are exact."""
    rng = np.random.default_rng(seed)
    capacity = rng.integers(3, 9, num_servers)
    packing = Packing(capacity)
    layers = []
    for _ in range(int(rng.integers(1, 5))):
        used = np.unique(rng.integers(0, 4, (6, num_servers)), axis=0)
        loss = np.sort(rng.integers(0, 12, used.shape[0])).astype(float)
        loss[0] = 0.0
        rng.shuffle(used)
        layers.append(
            Options(
                key=(used << packing.shift).sum(axis=1),
                used=used,
                loss=loss,
                label=np.zeros((used.shape[0], 1), dtype=np.int16),
            )
        )
    return layers, rng.integers(0, 3, num_servers).astype(float), packing


def choices(
    layers: list[Options], price: np.ndarray, capacity: np.ndarray, servers: tuple[int, ...]
) -> list[tuple[tuple[int, ...], float]]:
    """Try all choices: those that fit on some servers, and their loss with what stays unused."""
    few = list(servers)
    found = []
    for picked in itertools.product(*(range(layer.loss.size) for layer in layers)):
        used = sum(layer.used[o] for layer, o in zip(layers, picked, strict=True))
        if np.all(used[few] <= capacity[few]):
            loss = sum(layer.loss[o] for layer, o in zip(layers, picked, strict=True))
            found.append((picked, float(loss + price[few] @ (capacity - used)[few])))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_sums_of_layers_have_the_least_loss(seed: int) -> None:
    layers, price, packing = random_options(seed, 3)
    capacity = packing.capacity
    sets = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)]
    projections = []
    for servers in sets:
        made = project(layers, price, capacity, servers, 1e9, NEVER)
        assert made is not None
        possible = choices(layers, price, capacity, servers)
        assert made.least_ms == min((loss for _, loss in possible), default=math.inf)
        projections.append(made)
    fitting = choices(layers, price, capacity, (0, 1, 2))
    least = min((loss for _, loss in fitting), default=math.inf)
    for few in ([], projections[:3], projections[3:6], projections):
        combination = Combination(layers, price, packing, few)
        choice = combination.best(1e6, 0, NEVER)
        if choice is None:
            assert least == math.inf
            continue
        assert choice.loss_ms == least
        assert dict(fitting)[tuple(choice.options.tolist())] == least
        assert combination.best(least - 1.0, 0, NEVER) is None
        exact = combination.best(least, 0, NEVER)
        assert exact is not None
        good = combination.best(1e6, 2, NEVER)
        assert good is None or dict(fitting)[tuple(good.options.tolist())] == good.loss_ms >= least


@pytest.mark.parametrize("seed", range(20))
def test_rests_are_what_the_other_layers_lose(seed: int) -> None:
    layers, price, packing = random_options(seed, 2)
    capacity = packing.capacity
    made = project(layers, price, capacity, (0, 1), 1e9, NEVER)
    assert made is not None
    fitting = choices(layers, price, capacity, (0, 1))
    sizes = [np.ones(5, dtype=np.int64)] * len(layers)
    by_use = rests_of_uses(made, layers, sizes, 1e9)
    for number, rest in enumerate(rests(made, layers, 1e9)):
        for option in range(rest.size):
            losses = [loss for picked, loss in fitting if picked[number] == option]
            own = layers[number].loss[option]
            assert rest[option] + own <= min(losses, default=math.inf)
            a, b = layers[number].used[option]
            # the projection is onto all servers here, so what it says is exact
            assert rest[option] + own == min(losses, default=math.inf)
            assert by_use[number][a, b] == rest[option]


def test_too_many_states_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    packing = Packing(np.array([30, 30, 30]))
    used = np.array(list(itertools.product(range(5), repeat=3)))
    key = (used << packing.shift).sum(axis=1)
    label = np.zeros((key.size, 1), dtype=np.int16)
    layer = Options(key=key, used=used, loss=np.zeros(key.size), label=label)
    combination = Combination([layer] * 6, np.ones(3), packing, [])
    assert combination.best(1e9, 0, NEVER) is not None
    with pytest.raises(GaveUpError):
        combination.best(1e9, 0, Deadline.after(0.0))
    monkeypatch.setattr("formulations.within_gap.combination.MAX_STATES", 1 << 12)
    with pytest.raises(GaveUpError):
        combination.best(1e9, 0, NEVER)


def test_allowances_look_at_all_counts_within_reach() -> None:
    rng = np.random.default_rng(0)
    single, pair = rng.random(7) * 8, rng.random((7, 7)) * 8
    made = allowance(
        np.array([2, 5]),
        np.array([2, 2, 2]),
        [(5,), (2, 5), (1, 2)],
        [single, pair, pair],
        3.0,
        8.0,
    )
    assert made.pairs.tolist() == [[0, 0], [1, 1], [0, 1]]  # server 1 is not the layer's
    for left, j, k in itertools.product(range(4), repeat=3):
        if j + left > 3 or k + left > 3:
            continue
        few = [max(8.0 - single[2 * (k + i)], 5.0) for i in range(left + 1)]
        assert made.most[1, left, k, k] == max(few)
        both = [
            max(8.0 - pair[2 * (j + i), 2 * (k + n)], 5.0)
            for i in range(left + 1)
            for n in range(left + 1)
        ]
        assert made.most[2, left, j, k] == max(both)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=5), st.data())
def test_packed_storage_adds_up_and_keeps_within_capacity(
    units: list[int], data: st.DataObject
) -> None:
    capacity = np.array(units)
    packing = Packing(capacity)
    assert packing.limit.bit_length() <= bits_needed(capacity)
    a = np.array([data.draw(st.integers(0, most)) for most in units])
    b = np.array([data.draw(st.integers(0, most)) for most in units])
    keys = [int((used << packing.shift).sum()) for used in (a, b)]
    assert packing.unpack(np.array(keys)).tolist() == [a.tolist(), b.tolist()]
    fits = (packing.limit - sum(keys)) & packing.guard == packing.guard
    assert fits == bool(np.all(a + b <= capacity))


def test_shares_add_up_to_the_weight() -> None:
    weight = np.array([5.0, 3.0, 2.0])
    split = np.array([2.0, 2.0, 4.0, 1.0, 0.0])
    share_out(weight, np.array([0, 2, 4, 5]), split)
    assert split.tolist() == [2.0, 3.0, 3.0, 0.0, 2.0]


def test_triples_are_chosen_by_what_their_pairs_exclude() -> None:
    capacity = np.array([4, 4, 4, 4])
    layers, price, _ = random_options(3, 4)
    pairs = []
    for servers in itertools.combinations(range(4), 2):
        made = project(layers, price, capacity, servers, 1e9, NEVER)
        assert made is not None
        pairs.append(made)
    least = {pair.servers: pair.least_ms for pair in pairs}

    def promise(triple: tuple[int, ...]) -> float:
        return sum(least[few] for few in itertools.combinations(triple, 2))

    chosen = select(capacity, pairs)
    assert len(chosen) == 4
    assert [promise(t) for t in chosen] == sorted(map(promise, chosen), reverse=True)


def test_servers_with_room_for_all_are_settled_one_after_the_other() -> None:
    # s1 holds both experts that user 1 wants from it. What is left of user 0 then fits on s0.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0), (1, [0, 2], 1.0), (1, [3], 1.0)],
        capacity=[2, 3],
        latency=[[0.0, 9.0], [0.0, 1.0]],
        cloud=[5.0, 5.0],
        sizes=[[1, 1, 1, 1]],
    )
    storage = storage_of(instance)
    assert storage.settled.tolist() == [[False] * 4, [True, False, True, True]]
    assert storage.settled_ms == pytest.approx(2 * 4.0, rel=1e-12)
    assert storage.servers.tolist() == [0]
    assert storage.capacity.tolist() == [2]


def test_storage_is_in_units_rounded_down() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0), (0, [2], 1.0)],
        capacity=[17],
        latency=[[0.0]],
        cloud=[5.0],
        sizes=[[6, 9, 12]],
    )
    storage = storage_of(instance)
    assert storage.unit_bytes == 3
    assert storage.capacity.tolist() == [5]
    assert storage.layers[0].sizes.tolist() == [2, 3, 4]
