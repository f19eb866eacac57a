"""The placement that an exact method is given to start from."""

from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance


def check_start(instance: Instance, start: Placement) -> None:
    """Check that a start has the shape of the instance and fits into every server.

    Raises
    ------
    InputError
        When it does not.
    """
    used = start.used_bytes(instance)
    for server in (used > instance.capacity_bytes).nonzero()[0][:1]:
        raise InputError(
            "start",
            f"server {instance.server_names[server]!r} holds {used[server]} bytes where its "
            f"capacity is {instance.capacity_bytes[server]}",
        )
