"""Files of published instances, read into placement problems."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from instances.errors import InputError
from instances.files import StrPath, read_bytes
from instances.problem import Instance
from instances.published.dimacs import parse_dimacs
from instances.published.k_cluster import parse_k_cluster
from instances.published.quadratic_knapsack import parse_quadratic_knapsack
from instances.published.set_union_knapsack import parse_set_union_knapsack


def _quadratic_knapsack(text: str, stem: str, size: int | None) -> Instance:
    return parse_quadratic_knapsack(text).instance()


def _set_union_knapsack(text: str, stem: str, size: int | None) -> Instance:
    problem = parse_set_union_knapsack(text)
    return replace(problem, name=problem.name or stem).instance()


def _k_cluster(text: str, stem: str, size: int | None) -> Instance:
    problem = parse_k_cluster(text, stem)
    return (problem if size is None else problem.of_size(size)).instance()


def _dimacs(text: str, stem: str, size: int | None) -> Instance:
    if size is None:
        raise InputError(
            "--k", "is missing: a DIMACS file does not say how many vertices to choose"
        )
    return parse_dimacs(text, stem, size).instance()


FORMS: Mapping[str, Callable[[str, str, int | None], Instance]] = MappingProxyType(
    {
        "qkp": _quadratic_knapsack,
        "sukp": _set_union_knapsack,
        "kcluster": _k_cluster,
        "dimacs": _dimacs,
    }
)
"""What makes an instance of a text, the file's name without its ending, and k, by format."""


def read_published(
    path: StrPath, form: str, *, size: int | None = None, name: str | None = None
) -> Instance:
    """Read a file of a published instance.

    Parameters
    ----------
    path, form
        The file, and its format: one of :data:`FORMS`.
    size
        k, how many vertices to choose; needed for ``dimacs``, and replaces that of a ``kcluster``.
    name
        Name of the instance; by default what the file says, or the file's name.

    Raises
    ------
    InputError
        Names the file, the line and the value that is wrong.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("", f"not text in UTF-8: {error.reason}", source=os.fspath(path)) from None
    try:
        instance = FORMS[form](text, Path(path).stem, size)
    except InputError as error:
        raise (error if error.field == "--k" else error.in_file(os.fspath(path))) from None
    return instance if name is None else replace(instance, name=name)
