"""Routes as CSV (:mod:`instances.importers.table`), from whatever can write a table."""

from instances.architectures import Architecture
from instances.importers.form import Form, Recording
from instances.importers.recordings import require_routes
from instances.importers.table import check_columns, column_names, routes_of_table, table_of_routes
from instances.importers.text import header_of, integer_table, table_text
from instances.traces import Routes


def read(data: bytes, architecture: Architecture | None) -> Routes:
    """Read the content of a CSV file of routes."""
    names = header_of(data)
    check_columns(names)
    table = integer_table(data, len(names))
    return routes_of_table(table[:, :3], table[:, 3:])


def write(recording: Recording) -> bytes:
    """Return the content of a CSV file of routes."""
    routes = require_routes(recording)
    return table_text(column_names(routes.top_k), table_of_routes(routes))


FORM = Form(
    name="csv",
    about="CSV table: request,token,layer,expert_0,...",
    suffix=".csv",
    holds=(Routes,),
    read=read,
    write=write,
)
