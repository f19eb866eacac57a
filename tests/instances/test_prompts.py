import pytest

from instances.errors import InputError
from instances.extraction.prompts import read_prompts


def test_text_lines(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("How far is the moon?\n\n  Grüße \n")
    found = read_prompts(path)
    assert [(each.text, each.where) for each in found] == [
        ("How far is the moon?", "line 1"),
        ("  Grüße ", "line 3"),
    ]
    assert all(each.user is None and each.token_ids == () for each in found)


def test_json_lines(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a\\nb", "user": "ann"}\n{"token_ids": [3, 1], "user": "bob"}\n')
    first, second = read_prompts(path)
    assert (first.text, first.user) == ("a\nb", "ann")
    assert (second.text, second.token_ids, second.user) == (None, (3, 1), "bob")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"x", r"the name must end in \.txt or \.jsonl"),
        ("p.txt", b"\n \n", "holds no prompt"),
        ("p.txt", b"\xff", "not text in UTF-8"),
        ("p.jsonl", b"x", "line 1: not JSON"),
        ("p.jsonl", b'{"prompt": "a"}\n{"text": "a"}', "line 2.text: unknown field"),
        ("p.jsonl", b'{"user": "ann"}', "line 1: needs either prompt or token_ids"),
        ("p.jsonl", b'{"prompt": "a", "token_ids": [1]}', "line 1: needs either"),
        ("p.jsonl", b'{"prompt": 7}', "line 1.prompt: 7 is not text"),
        ("p.jsonl", b'{"prompt": ""}', "line 1.prompt: '' is not text, or empty"),
        ("p.jsonl", b'{"token_ids": []}', "line 1.token_ids: the list is empty"),
        ("p.jsonl", b'{"token_ids": [1, "2"]}', r"line 1.token_ids\[1\]: '2' is not an integer"),
        ("p.jsonl", b'{"prompt": "a", "user": ""}', "line 1.user: '' is not a name"),
    ],
)
def test_mistakes(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: {message}"):
        read_prompts(path)
