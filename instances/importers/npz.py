"""Arrays as npz files whose bytes depend on nothing but the arrays, and what npz files hold."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.archive import npy_bytes
from instances.errors import InputError

_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that zip knows


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the content of a compressed npz file."""
    members = {f"{name}.npy": npy_bytes(array) for name, array in arrays.items()}
    return zip_bytes(members, compression=zipfile.ZIP_DEFLATED)


def zip_bytes(members: Mapping[str, bytes], *, compression: int) -> bytes:
    """Return the content of a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=_DATE), data, compression)
    return file.getvalue()


def names_of_npz(data: bytes) -> list[str]:
    """Return the names of the arrays of an npz file.

    Raises
    ------
    InputError
        When it is not a zip file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError("", f"not a readable npz archive: {error}") from None


def as_integers(array: NDArray[Any], name: str, axes: tuple[str, ...]) -> NDArray[Any]:
    """Return an array of integers with these axes, none of them empty.

    Raises
    ------
    InputError
        When it is of another type or shape.
    """
    if array.dtype.kind not in "iu" or array.ndim != len(axes):
        raise InputError(
            name,
            f"{array.dtype} array of {array.ndim} dimensions where integers "
            f"[{', '.join(axes)}] are needed",
        )
    if 0 in array.shape:
        raise InputError(name, f"shape {array.shape} is empty")
    return np.asarray(array)
