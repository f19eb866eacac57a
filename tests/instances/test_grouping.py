import json
import re

import pytest

from instances.errors import InputError
from instances.grouping import blocks, deal, group_requests

USERS = ("ann", "bob", "eve")


def group(tmp_path, grouping, requests=5):
    return group_requests(grouping, tmp_path / "routes.npz", requests, USERS).tolist()


def test_dealing_and_blocks():
    assert deal(5, 3).tolist() == [0, 1, 2, 0, 1]
    assert blocks(5, 2, 3).tolist() == [0, 0, 0, 1, 1]
    assert blocks(7, 3, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert blocks(2, 3, 3).tolist() == [0, 1]
    with pytest.raises(InputError, match=r"grouping: 4 is not in 1\.\.3, the users of the network"):
        blocks(5, 4, 3)


def test_a_number_means_blocks(tmp_path):
    assert group(tmp_path, "2") == [0, 0, 0, 1, 1]
    with pytest.raises(InputError, match=r"grouping: 0 is not in 1\.\.3"):
        group(tmp_path, "0")


def test_a_field_keeps_requests_alike_together(tmp_path):
    values = ["law", "math", "law", "art", 7]
    records = [{"task": value, "user": user} for value, user in zip(values, "abcde", strict=True)]
    path = tmp_path / "requests.json"
    path.write_text(json.dumps(records))
    assert group(tmp_path, "field:task") == [0, 1, 0, 2, 0]  # four values, three users
    for record, user in zip(records, ["eve", "ann", "bob", "eve", "ann"], strict=True):
        record["user"] = user
    path.write_text(json.dumps(records))
    assert group(tmp_path, "field:user") == [2, 0, 1, 2, 0]
    records[3]["user"] = "joe"
    path.write_text(json.dumps(records))
    with pytest.raises(
        InputError, match=r"requests\.json: \[3\]\.user: 'joe' is not the name of a"
    ):
        group(tmp_path, "field:user")
    with pytest.raises(InputError, match=r"\[0\]\.topic: the field is missing; fields there: task"):
        group(tmp_path, "field:topic")
    with pytest.raises(InputError, match=r"requests\.json: 5 requests where the routes have 4"):
        group(tmp_path, "field:user", requests=4)
    records[1]["user"] = None
    path.write_text(json.dumps(records))
    with pytest.raises(InputError, match=r"\[1\]\.user: null is neither text nor an integer"):
        group(tmp_path, "field:user")
    path.unlink()
    with pytest.raises(InputError, match=r"requests\.json: cannot be read: No such file"):
        group(tmp_path, "field:user")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.json", '["eve", "ann", "ann", "bob", "eve"]'),
        ("map.json", '{"4": "eve", "0": "eve", "1": "ann", "2": "ann", "3": "bob"}'),
        ("map.csv", "request,user\n0,eve\n4,eve\n1,ann\n2,ann\n3,bob\n"),
        ("MAP.CSV", '\ufeffrequest,user\r\n0,"eve"\r\n\r\n4,eve\r\n1,ann\r\n2,ann\r\n3,bob'),
    ],
)
def test_files_name_a_user_for_each_request(tmp_path, name, text):
    (tmp_path / name).write_text(text, "utf-8", newline="")
    assert group(tmp_path, str(tmp_path / name)) == [2, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.json", "[", "not JSON"),
        ("m.json", "3", "3 is not an object"),
        ("m.json", '["ann"]', "1 users where 5 requests need one each"),
        ("m.json", '["ann", "bob", "eve", "joe", "ann"]', "[3]: 'joe' is not the name of a user"),
        ("m.json", '["ann", "bob", "eve", 3, "ann"]', "[3]: 3 is not the name of a user"),
        ("m.json", '{"0": "ann", "5": "ann"}', "['5']: '5' is not a request in 0..4"),
        ("m.json", '{"-1": "ann"}', "['-1']: '-1' is not a request in 0..4"),
        ("m.json", '{"01": "ann"}', "['01']: '01' is not a request in 0..4"),
        ("m.json", '{"0": "ann", "0": "bob"}', "['0']: the field occurs twice"),
        ("m.json", '{"0": "ann", "1": "ann"}', "request 2 has no user"),
        ("m.csv", "", "line 1: '' is not request,user"),
        ("m.csv", "0,ann\n", "line 1: '0,ann' is not request,user"),
        ("m.csv", "request,user\n0,ann,3\n", "line 2: 3 fields where request,user is needed"),
        ("m.csv", "request,user\n0,joe\n", "line 2.user: 'joe' is not the name of a user"),
        ("m.csv", "request,user\nx,ann\n", "line 2.request: 'x' is not a request in 0..4"),
        ("m.csv", "request,user\n1,ann\n1,bob\n", "line 3.request: 1 is already in a line before"),
        ("m.csv", "request,user\n1,ann\n", "request 0 has no user"),
        ("m.csv", 'request,user\n1,"ann\n', "not a CSV file"),
        ("m.txt", "", "is neither a number, nor field:NAME, nor a .json or .csv file"),
    ],
)
def test_wrong_files_are_refused(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        group(tmp_path, str(path))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read: No such file"):
        group(tmp_path, str(tmp_path / "none.csv"))
    (tmp_path / "m.csv").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"m\.csv: not a CSV file"):
        group(tmp_path, str(tmp_path / "m.csv"))
