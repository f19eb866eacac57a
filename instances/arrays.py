"""Arrays as the frozen nouns hold them: cast, and read-only for ever."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instances.errors import InputError


def frozen_array(value: ArrayLike, dtype: Any, path: str, ndim: int) -> NDArray[Any]:
    """Return an array of the given type that nobody can ever write to.

    Its memory is that of a ``bytes`` object. What already is such an array is taken as it is:
    variants of a large instance share what they have in common, and what was read from a file is
    not copied. Everything else is copied.

    Raises
    ------
    InputError
        When the shape is wrong or a cast would change a value.
    """
    source = np.asarray(value)
    if source.ndim != ndim:
        raise InputError(path, f"{source.ndim} dimensions where {ndim} are needed")
    if source.dtype == dtype and _is_frozen(source):
        return source
    if source.size and source.dtype.kind not in ("iu" if np.dtype(dtype).kind == "i" else "iuf"):
        raise InputError(path, f"values of type {source.dtype} where {np.dtype(dtype)} is needed")
    if np.dtype(dtype).kind == "i" and source.size and source.dtype != dtype:
        limits = np.iinfo(dtype)
        for extreme in (source.min(), source.max()):
            if not limits.min <= int(extreme) <= limits.max:
                raise InputError(path, f"{extreme} is out of range")
    content = source.astype(dtype, order="C", copy=False).tobytes()
    return np.frombuffer(content, dtype=dtype).reshape(source.shape)


def _is_frozen(array: NDArray[Any]) -> bool:
    """Tell whether an array is laid out as kernels need it, in memory that cannot change.

    Being read-only is not enough: whoever made the array may have kept a view that is not.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return array.flags.c_contiguous and array.flags.aligned and type(base) is bytes
