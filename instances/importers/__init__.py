"""Importers: recorded routing in the forms in which systems write it.

:func:`read_recording` reads a file of any of them. Each form has a module here with a reader, and
a writer with the same field names, from which :func:`write_example` makes a small file to look at.
What a reader does not understand it refuses with one line; nothing is repaired and no code in a
file is ever run.
"""

import os
from pathlib import Path

from instances.architectures import ARCHITECTURES, Architecture
from instances.errors import InputError
from instances.files import read_bytes, write_atomically
from instances.importers import (
    archive_routes,
    csv_counts,
    csv_routes,
    imatrix,
    megatron,
    parquet_routes,
    sglang,
    vllm,
)
from instances.importers.detection import form_of
from instances.importers.form import Form, Recording
from instances.importers.recordings import example_counts, example_routes
from instances.registry import Registry
from instances.traces import Counts, Routes, check_fit

__all__ = ["FORMS", "Form", "Recording", "read_recording", "write_example"]

FORMS = Registry[Form]("form")
for _module in (
    archive_routes,
    csv_routes,
    parquet_routes,
    vllm,
    sglang,
    megatron,
    csv_counts,
    imatrix,
):
    FORMS.register(_module.FORM)


def read_recording(
    path: str | os.PathLike[str],
    *,
    form: str | None = None,
    architecture: str | Architecture | None = None,
) -> Recording:
    """Read recorded routing.

    Parameters
    ----------
    path
        The file.
    form
        Name of its form, a key of :data:`FORMS`; None tells it by the suffix and the beginning.
    architecture
        Model that was recorded, by name or itself: which layers are dense, how many experts there
        are. None when it is not in the catalogue; then layers that look dense are refused.

    Raises
    ------
    InputError
        Names the file, the field, the index and the value that is wrong; a recording of other
        layers or experts than those of the architecture is wrong, too.
    """
    known = None if form is None else FORMS.get(form)
    if isinstance(architecture, str):
        architecture = ARCHITECTURES.get(architecture)
    data = read_bytes(path)
    try:
        if known is None:
            known = FORMS.get(form_of(Path(path).name, data))
        recording = known.read(data, architecture)
        if architecture is not None:
            check_fit(recording, architecture.model())
        return recording
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def write_example(path: str | os.PathLike[str], form: str, *, counts: bool = False) -> None:
    """Write a small file of a form, with the field names that the system uses.

    Parameters
    ----------
    path
        The file.
    form
        Name of the form, a key of :data:`FORMS`.
    counts
        Whether to write counts where a form holds routes, too.

    Raises
    ------
    InputError
        When the form is unknown or the file cannot be written.
    """
    known = FORMS.get(form)
    kind = Counts if counts else known.holds[0]
    if kind not in known.holds:
        raise InputError("form", f"{known.name} holds routes, no counts")
    recording = example_routes() if kind is Routes else example_counts()
    write_atomically(path, known.write(recording))
