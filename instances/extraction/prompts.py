"""Prompts to be traced: a text file with one in each line, or JSON lines.

A ``.txt`` file has one prompt in each line; empty lines are left out. A line of a ``.jsonl`` file
is an object with ``prompt`` (text) or ``token_ids`` (a list of token numbers, for models without a
tokenizer), and optionally ``user``, a name by which requests can be grouped.
"""

import os
from dataclasses import dataclass

from instances.errors import InputError
from instances.fields import decode_json, integers, require_fields, require_name, show
from instances.files import StrPath, read_bytes

SUFFIXES = (".txt", ".jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt: its text, or its tokens where ``text`` is None; and whose it is, or None."""

    text: str | None
    token_ids: tuple[int, ...]
    user: str | None
    where: str


def read_prompts(path: StrPath) -> tuple[Prompt, ...]:
    """Read a file of prompts.

    Raises
    ------
    InputError
        Names the file, the line, the field and the value that is wrong.
    """
    name = os.fspath(path)
    if not name.lower().endswith(SUFFIXES):
        raise InputError("", f"the name must end in {' or '.join(SUFFIXES)}", source=name)
    data = read_bytes(path)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError("", f"not text in UTF-8: {error}", source=name) from None
    parse = _from_json if name.lower().endswith(".jsonl") else _from_text
    prompts = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                prompts.append(parse(line, f"line {number}"))
            except InputError as error:
                raise error.within(f"line {number}").in_file(name) from None
    if not prompts:
        raise InputError("", "holds no prompt", source=name)
    return tuple(prompts)


def _from_text(line: str, where: str) -> Prompt:
    return Prompt(text=line, token_ids=(), user=None, where=where)


def _from_json(line: str, where: str) -> Prompt:
    fields = require_fields(decode_json(line.encode()), "", (), ("prompt", "token_ids", "user"))
    if ("prompt" in fields) == ("token_ids" in fields):
        raise InputError("", "needs either prompt or token_ids")
    user = require_name(fields["user"], "user") if "user" in fields else None
    if "token_ids" in fields:
        tokens = integers(fields["token_ids"], "token_ids").tolist()
        if not tokens:
            raise InputError("token_ids", "the list is empty")
        return Prompt(text=None, token_ids=tuple(tokens), user=user, where=where)
    text = fields["prompt"]
    if not isinstance(text, str) or not text:
        raise InputError("prompt", f"{show(text)} is not text, or empty")
    return Prompt(text=text, token_ids=(), user=user, where=where)
