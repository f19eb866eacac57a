"""What is known of a form in which routing is recorded."""

from collections.abc import Callable
from dataclasses import dataclass

from instances.architectures import Architecture
from instances.traces import Counts, Routes

Recording = Routes | Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of recorded routing.

    Parameters
    ----------
    name
        By which users name it.
    about
        What writes it, in a few words.
    suffix
        Of its files, as the system names them.
    holds
        Kinds of recordings: routes, counts, or both, the one of the example first.
    read
        Makes a recording of the content of a file and, where that is known, the architecture;
        raises InputError for everything that it does not understand.
    write
        The content of a file of this form that holds the recording.
    """

    name: str
    about: str
    suffix: str
    holds: tuple[type[Recording], ...]
    read: Callable[[bytes, Architecture | None], Recording]
    write: Callable[[Recording], bytes]
