"""How much memory this machine has: what a file asks for is held against it before it is taken."""

import os

from instances.errors import InputError


def physical_memory_bytes() -> int:
    """Physical memory; 0 when the system does not tell."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def require_memory(needed_bytes: int, field: str) -> None:
    """Refuse what this machine could never hold.

    Raises
    ------
    InputError
        When more bytes are needed than there is physical memory.
    """
    there = physical_memory_bytes()
    if there and needed_bytes > there:
        raise InputError(field, f"needs {needed_bytes} bytes, this machine has {there}")
