import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.documents import instance_to_dict
from instances.errors import InputError
from instances.fields import decode_json
from instances.parsing import MAX_EXPERTS, instance_from_dict
from tests.mistakes import GONE, anything, edited, nodes, unless_refused
from tests.strategies import instances


@pytest.fixture
def document(tiny):
    return instance_to_dict(tiny)


@given(instance=instances(max_models=3))
def test_what_is_written_is_read(instance):
    assert instance_from_dict(instance_to_dict(instance)).checksum() == instance.checksum()


def test_optional_fields(document):
    del document["users"][0]["local_latency_ms"]
    assert "local_experts" not in document["users"][0]
    instance = instance_from_dict(document)
    assert instance.local_latency_ms[0] == 0.0
    assert instance.user_local_experts(0).size == 0


def test_whole_numbers_are_numbers(document):
    instance = instance_from_dict(edited(document, ("users", 0, "latency_ms"), [1, 4]))
    assert instance.latency_ms[0].tolist() == [1.0, 4.0]
    assert instance_from_dict(edited(document, ("demands", "rate", 2), 1)).demand_rate[2] == 1.0


def test_sizes_that_differ_inside_a_model(document):
    sizes = [[1, 2, 3], [4, 5, 6]]
    instance = instance_from_dict(edited(document, ("models", 0, "expert_bytes"), sizes))
    assert instance.models[0].expert_bytes.tolist() == sizes


def test_local_experts_are_a_set_in_any_order(document, tiny):
    in_order = edited(document, ("users", 1, "local_experts"), [[0, 0], [0, 2], [1, 1]])
    shuffled = edited(document, ("users", 1, "local_experts"), [[1, 1], [0, 0], [0, 2]])
    first, second = instance_from_dict(in_order), instance_from_dict(shuffled)
    assert first.checksum() == second.checksum() != tiny.checksum()
    assert first.user_local_experts(1).tolist() == [0, 2, 4]


MISTAKES = [
    (("format",), GONE, r"^format: the field is missing$"),
    (("format",), "moeplace/placement", r"^format: 'moeplace/placement' is not 'moeplace/ins"),
    (("format",), 1, r"^format: 1 is not 'moeplace/instance'"),
    (("version",), 2, r"^version: 2 is not 1, which this release reads$"),
    (("version",), True, r"^version: true is not 1"),
    (("version",), 1.0, r"^version: 1\.0 is not 1"),
    (("version",), GONE, r"^version: the field is missing$"),
    (("name",), GONE, r"^name: the field is missing$"),
    (("name",), "", r"^name: '' is not a name"),
    (("name",), None, r"^name: null is not a name"),
    (("nmae",), 1, r"^nmae: unknown field; did you mean 'name'\?$"),
    (("users", 0, "bandwidth"), 1, r"^users\[0\]\.bandwidth: unknown field$"),
    (("users", 1, "latncy_ms"), [1], r"^users\[1\]\.latncy_ms: unknown .* 'latency_ms'\?$"),
    (("users", 0, "a b"), 1, r"^users\[0\]\['a b'\]: unknown field$"),
    (("models", 0, "expert_byte"), 1, r"^models\[0\]\.expert_byte: .* 'expert_bytes'\?$"),
    (("servers", 1, "capacity"), 1, r"^servers\[1\]\.capacity: .* 'capacity_bytes'\?$"),
    (("demands", "rates"), [], r"^demands\.rates: unknown field; did you mean 'rate'\?$"),
    (("models",), {}, r"^models: an object of 0 is not a list$"),
    (("models",), [], r"^models: the list is empty"),
    (("models", 0), "toy", r"^models\[0\]: 'toy' is not an object$"),
    (("models", 0, "name"), GONE, r"^models\[0\]\.name: the field is missing$"),
    (("models", 0, "name"), 7, r"^models\[0\]\.name: 7 is not a name"),
    (("models", 0, "layers"), 2.0, r"^models\[0\]\.layers: 2\.0 is not an integer$"),
    (("models", 0, "layers"), True, r"^models\[0\]\.layers: true is not an integer$"),
    (("models", 0, "layers"), "2", r"^models\[0\]\.layers: '2' is not an integer$"),
    (("models", 0, "layers"), None, r"^models\[0\]\.layers: null is not an integer$"),
    (("models", 0, "layers"), 0, r"^models\[0\]\.layers: 0 is not a positive number$"),
    (("models", 0, "experts"), -3, r"^models\[0\]\.experts: -3 is not a positive number$"),
    (("models", 0, "layers"), 10**12, r"^models\[0\]: 1000000000000 layers of 3 experts: more"),
    (("models", 0, "experts"), 2**62, r"^models\[0\]: 2 layers of 4611686018427387904 experts"),
    (("models", 0, "layers"), 2**64, r"^models\[0\]\.layers: \d+ does not fit into 64 bits$"),
    (("models", 0, "layers"), 10**400, r"layers: an integer of 1329 bits does not fit into 64"),
    (("models", 0, "top_k"), 0, r"^models\[0\]\.top_k: 0 is not in 1\.\.3$"),
    (("models", 0, "top_k"), 4, r"^models\[0\]\.top_k: 4 is not in 1\.\.3$"),
    (("models", 0, "top_k"), 1.5, r"^models\[0\]\.top_k: 1\.5 is not an integer$"),
    (("models", 0, "expert_bytes"), 0, r"^models\[0\]\.expert_bytes: 0 is not a positive"),
    (("models", 0, "expert_bytes"), 1e9, r"^models\[0\]\.expert_bytes: 1000000000\.0 is not an"),
    (("models", 0, "expert_bytes"), 2**63, r"^models\[0\]\.expert_bytes: 9223372036854775808 do"),
    (("models", 0, "expert_bytes"), [[1, 2, 3]], r"expert_bytes: 1 lists where 2 are needed"),
    (("models", 0, "expert_bytes"), [], r"expert_bytes: 0 lists where 2 are needed"),
    (
        ("models", 0, "expert_bytes"),
        [[1, 2, 3], [1, 2]],
        r"^models\[0\]\.expert_bytes\[1\]: 2 values where 3 are needed, one for each expert$",
    ),
    (
        ("models", 0, "expert_bytes"),
        [[1, 2, 3], [1, 0, 3]],
        r"^models\[0\]\.expert_bytes\[1\]\[1\]: 0 is not a positive number of bytes$",
    ),
    (
        ("models", 0, "expert_bytes"),
        [[1, 2, 3], [1, 2, "3"]],
        r"^models\[0\]\.expert_bytes\[1\]\[2\]: '3' is not an integer$",
    ),
    (
        ("models", 0, "expert_bytes"),
        [[1, 2, 3], 4],
        r"^models\[0\]\.expert_bytes\[1\]: 4 is not a list$",
    ),
    (("servers",), [], r"^servers: the list is empty"),
    (("servers", 1, "name"), "near", r"^servers\[1\]\.name: 'near' is already the name of"),
    (("servers", 0, "capacity_bytes"), -1, r"^servers\[0\]\.capacity_bytes: -1 is negative$"),
    (("servers", 0, "capacity_bytes"), 1.5, r"^servers\[0\]\.capacity_bytes: 1\.5 is not an int"),
    (("servers", 0, "capacity_bytes"), "1 GB", r"capacity_bytes: '1 GB' is not an integer$"),
    (("servers", 1, "capacity_bytes"), 2**63, r"^servers\[1\]\.cap.*: 9223372036854775808 does"),
    (("servers", 1, "capacity_bytes"), 2**63 - 1, r"^servers\[1\]\.capacity_bytes: \d+ is more"),
    (("users",), [], r"^users: the list is empty"),
    (("users",), None, r"^users: null is not a list$"),
    (("users", 1, "name"), "ann", r"^users\[1\]\.name: 'ann' is already the name of users\[0\]$"),
    (("users", 1, "name"), "bob\n", r"^users\[1\]\.name: 'bob\\n' is not a name"),
    (
        ("users", 1, "model"),
        "tyo",
        r"^users\[1\]\.model: 'tyo' is not the name of a model; did you mean 'toy'\?$",
    ),
    (("users", 1, "model"), 0, r"^users\[1\]\.model: 0 is not the name of a model$"),
    (("users", 1, "model"), [], r"^users\[1\]\.model: a list of 0 is not the name of a model$"),
    (("users", 0, "latency_ms"), [1.0], r"^users\[0\]\.latency_ms: 1 values where 2 are needed"),
    (("users", 0, "latency_ms"), 5.0, r"^users\[0\]\.latency_ms: 5\.0 is not a list$"),
    (("users", 0, "latency_ms", 1), "4", r"^users\[0\]\.latency_ms\[1\]: '4' is not a number$"),
    (("users", 0, "latency_ms", 1), False, r"^users\[0\]\.latency_ms\[1\]: false is not a num"),
    (("users", 0, "latency_ms", 1), None, r"^users\[0\]\.latency_ms\[1\]: null is not a number"),
    (("users", 0, "latency_ms", 1), -4, r"^users\[0\]\.latency_ms\[1\]: -4\.0 is not a finite"),
    (
        ("users", 0, "latency_ms", 1),
        float("nan"),
        r"^users\[0\]\.latency_ms\[1\]: nan is not a finite number$",
    ),
    (("users", 0, "latency_ms", 1), 10**400, r"latency_ms\[1\]: an integer of 1329 bits is too"),
    (("users", 1, "cloud_latency_ms"), GONE, r"^users\[1\]\.cloud_latency_ms: the field is mis"),
    (("users", 1, "cloud_latency_ms"), "8", r"^users\[1\]\.cloud_latency_ms: '8' is not a num"),
    (("users", 1, "cloud_latency_ms"), -1.0, r"^users\[1\]\.cloud_latency_ms: -1\.0 is not a"),
    (
        ("users", 1, "cloud_latency_ms"),
        float("inf"),
        r"^users\[1\]\.cloud_latency_ms: inf is not a finite number$",
    ),
    (("users", 1, "cloud_latency_ms"), 10**400, r"an integer of 1329 bits is too large$"),
    (("users", 1, "local_latency_ms"), None, r"^users\[1\]\.local_latency_ms: null is not a num"),
    (("users", 1, "local_latency_ms"), -0.5, r"^users\[1\]\.local_latency_ms: -0\.5 is not a"),
    (("users", 1, "local_experts"), {}, r"^users\[1\]\.local_experts: an object of 0 is not a"),
    (("users", 1, "local_experts"), [2], r"^users\[1\]\.local_experts\[0\]: 2 is not a list$"),
    (
        ("users", 1, "local_experts"),
        [[0, 1], [0]],
        r"^users\[1\]\.local_experts\[1\]: 1 values where \[layer, expert\] is needed$",
    ),
    (
        ("users", 1, "local_experts"),
        [[0, 1], [2, 0]],
        r"^users\[1\]\.local_experts\[1\]\[0\]: 2 is not in 0\.\.1, the layers of model 'toy'$",
    ),
    (
        ("users", 1, "local_experts"),
        [[0, 3]],
        r"^users\[1\]\.local_experts\[0\]\[1\]: 3 is not in 0\.\.2, the experts of model 'toy'$",
    ),
    (("users", 1, "local_experts"), [[-1, 0]], r"local_experts\[0\]\[0\]: -1 is not in 0\.\.1"),
    (("users", 1, "local_experts"), [[0, 1.0]], r"local_experts\[0\]\[1\]: 1\.0 is not an integ"),
    (
        ("users", 1, "local_experts"),
        [[1, 1], [0, 2], [1, 1]],
        r"^users\[1\]\.local_experts\[2\]: \[1, 1\] is repeated$",
    ),
    (("demands",), [], r"^demands: a list of 0 is not an object$"),
    (("demands", "layer"), GONE, r"^demands\.layer: the field is missing$"),
    (("demands", "user"), 0, r"^demands\.user: 0 is not a list$"),
    (("demands", "user"), [0], r"^demands\.layer: 6 values where demands\.user has 1$"),
    (("demands", "layer"), [0], r"^demands\.layer: 1 values where demands\.user has 6$"),
    (("demands", "rate"), [0.5], r"^demands\.rate: 1 values where demands\.user has 6$"),
    (("demands", "experts"), [[0]], r"^demands\.experts: 1 values where demands\.user has 6$"),
    (("demands", "user", 3), 2, r"^demands\.user\[3\]: 2 is not in 0\.\.1$"),
    (("demands", "user", 3), -1, r"^demands\.user\[3\]: -1 is not in 0\.\.1$"),
    (("demands", "user", 3), 2**40, r"^demands\.user\[3\]: 1099511627776 is out of range$"),
    (("demands", "user", 3), 2**70, r"^demands\.user\[3\]: \d+ does not fit into 64 bits$"),
    (("demands", "user", 3), 0.0, r"^demands\.user\[3\]: 0\.0 is not an integer$"),
    (("demands", "user", 3), True, r"^demands\.user\[3\]: true is not an integer$"),
    (("demands", "user", 3), "bob", r"^demands\.user\[3\]: 'bob' is not an integer$"),
    (("demands", "layer", 1), 2, r"^demands\.layer\[1\]: 2 is not in 0\.\.1, the layers of model"),
    (("demands", "layer", 1), 2**31, r"^demands\.layer\[1\]: 2147483648 is out of range$"),
    (("demands", "rate", 5), -0.1, r"^demands\.rate\[5\]: -0\.1 is not a finite number >= 0$"),
    (("demands", "rate", 5), float("nan"), r"^demands\.rate\[5\]: nan is not a finite number$"),
    (("demands", "rate", 5), "0.1", r"^demands\.rate\[5\]: '0\.1' is not a number$"),
    (("demands", "rate", 5), True, r"^demands\.rate\[5\]: true is not a number$"),
    (("demands", "rate", 5), 10**400, r"^demands\.rate\[5\]: an integer of 1329 bits is too lar"),
    (("demands", "rate", 5), 1e308, r"^demands\.rate: .* add up to infinity$"),
    (("demands", "experts", 4), 2, r"^demands\.experts\[4\]: 2 is not a list$"),
    (("demands", "experts", 4), [], r"^demands\.experts\[4\]: 0 experts where the model allows"),
    (("demands", "experts", 4), [0, 1, 2], r"^demands\.experts\[4\]: 3 experts where .* 1\.\.2"),
    (("demands", "experts", 4), [2, 2], r"^demands\.experts\[4\]: \[2, 2\] repeats an expert$"),
    (("demands", "experts", 4), [0, 3], r"^demands\.experts\[4\]\[1\]: 3 is not in 0\.\.2$"),
    (("demands", "experts", 4), [-1], r"^demands\.experts\[4\]\[0\]: -1 is not in 0\.\.2$"),
    (("demands", "experts", 4), [0, "1"], r"^demands\.experts\[4\]\[1\]: '1' is not an integer$"),
    (("demands", "experts", 4), [0, 2**40], r"^demands\.experts\[4\]\[1\]: \d+ is out of range$"),
    (("demands", "experts", 4), [2**70], r"^demands\.experts\[4\]\[0\]: \d+ does not fit into"),
]


@pytest.mark.parametrize(("path", "value", "match"), MISTAKES)
def test_refused(document, path, value, match):
    with pytest.raises(InputError, match=match):
        instance_from_dict(edited(document, path, value))


@pytest.mark.parametrize("data", [None, [], "text", 3, True])
def test_only_objects_are_files(data):
    with pytest.raises(InputError, match=r"is not an object$"):
        instance_from_dict(data)


def test_long_values_are_cut_in_messages(document):
    with pytest.raises(InputError) as caught:
        instance_from_dict(edited(document, ("users", 0, "model"), "x" * 10**6))
    assert len(str(caught.value)) < 200


def test_models_of_one_name(document):
    document["models"].append(document["models"][0])
    with pytest.raises(InputError, match=r"^models\[1\]\.name: 'toy' is already the name of"):
        instance_from_dict(document)


def test_many_models_together_cannot_claim_more_than_one(document):
    half = {"name": "m", "layers": 2, "experts": MAX_EXPERTS // 2, "top_k": 1, "expert_bytes": 1}
    document["models"] = [*document["models"], half]
    with pytest.raises(InputError, match=rf"^models\[1\]: .* more than {MAX_EXPERTS} experts"):
        instance_from_dict(document)


def test_the_second_model_has_its_own_shape(document):
    document["models"].append(
        {"name": "small", "layers": 1, "experts": 2, "top_k": 1, "expert_bytes": [[3, 4]]}
    )
    document["users"][1] |= {"model": "small", "local_experts": [[0, 2]]}
    with pytest.raises(InputError, match=r"^users\[1\].local_experts\[0\]\[1\]: .* model 'small'"):
        instance_from_dict(document)


@pytest.mark.parametrize(
    ("text", "twice", "match"),
    [
        ('"version": 1', '"version": 1, "version": 1', "^version: the field occurs twice$"),
        ('"top_k": 2', '"top_k": 2, "top_k": 3', r"^models\[0\]\.top_k: the field occurs twice$"),
        ('"rate": [', '"rate": [], "rate": [', r"^demands\.rate: the field occurs twice$"),
        (
            '"cloud_latency_ms": 8.0',
            '"cloud_latency_ms": 8.0, "cloud_latency_ms": 8.0',
            r"^users\[1\]\.cloud_latency_ms: the field occurs twice$",
        ),
    ],
)
def test_repeated_keys(document, text, twice, match):
    before = json.dumps(document)
    assert before.count(text) == 1
    with pytest.raises(InputError, match=match):
        instance_from_dict(decode_json(before.replace(text, twice).encode()))


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_tokens_that_are_no_numbers(document, token):
    text = json.dumps(document).replace("0.125", token)
    with pytest.raises(InputError, match=r"^demands\.rate\[4\]: -?(nan|inf) is not a finite"):
        instance_from_dict(decode_json(text.encode()))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "^not JSON: Expecting value: line 1 column 1"),
        (b"{", "^not JSON: Expecting property name"),
        (b'{"a": 1} x', "^not JSON: Extra data"),
        (b'{"a": \xff}', "^not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 10**6, "^not JSON that can be read: nested too deeply$"),
        (b'{"a": ' + b"9" * 5000 + b"}", "^not JSON: Exceeds the limit"),
    ],
)
def test_not_json(data, match):
    with pytest.raises(InputError, match=match):
        decode_json(data)


@given(data=st.data(), instance=instances())
def test_any_value_anywhere_is_refused_or_understood(data, instance):
    document = instance_to_dict(instance)
    path = data.draw(st.sampled_from(list(nodes(document))))
    changed = edited(document, path, data.draw(anything))
    read = unless_refused(lambda: instance_from_dict(changed))
    if read is not None:
        assert instance_from_dict(instance_to_dict(read)).checksum() == read.checksum()
