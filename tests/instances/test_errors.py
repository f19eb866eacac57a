import pickle

import pytest

from instances.errors import InputError


def test_message_names_source_field_and_problem_in_one_line():
    error = InputError("users[2].name", "'a\nb' is odd", source="x.json")
    assert str(error) == "x.json: users[2].name: 'a b' is odd"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("", "not JSON").in_file("x.json"), "x.json: not JSON"),
        (InputError("top_k", "0 is bad").within("models[1]"), "models[1].top_k: 0 is bad"),
        (InputError("", "not JSON").within("header"), "header: not JSON"),
        (
            InputError("top_k", "0 is bad").within("models[1]").in_file("x.json"),
            "x.json: models[1].top_k: 0 is bad",
        ),
        (
            InputError("top_k", "0 is bad").in_file("x.json").within("models[1]"),
            "x.json: models[1].top_k: 0 is bad",
        ),
    ],
)
def test_places_are_added_from_the_inside_out(error, message):
    assert str(error) == message


def test_survives_pickling_between_processes():
    error = pickle.loads(pickle.dumps(InputError("a", "b", source="c")))
    assert (error.field, error.problem, error.source, str(error)) == ("a", "b", "c", "c: a: b")
