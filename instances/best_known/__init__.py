"""Best known values: a published list of instances, and what is known about each of them.

For every instance the archive holds the best placement that anybody has found, with its exact
value; the lowest certified upper bound; and who has proved optimality, if anyone has. An entry is
only ever improved (:mod:`instances.best_known.improvement`), and every entry can be checked again
without any solver (:mod:`instances.best_known.recheck`).

>>> archive = read_archive()
>>> archive["tiny-tiny-s0"].size
'tiny'
"""

from instances.best_known.archive import (
    SHIPPED,
    Archive,
    find_entry,
    read_archive,
    write_archive,
)
from instances.best_known.catalogue import CATALOGUE, Published
from instances.best_known.entry import Entry, Provenance

__all__ = [
    "CATALOGUE",
    "SHIPPED",
    "Archive",
    "Entry",
    "Provenance",
    "Published",
    "find_entry",
    "read_archive",
    "write_archive",
]
