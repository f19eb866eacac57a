"""Our own routes file: an npz archive of ``experts`` and ``offsets`` (:mod:`instances.traces`)."""

from instances.architectures import Architecture
from instances.archive import read_arrays
from instances.importers.form import Form, Recording
from instances.importers.npz import npz_bytes
from instances.importers.recordings import require_routes
from instances.traces import Routes


def read(data: bytes, architecture: Architecture | None) -> Routes:
    """Read the content of a routes file."""
    return Routes(**read_arrays(data, ("experts", "offsets")))


def write(recording: Recording) -> bytes:
    """Return the content of a routes file; the same for equal routes."""
    routes = require_routes(recording)
    return npz_bytes({"experts": routes.experts, "offsets": routes.offsets})


FORM = Form(
    name="routes",
    about="moeplace's own npz: experts [token, layer, K] and offsets [request + 1]",
    suffix=".npz",
    holds=(Routes,),
    read=read,
    write=write,
)
