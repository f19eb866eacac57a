"""Traces that commands replay: read in any form, and dealt out to the users of an instance."""

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.grouping import group_requests
from instances.importers import read_recording
from instances.problem import Instance
from instances.simulation.tokens import check_grouping
from instances.traces import Routes


def read_trace(
    path: str, instance: Instance, users: str | None
) -> tuple[Routes, NDArray[np.int64]]:
    """Read the routes of a file and the user of each request.

    Parameters
    ----------
    path
        The file, in any form that holds routes.
    instance
        Its users, whose models the trace must fit.
    users
        How requests are grouped, see :func:`instances.grouping.group_requests`; None deals them
        out in turn.

    Raises
    ------
    InputError
        When a file is wrong, holds counts only, or does not fit.
    """
    recording = read_recording(path)
    if not isinstance(recording, Routes):
        raise InputError("", "holds counts; only the routes of tokens can be replayed", source=path)
    grouping = None
    if users is not None:
        grouping = group_requests(users, path, recording.num_requests, instance.user_names)
    try:
        return recording, check_grouping(instance, recording, grouping)
    except InputError as error:
        raise error.in_file(path) from None
