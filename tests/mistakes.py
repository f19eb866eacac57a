"""Documents with one thing wrong: what a reader of files must refuse in one line."""

import copy

from hypothesis import strategies as st

from instances.errors import InputError

GONE = object()


def edited(document, path, value):
    """Return a copy in which the value at the path is another, or gone."""
    changed = copy.deepcopy(document)
    *outer, last = path
    inner = changed
    for step in outer:
        inner = inner[step]
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    return changed


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def nodes(value, path=()):
    """Yield the path of every value inside a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from nodes(inner, (*path, key))


def unless_refused(read):
    """Return what is read, or None when it is refused in one printable line."""
    refusal = None
    try:
        return read()
    except InputError as error:
        refusal = str(error)
    assert refusal.isprintable()
    return None
