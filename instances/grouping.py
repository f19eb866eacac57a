"""Grouping: which user each request of a trace belongs to.

All functions return indices into the users of the network file, int64 (requests,).
"""

import csv
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.fields import decode_json, require_list, require_object, show
from instances.files import read_bytes

REQUESTS_FILE = "requests.json"
"""A list with one object for each request, beside the routes file."""


def deal(num_requests: int, num_users: int) -> NDArray[np.int64]:
    """Deal the requests out to the users in turn."""
    return np.arange(num_requests, dtype=np.int64) % num_users


def blocks(num_requests: int, num_blocks: int, num_users: int) -> NDArray[np.int64]:
    """Split the requests into contiguous blocks of nearly equal length, one for each first user.

    Raises
    ------
    InputError
        When there are more blocks than users, or none.
    """
    if not 1 <= num_blocks <= num_users:
        raise InputError(
            "grouping", f"{num_blocks} is not in 1..{num_users}, the users of the network"
        )
    return np.arange(num_requests, dtype=np.int64) * num_blocks // max(num_requests, 1)


def group_requests(
    grouping: str, routes_path: str | os.PathLike[str], num_requests: int, users: tuple[str, ...]
) -> NDArray[np.int64]:
    """Group the requests as a user asked for on the command line.

    Parameters
    ----------
    grouping
        - ``N``: contiguous blocks of requests for the first N users;
        - ``field:NAME``: by a field of ``requests.json`` beside the routes file. Values that are
          names of users go to these users; where none is, the values are dealt out to the users
          in the order in which they appear, so that requests alike stay together;
        - a ``.json`` or ``.csv`` file that names a user for each request: a list of names, an
          object ``{"0": "ann"}``, or lines under the heading ``request,user``.
    routes_path
        The routes file.
    num_requests, users
        Requests of the trace, and names of the users of the network.

    Raises
    ------
    InputError
        When it is none of these, or does not name a user for every request.
    """
    if re.fullmatch(r"[0-9]{1,18}", grouping):
        return blocks(num_requests, int(grouping), len(users))
    if grouping.startswith("field:"):
        path = Path(routes_path).with_name(REQUESTS_FILE)
        return _in_file(path, _by_field, grouping.removeprefix("field:"), num_requests, users)
    if grouping.lower().endswith(".json"):
        return _in_file(Path(grouping), _from_json, num_requests, users)
    if grouping.lower().endswith(".csv"):
        return _in_file(Path(grouping), _from_csv, num_requests, users)
    raise InputError(
        "grouping", f"{grouping!r} is neither a number, nor field:NAME, nor a .json or .csv file"
    )


def _in_file(path: Path, parse: Any, *arguments: Any) -> NDArray[np.int64]:
    data = read_bytes(path)
    try:
        return np.array(parse(data, *arguments), dtype=np.int64)
    except InputError as error:
        raise error.in_file(str(path)) from None


def _by_field(data: bytes, field: str, num_requests: int, users: tuple[str, ...]) -> list[int]:
    records = require_list(decode_json(data), "")
    if len(records) != num_requests:
        raise InputError("", f"{len(records)} requests where the routes have {num_requests}")
    values = []
    for index, record in enumerate(records):
        fields = require_object(record, f"[{index}]")
        if field not in fields:
            known = ", ".join(fields) or "none"
            raise InputError(f"[{index}].{field}", f"the field is missing; fields there: {known}")
        value = fields[field]
        if not isinstance(value, str | int):
            raise InputError(f"[{index}].{field}", f"{show(value)} is neither text nor an integer")
        values.append(value if isinstance(value, str) else show(value))
    index_of = {name: index for index, name in enumerate(users)}
    if not any(value in index_of for value in values):
        # No names of users: deal the values out, in the order in which they appear.
        distinct = list(dict.fromkeys(values))
        index_of = {value: index % len(users) for index, value in enumerate(distinct)}
    return [_user(value, f"[{i}].{field}", index_of) for i, value in enumerate(values)]


def _from_json(data: bytes, num_requests: int, users: tuple[str, ...]) -> list[int]:
    content = decode_json(data)
    index_of = {name: index for index, name in enumerate(users)}
    if isinstance(content, list):
        if len(content) != num_requests:
            raise InputError(
                "", f"{len(content)} users where {num_requests} requests need one each"
            )
        return [_user(name, f"[{i}]", index_of) for i, name in enumerate(content)]
    user_of: dict[int, int] = {}
    for key, name in require_object(content, "").items():
        user_of[_request(key, f"[{show(key)}]", num_requests)] = _user(
            name, f"[{show(key)}]", index_of
        )
    return _complete(user_of, num_requests)


def _from_csv(data: bytes, num_requests: int, users: tuple[str, ...]) -> list[int]:
    try:
        text = data.decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("", f"not a CSV file: {error}") from None
    if not lines or lines[0] != ["request", "user"]:
        raise InputError(
            "line 1", f"{show(','.join(lines[0]) if lines else '')} is not request,user"
        )
    index_of = {name: index for index, name in enumerate(users)}
    user_of: dict[int, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        path = f"line {number}"
        if not line:
            continue
        if len(line) != 2:
            raise InputError(path, f"{len(line)} fields where request,user is needed")
        request = _request(line[0], f"{path}.request", num_requests)
        if request in user_of:
            raise InputError(f"{path}.request", f"{request} is already in a line before")
        user_of[request] = _user(line[1], f"{path}.user", index_of)
    return _complete(user_of, num_requests)


def _request(text: str, path: str, num_requests: int) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,17}", text) or int(text) >= num_requests:
        raise InputError(path, f"{show(text)} is not a request in 0..{num_requests - 1}")
    return int(text)


def _user(name: object, path: str, index_of: dict[str, int]) -> int:
    if not isinstance(name, str) or name not in index_of:
        raise InputError(path, f"{show(name)} is not the name of a user of the network")
    return index_of[name]


def _complete(user_of: dict[int, int], num_requests: int) -> list[int]:
    for request in range(num_requests):
        if request not in user_of:
            raise InputError("", f"request {request} has no user")
    return [user_of[request] for request in range(num_requests)]
