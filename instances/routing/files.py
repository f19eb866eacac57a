"""Router files: parameters of a routing model, and the shape of the model that they stand for.

    {"format": "moeplace/router", "version": 1, "name": "gpt-oss-20b",
     "model": {"layers": 24, "experts": 32, "top_k": 4},
     "router": {"rank": 8, "user_weight": 3.0, ...}}

``router`` holds every field of :class:`~instances.routing.router.Router` and no other.
"""

import os
from dataclasses import asdict, dataclass, fields
from typing import Any

from instances.documents import document_text
from instances.errors import InputError
from instances.fields import require_fields, require_integer, require_name, require_number
from instances.files import read_json, write_json
from instances.parsing import VERSION, check_header, check_model_size
from instances.routing.router import CLASSES, Router

ROUTER_FORMAT = "moeplace/router"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRouter:
    """A router with a name and the shape of a model.

    Parameters
    ----------
    name
        Part of the names of what is drawn from it.
    router
        The parameters.
    layers, experts, top_k
        Shape of the model that it was fitted to; it can be drawn from for any other.

    Raises
    ------
    InputError
        When the shape is out of range.
    """

    name: str
    router: Router
    layers: int
    experts: int
    top_k: int

    def __post_init__(self) -> None:
        check_model_size("model", self.layers, self.experts, 0)
        if not 1 <= self.top_k <= self.experts:
            raise InputError("model.top_k", f"{self.top_k} is not in 1..{self.experts}")


_SHAPES = {"fine-grained": (24, 32, 4), "mixtral-like": (32, 8, 2), "uniform": (24, 32, 4)}


def find_router(text: str) -> NamedRouter:
    """Return a calibrated class by its name, or what a router file holds.

    Raises
    ------
    InputError
        When it is neither.
    """
    if text in CLASSES:
        layers, experts, top_k = _SHAPES[text.removesuffix("-independent")]
        return NamedRouter(
            name=text, router=CLASSES[text], layers=layers, experts=experts, top_k=top_k
        )
    if not text.lower().endswith((".json", ".json.gz")):
        raise InputError(
            "router", f"{text!r} is neither a .json file nor one of {', '.join(CLASSES)}"
        )
    return read_router(text)


def read_router(path: str | os.PathLike[str]) -> NamedRouter:
    """Read a router file.

    Raises
    ------
    InputError
        When it cannot be read, or names the field that is wrong.
    """
    content = read_json(path)
    try:
        return router_from_dict(content)
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def write_router(path: str | os.PathLike[str], named: NamedRouter) -> None:
    """Write a router file.

    Raises
    ------
    InputError
        When the suffix is unknown or the file cannot be written.
    """
    write_json(path, document_text(router_to_dict(named)))


def router_from_dict(content: object) -> NamedRouter:
    """Make a router of the content of a file.

    Raises
    ------
    InputError
        Names the field that is wrong.
    """
    check_header(content, ROUTER_FORMAT)
    document = require_fields(content, "", ("format", "version", "name", "model", "router"))
    name = require_name(document["name"], "name")
    shape = require_fields(document["model"], "model", ("layers", "experts", "top_k"))
    sizes = {field: require_integer(value, f"model.{field}") for field, value in shape.items()}
    names = [field.name for field in fields(Router)]
    given = require_fields(document["router"], "router", names)
    parameters: dict[str, Any] = {}
    for field in fields(Router):
        require = require_integer if field.type is int else require_number
        parameters[field.name] = require(given[field.name], f"router.{field.name}")
    try:
        router = Router(**parameters)
    except InputError as error:
        raise error.within("router") from None
    return NamedRouter(name=name, router=router, **sizes)


def router_to_dict(named: NamedRouter) -> dict[str, Any]:
    """Return the content of a router file."""
    return {
        "format": ROUTER_FORMAT,
        "version": VERSION,
        "name": named.name,
        "model": {"layers": named.layers, "experts": named.experts, "top_k": named.top_k},
        "router": asdict(named.router),
    }
