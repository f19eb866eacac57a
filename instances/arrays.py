"""Arrays as the frozen nouns hold them: copied, cast, read-only."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instances.errors import InputError


def frozen_array(value: ArrayLike, dtype: Any, path: str, ndim: int) -> NDArray[Any]:
    """Copy into a read-only array of the given type.

    Raises
    ------
    InputError
        When the shape is wrong or a cast would change a value.
    """
    source = np.asarray(value)
    if source.ndim != ndim:
        raise InputError(path, f"{source.ndim} dimensions where {ndim} are needed")
    if source.size and source.dtype.kind not in ("iu" if np.dtype(dtype).kind == "i" else "iuf"):
        raise InputError(path, f"values of type {source.dtype} where {np.dtype(dtype)} is needed")
    if np.dtype(dtype).kind == "i" and source.size:
        limits = np.iinfo(dtype)
        for extreme in (source.min(), source.max()):
            if not limits.min <= int(extreme) <= limits.max:
                raise InputError(path, f"{extreme} is out of range")
    array = np.array(source, dtype=dtype, order="C", copy=True)
    array.setflags(write=False)
    return array
