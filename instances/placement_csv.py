"""Placements as a plain table: one line for each stored expert, for scripts and spreadsheets.

The columns are ``server,model,layer,expert,bytes``; servers, models and layers in the order of the
instance, experts ascending.
"""

import csv
import io
import os

import numpy as np

from instances.errors import InputError
from instances.fields import hint
from instances.files import StrPath, read_bytes, write_atomically
from instances.placement import Placement
from instances.problem import Instance

COLUMNS = ("server", "model", "layer", "expert", "bytes")


def write_placement_csv(path: StrPath, instance: Instance, placement: Placement) -> None:
    """Write a placement as a table.

    Raises
    ------
    InputError
        When a server stores more than its capacity, or the file cannot be written.
    """
    placement.check_capacity(instance)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for server, flat in np.argwhere(placement.stored).tolist():
        model, layer, expert = instance.locate(flat)
        lines.writerow(
            (
                instance.server_names[server],
                instance.models[model].name,
                layer,
                expert,
                int(instance.expert_bytes[flat]),
            )
        )
    write_atomically(path, text.getvalue().encode())


def read_placement_csv(path: StrPath, instance: Instance) -> Placement:
    """Read a placement from such a table.

    Raises
    ------
    InputError
        When it cannot be read, or names the line, the column and the value that is wrong; a size
        that is not the expert's and a server that stores more than its capacity are wrong, too.
    """
    data = read_bytes(path)
    try:
        return _placement(data, instance)
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def _placement(data: bytes, instance: Instance) -> Placement:
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("", f"not a CSV table in UTF-8: {error}") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        found = ",".join(rows[0]) if rows else ""
        raise InputError("line 1", f"{found!r} is not the heading {','.join(COLUMNS)!r}")
    servers = {name: n for n, name in enumerate(instance.server_names)}
    models = {model.name: m for m, model in enumerate(instance.models)}
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    for number, row in enumerate(rows[1:], start=2):
        where = f"line {number}"
        if len(row) != len(COLUMNS):
            raise InputError(where, f"{len(row)} values where {len(COLUMNS)} are needed")
        server = _index(row[0], servers, f"{where}, server")
        model_idx = _index(row[1], models, f"{where}, model")
        model = instance.models[model_idx]
        layer = _integer(row[2], model.layers, f"{where}, layer")
        expert = _integer(row[3], model.experts, f"{where}, expert")
        flat = int(instance.model_expert_offset[model_idx]) + layer * model.experts + expert
        if row[4] != str(instance.expert_bytes[flat]):
            raise InputError(
                f"{where}, bytes",
                f"{row[4]!r} is not {instance.expert_bytes[flat]}, the size of the expert",
            )
        if stored[server, flat]:
            raise InputError(where, "the server stores that expert already, in a line before")
        stored[server, flat] = True
    placement = Placement(stored)
    placement.check_capacity(instance)
    return placement


def _index(name: str, known: dict[str, int], where: str) -> int:
    if name not in known:
        raise InputError(where, f"{name!r} is not in the instance{hint(name, known)}")
    return known[name]


def _integer(text: str, limit: int, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text) < limit):
        raise InputError(where, f"{text!r} is not in 0..{limit - 1}")
    return int(text)
