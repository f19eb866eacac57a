"""Which form a file has: by its suffix, and where several share one, by how it begins."""

from collections.abc import Callable

from instances.errors import InputError
from instances.importers.csv_counts import COLUMNS
from instances.importers.json_lines import objects_of
from instances.importers.npz import names_of_npz
from instances.importers.text import header_of
from instances.importers.vllm import GENERATED


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
    raise InputError("", f"unknown kind of file, none of {', '.join(_SUFFIXES)}; name the form")


def _of_npz(data: bytes) -> str:
    return "vllm" if any(GENERATED in name for name in names_of_npz(data)) else "routes"


def _of_csv(data: bytes) -> str:
    return "counts" if header_of(data)[: len(COLUMNS)] == list(COLUMNS) else "csv"


def _of_jsonl(data: bytes) -> str:
    for line, record in objects_of(data):
        for field, form in _FIELDS.items():
            if field in record:
                return form
        raise InputError(line, f"none of the fields {', '.join(_FIELDS)}; name the form")
    raise InputError("", "no JSON object in it")


_FIELDS = {"top_indices": "megatron", "meta_info": "sglang", "choices": "vllm"}

_SUFFIXES: dict[str, Callable[[bytes], str]] = {
    ".npz": _of_npz,
    ".npy": lambda data: "vllm",
    ".csv": _of_csv,
    ".parquet": lambda data: "parquet",
    ".jsonl": _of_jsonl,
    ".pt": lambda data: "sglang",
    ".gguf": lambda data: "imatrix",
}
