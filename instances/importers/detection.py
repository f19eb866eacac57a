"""Which form a file has: by its suffix, and where several share one, by how it begins."""

from collections.abc import Callable

from instances.errors import InputError
from instances.importers.csv_counts import COLUMNS
from instances.importers.npz import names_of_npz
from instances.importers.text import header_of


def form_of(name: str, data: bytes) -> str:
    """Return the name of the form of a file.

    Raises
    ------
    InputError
        When no form has such files.
    """
    for suffix, tell in _SUFFIXES.items():
        if name.lower().endswith(suffix):
            return tell(data)
    raise InputError(
        "", f"none of {', '.join(_SUFFIXES)}; name the form if it is one of another suffix"
    )


def _of_npz(data: bytes) -> str:
    return "vllm" if any("routed_experts" in name for name in names_of_npz(data)) else "routes"


def _of_csv(data: bytes) -> str:
    return "counts" if header_of(data)[: len(COLUMNS)] == list(COLUMNS) else "csv"


_SUFFIXES: dict[str, Callable[[bytes], str]] = {
    ".npz": _of_npz,
    ".csv": _of_csv,
}
