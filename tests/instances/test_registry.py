from dataclasses import dataclass
from importlib import metadata

import numpy as np
import pytest

from instances.errors import InputError
from instances.placement import Placement
from instances.registry import Algorithm, Registry, run, supports_everything
from instances.result import Outcome, StopReason


@dataclass(frozen=True)
class Fruit:
    name: str


@pytest.fixture
def fruits():
    registry = Registry("fruit")
    registry.register(Fruit("pear"))
    registry.register(Fruit("apple"))
    return registry


def test_specs_by_name_in_order_of_registration(fruits):
    assert [fruit.name for fruit in fruits] == ["pear", "apple"]
    assert fruits.get("apple") == Fruit("apple")
    assert "pear" in fruits
    assert "plum" not in fruits
    assert len(fruits) == 2


def test_register_returns_the_spec(fruits):
    assert fruits.register(Fruit("plum")) == Fruit("plum")


def test_a_name_is_given_once(fruits):
    with pytest.raises(ValueError, match="fruit 'pear' is already registered"):
        fruits.register(Fruit("pear"))


def test_unknown_name_lists_the_known_and_the_closest(fruits):
    with pytest.raises(
        InputError, match=r"^fruit: 'aple' is not one of apple, pear; did you mean 'apple'\?$"
    ):
        fruits.get("aple")
    with pytest.raises(InputError, match=r"^fruit: 'xyz' is not one of apple, pear$"):
        fruits.get("xyz")


class EntryPoint:
    name, value, dist = "kiwi", "fruits:KIWI", None

    def __init__(self, fruit):
        self.fruit = fruit

    def load(self):
        if isinstance(self.fruit, Exception):
            raise self.fruit
        return self.fruit


@pytest.mark.parametrize(
    "use",
    [
        lambda registry: registry.get("kiwi"),
        lambda registry: "kiwi" in registry or pytest.fail("not there"),
        lambda registry: len(registry) == 1 or pytest.fail("not counted"),
        lambda registry: list(registry) == [Fruit("kiwi")] or pytest.fail("not listed"),
    ],
)
def test_plugins_are_loaded_at_first_use_and_once(monkeypatch, use):
    asked = []

    def entry_points(*, group):
        asked.append(group)
        return [EntryPoint(Fruit("kiwi"))]

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    registry = Registry("fruit", entry_point_group="fruits.fresh")
    assert asked == []
    use(registry)
    use(registry)
    assert asked == ["fruits.fresh"]


@pytest.mark.parametrize(
    ("offered", "problem"),
    [
        ([ModuleNotFoundError("No module named 'x'")], "cannot be loaded: ModuleNotFoundError: No"),
        ([TypeError("one\ntwo")], "cannot be loaded: TypeError: one two"),
        (["kiwi"], "fruits:KIWI is no Fruit, but str"),
        ([Fruit("apple")], "fruit 'apple' is already registered"),
        ([Fruit("kiwi"), Fruit("kiwi")], "fruit 'kiwi' is already registered"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_each_time(monkeypatch, offered, problem):
    points = [EntryPoint(fruit) for fruit in offered]
    monkeypatch.setattr(metadata, "entry_points", lambda **_: points)
    registry = Registry("fruit", entry_point_group="fruits.fresh")
    apple = registry.register(Fruit("apple"))
    for _ in range(2):
        with pytest.raises(InputError, match=f"^plug-in 'kiwi' of an installed package: {problem}"):
            list(registry)
    points.clear()
    assert list(registry) == [apple]


def test_no_plugins_without_a_group(monkeypatch, fruits):
    monkeypatch.setattr(metadata, "entry_points", lambda **_: pytest.fail("asked for plug-ins"))
    assert len(fruits) == 2


def store_first(instance, *, rng, time_limit, server=0, start=None):
    return start or Placement.of(instance, [(server, 0)])


def spec(solve, **changes):
    fields = {"name": "first", "exact": False, "summary": "", "source": "", "complexity": ""}
    return Algorithm(solve=solve, **{**fields, **changes})


def test_parameters_are_those_of_the_function():
    assert spec(store_first).parameters == {"server": 0}
    assert spec(store_first).takes_start
    assert not spec(lambda instance, *, rng, time_limit: None).takes_start
    assert spec(lambda instance, *, rng, time_limit: None).parameters == {}


def test_unknown_parameters_are_refused(tiny):
    algorithm = spec(store_first)
    match = r"^first: no parameter 'serber'; known parameters: server$"
    with pytest.raises(InputError, match=match):
        algorithm.check_parameters({"serber": 1})
    with pytest.raises(InputError, match=match):
        run(algorithm, tiny, rng=np.random.default_rng(0), serber=1)
    with pytest.raises(InputError, match=r"no parameter 'x'; known parameters: none$"):
        spec(lambda instance, *, rng, time_limit: None).check_parameters({"x": 1})


def test_run_wraps_a_placement(tiny):
    outcome = run(spec(store_first), tiny, rng=np.random.default_rng(0), server=1)
    assert outcome.stop_reason is StopReason.COMPLETED
    assert outcome.placement.stored[1, 0]
    assert not outcome.proven_optimal
    assert outcome.bound_saving_ms == np.inf


@pytest.mark.parametrize(
    ("time_limit", "stop_reason"),
    [(None, StopReason.COMPLETED), (1e6, StopReason.COMPLETED), (0.0, StopReason.TIME_LIMIT)],
)
def test_run_says_when_the_limit_has_passed(tiny, time_limit, stop_reason):
    outcome = run(spec(store_first), tiny, rng=np.random.default_rng(0), time_limit=time_limit)
    assert outcome.stop_reason is stop_reason
    assert outcome.placement is not None


def test_run_passes_generator_limit_and_start(tiny, tiny_placement):
    given = {}

    def solve(instance, *, rng, time_limit, start):
        given.update(instance=instance, rng=rng, time_limit=time_limit, start=start)
        return start

    rng = np.random.default_rng(0)
    run(spec(solve), tiny, rng=rng, time_limit=2.5, start=tiny_placement)
    assert given == {"instance": tiny, "rng": rng, "time_limit": 2.5, "start": tiny_placement}


def test_a_start_is_an_offer(tiny, tiny_placement):
    def solve(instance, *, rng, time_limit):
        return Placement.empty(instance)

    outcome = run(spec(solve), tiny, rng=np.random.default_rng(0), start=tiny_placement)
    assert outcome.placement.num_copies == 0


def test_run_hands_an_outcome_through(tiny):
    answer = Outcome(stop_reason=StopReason.TIME_LIMIT, placement=None, proven_optimal=False)
    algorithm = spec(lambda instance, *, rng, time_limit: answer)
    assert run(algorithm, tiny, rng=np.random.default_rng(0)) is answer


def test_any_other_answer_is_a_bug_of_the_method(tiny):
    algorithm = spec(lambda instance, *, rng, time_limit: None)
    with pytest.raises(TypeError, match="first returned NoneType, not a placement"):
        run(algorithm, tiny, rng=np.random.default_rng(0))


def test_unsupported_instances_are_not_solved(tiny):
    def solve(instance, *, rng, time_limit):
        pytest.fail("called")

    algorithm = spec(solve, supports=lambda instance: f"{instance.num_servers} are too many")
    outcome = run(algorithm, tiny, rng=np.random.default_rng(0))
    assert outcome.stop_reason is StopReason.UNSUPPORTED
    assert outcome.reason == "2 are too many"
    assert outcome.placement is None
    assert not outcome.proven_optimal


def test_everything_is_supported_by_default(tiny):
    assert supports_everything(tiny) is None
    assert spec(store_first).supports(tiny) is None
