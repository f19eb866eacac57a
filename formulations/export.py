"""Programs as text that other solvers read: MPS and LP, to be maximised, in ms per token.

Both are written here and not by a library, because the sense of the objective, the name of the
instance and every digit of every weight must survive. MPS is free-format with an ``OBJSENSE``
section.
"""

from collections.abc import Iterator, Sequence

from formulations.names import Names, make_names
from formulations.program import Program
from instances.problem import Instance

OBJECTIVE = "saving_ms"
"""Name of the objective."""

WIDEST_LINE = 200
"""Longest line of an LP file; some readers stop at 255 characters."""


def mps_text(instance: Instance, program: Program, formulation: str) -> str:
    """Write a program as a free-format MPS file."""
    names = make_names(instance, program)
    lines = [f"* {line}" for line in _comments(instance, formulation, names)]
    lines += ["NAME moeplace", "OBJSENSE", "    MAX", "ROWS", f" N {OBJECTIVE}"]
    lines += [f" L {name}" for name in names.rows]
    lines += ["COLUMNS", *_mps_columns(program, names), "RHS"]
    lines += [
        f" RHS {name} {_number(upper)}"
        for name, upper in zip(names.rows, program.rows.upper.tolist(), strict=True)
        if upper
    ]
    lines += ["BOUNDS"]
    lines += [
        f" UP BND {name} {_number(upper)}"
        for name, upper in zip(names.columns, program.upper.tolist(), strict=True)
    ]
    return "\n".join([*lines, "ENDATA", ""])


def lp_text(instance: Instance, program: Program, formulation: str) -> str:
    """Write a program as an LP file."""
    names = make_names(instance, program)
    lines = [f"\\ {line}" for line in _comments(instance, formulation, names)]
    # Readers number the columns as they appear: all of them appear here, in our order.
    weight = (program.objective * program.unit_ms).tolist()
    lines += ["Maximize", *_lp_sum(OBJECTIVE, list(zip(weight, names.columns, strict=True)), "")]
    lines += ["Subject To"]
    rows = program.rows
    offsets, columns = rows.offsets.tolist(), rows.column.tolist()
    coefficients, upper = rows.coefficient.tolist(), rows.upper.tolist()
    for row, name in enumerate(names.rows):
        entries = range(offsets[row], offsets[row + 1])
        terms = [(coefficients[k], names.columns[columns[k]]) for k in entries]
        lines += _lp_sum(name, terms, f" <= {_number(upper[row])}")
    whole = [
        name for name, is_whole in zip(names.columns, program.is_whole, strict=True) if is_whole
    ]
    lines += ["Bounds"]
    lines += [
        f" 0 <= {name} <= {_number(upper)}"
        for name, upper in zip(names.columns, program.upper.tolist(), strict=True)
    ]
    lines += ["General", *_wrapped(whole), "End", ""]
    return "\n".join(lines)


def _comments(instance: Instance, formulation: str, names: Names) -> list[str]:
    """Say what the file is, and which servers the sets in its names are."""
    sets = (
        f"{label}: {', '.join(servers)}" for label, servers in sorted(names.server_sets.items())
    )
    told = [
        f"moeplace instance {instance.name}",
        f"checksum {instance.checksum()}",
        f"formulation {formulation}; maximise the saving, ms per token; optimum = largest saving",
        "x: server stores expert; y: some server of a set does; z: clause satisfied; t: carry",
        *sets,
    ]
    return [" ".join(line.split()) for line in told]


def _mps_columns(program: Program, names: Names) -> Iterator[str]:
    """Write the columns one by one, whole ones between markers."""
    entries: list[list[str]] = [[] for _ in names.columns]
    for column, value in enumerate((program.objective * program.unit_ms).tolist()):
        if value:
            entries[column].append(f"{OBJECTIVE} {_number(value)}")
    rows = program.rows
    triplets = zip(rows.row.tolist(), rows.column.tolist(), rows.coefficient.tolist(), strict=True)
    for row, column, value in triplets:
        entries[column].append(f"{names.rows[row]} {_number(value)}")
    inside = False
    for column, name in enumerate(names.columns):
        if bool(program.is_whole[column]) != inside:
            inside = not inside
            yield f" MARKER 'MARKER' '{'INTORG' if inside else 'INTEND'}'"
        for entry in entries[column] or [f"{OBJECTIVE} 0"]:
            yield f" {name} {entry}"
    if inside:
        yield " MARKER 'MARKER' 'INTEND'"


def _lp_sum(name: str, terms: Sequence[tuple[float, str]], end: str) -> list[str]:
    """Write ``name: sum of terms end`` on as many lines as it takes."""
    words = [f"{'-' if value < 0 else '+'} {_number(abs(value))} {term}" for value, term in terms]
    lines = _wrapped([f"{name}:", *words])
    lines[-1] += end
    return lines


def _wrapped(words: Sequence[str]) -> list[str]:
    """Put words on lines."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > WIDEST_LINE:
            lines.append("")
        lines[-1] += f" {word}"
    return lines


def _number(value: float) -> str:
    """Write a number so that it reads back as the same."""
    return repr(int(value)) if value == int(value) else repr(value)
