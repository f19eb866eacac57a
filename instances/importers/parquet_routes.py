"""Routes as Parquet: the columns of the CSV form (:mod:`instances.importers.table`)."""

import io
from importlib import import_module
from typing import Any

import numpy as np

from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import show
from instances.importers.form import Form, Recording
from instances.importers.recordings import require_routes
from instances.importers.table import check_columns, column_names, routes_of_table, table_of_routes
from instances.memory import require_memory
from instances.traces import Routes


def read(data: bytes, architecture: Architecture | None) -> Routes:
    """Read the content of a Parquet file of routes."""
    arrow, parquet = _pyarrow()
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        names = list(file.schema_arrow.names)
        check_columns(names)
        for name, kind in zip(names, file.schema_arrow.types, strict=True):
            if not arrow.types.is_integer(kind):
                raise InputError(name, f"a column of type {show(str(kind))}, not of integers")
        require_memory(16 * len(names) * file.metadata.num_rows, "")
        table = file.read()
    except InputError:
        raise
    except (arrow.ArrowException, ValueError, OSError) as error:
        raise InputError("", f"not a readable Parquet file: {_line(error)}") from None
    if table.num_rows == 0:
        raise InputError("", "no rows")
    columns = []
    for name in names:
        column = table.column(name)
        if column.null_count:
            raise InputError(name, "a value is missing")
        values = column.to_numpy()
        if values.dtype == np.uint64 and values.max() > np.iinfo(np.int64).max:
            raise InputError(name, f"{values.max()} does not fit into 64 bits")
        columns.append(values.astype(np.int64))
    return routes_of_table(np.column_stack(columns[:3]), np.column_stack(columns[3:]))


def write(recording: Recording) -> bytes:
    """Return the content of a Parquet file of routes."""
    routes = require_routes(recording)
    table = table_of_routes(routes)
    arrow, parquet = _pyarrow()
    names = column_names(routes.top_k)
    columns = [table[:, i].astype(np.int32) for i in range(len(names))]
    file = io.BytesIO()
    parquet.write_table(arrow.table(columns, names=names), file)
    return file.getvalue()


def _pyarrow() -> tuple[Any, Any]:
    """Return the modules, which are an extra."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise InputError("", "Parquet needs pyarrow: pip install moeplace[parquet]") from None


def _line(error: Exception) -> str:
    return show(str(error).split("\n", 1)[0])


FORM = Form(
    name="parquet",
    about="Parquet table with the columns of the CSV form",
    suffix=".parquet",
    holds=(Routes,),
    read=read,
    write=write,
)
