"""Damaged files: strategies that take something valid and break it, as text, bytes or content."""

import copy
import io
import json
import zipfile

from hypothesis import strategies as st

from tests.mistakes import GONE, edited, nodes

_NUMBERS = (
    *(0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**40, 10**400),
    *(0.0, -0.0, 0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), -float("inf")),
)
_WORDS = (
    "",
    " ",
    "\0",
    "é",
    "\u202e",
    "a\nb",
    "../../evil",
    "'; DROP TABLE attempts; --",
    "x" * 300,
)
_TOKENS = (
    b"-1",
    b"1e999",
    b"nan",
    b"inf",
    b"[",
    b"]",
    b"{",
    b'"',
    b"\0",
    b"\xff",
    b"9" * 400,
    b"=",
)
_DTYPES = ("|O", "<U4", "<f8", ">f8", "<i8", "|u1", "<f2", "<c16", "|b1", "<V8", "<M8[s]")
_SHAPES = (
    "()",
    "(0,)",
    "(-1,)",
    "(1,)",
    "(10000000000000,)",
    "(99999999999, 99999999999)",
    "(2,2)",
)

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(_NUMBERS),
    st.integers(-3, 300),
    st.floats(),
    st.sampled_from(_WORDS),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-1, 40), max_size=4),
    st.just([[[]]]),
)
"""Values that a careless program or a malicious person puts into a field."""


@st.composite
def damaged_documents(draw, document):
    """Return the document with one to three values changed, gone, moved or doubled."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(nodes(changed))
        if not places:
            break
        path = draw(st.sampled_from(places))
        action = draw(st.sampled_from(("odd", "gone", "other", "unknown", "longer", "nudged")))
        value = changed
        for step in path:
            value = value[step]
        if action == "odd":
            changed = edited(changed, path, draw(odd))
        elif action == "gone":
            changed = edited(changed, path, GONE)
        elif action == "other":
            other = changed
            for step in draw(st.sampled_from(places)):
                other = other[step]
            changed = edited(changed, path, copy.deepcopy(other))
        elif action == "unknown" and isinstance(value, dict):
            changed = edited(changed, path, {**value, draw(st.text(max_size=5)): draw(odd)})
        elif action == "longer" and isinstance(value, list):
            changed = edited(changed, path, value + value)
        elif action == "nudged" and isinstance(value, int | float):
            step = draw(st.sampled_from((-1, 1, 0.5, 1e-9)))
            if isinstance(step, int) or abs(value) < 1e300:  # beyond, a sum may have no double
                changed = edited(changed, path, value + step)
    return changed


@st.composite
def damaged_bytes(draw, data):
    """Return the bytes with one to four stretches changed, gone, doubled or cut off."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.sampled_from((0, 1, 2, 4, 16, 256))))
        action = draw(st.sampled_from(("bits", "gone", "zero", "token", "double", "cut")))
        if action == "bits" and begin < len(data):
            data[begin] ^= 1 << draw(st.integers(0, 7))
        elif action == "gone":
            del data[begin:end]
        elif action == "zero":
            data[begin:end] = bytes(end - begin)
        elif action == "token":
            data[begin:end] = draw(st.sampled_from(_TOKENS))
        elif action == "double":
            data[begin:begin] = data[begin:end]
        elif action == "cut" and draw(st.integers(0, 3)) == 0:
            del data[begin:]
    return bytes(data)


@st.composite
def damaged_archives(draw, data):
    """Return a zip archive with members renamed, doubled, gone, of other content or other shape."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(members) - 1))
        name, content = members[place]
        match draw(st.sampled_from(("name", "gone", "double", "bytes", "type", "shape", "swap"))):
            case "name":
                other = draw(
                    st.sampled_from(("../../evil.npy", "/evil.npy", "x.npy", "", "header"))
                )
                members[place] = (other, content)
            case "gone" if len(members) > 1:
                del members[place]
            case "double":
                members.append(members[place])
            case "bytes":
                members[place] = (name, draw(damaged_bytes(content)))
            case "type":
                members[place] = (name, _with_type(content, draw(st.sampled_from(_DTYPES))))
            case "shape":
                members[place] = (name, _with_shape(content, draw(st.sampled_from(_SHAPES))))
            case "swap":
                members[place] = (name, members[draw(st.integers(0, len(members) - 1))][1])
    buffer = io.BytesIO()
    method = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.filelist, known = [], archive.filelist  # doubled names pass without a warning
            archive.NameToInfo.pop(name, None)
            archive.filelist = known
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return buffer.getvalue()


def _with_type(npy: bytes, descr: str) -> bytes:
    return _with_header(npy, "'descr': '", "'", descr)


def _with_shape(npy: bytes, shape: str) -> bytes:
    return _with_header(npy, "'shape': ", ", }", shape)


def _with_header(npy: bytes, before: str, after: str, value: str) -> bytes:
    """Return an npy file whose header says something else, padded as the format wants it."""
    if len(npy) < 12:
        return npy
    length = int.from_bytes(npy[8:10], "little")
    header = npy[10 : 10 + length].decode("latin-1")
    head, _, rest = header.partition(before)
    _, _, tail = rest.partition(after)
    changed = f"{head}{before}{value}{after}{tail}".rstrip()
    changed += " " * (-(11 + len(changed)) % 64) + "\n"
    return npy[:8] + len(changed).to_bytes(2, "little") + changed.encode() + npy[10 + length :]


def json_bytes(document) -> bytes:
    """Return JSON text, NaN and Infinity as Python writes them."""
    return json.dumps(document).encode()
