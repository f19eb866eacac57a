"""docs/theory.md: every claim has its proof, and whatever it points to is there."""

import re
from pathlib import Path

import pytest

from bench.algorithms import GROUPS
from instances.families.adversarial import TRAPS
from instances.registry import Algorithm

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
LABELS = ("P1", "P2", "P3", "P4", "G1a", "G1b", "G2", "G3", "G4", "G5", "G6")
METHODS: list[Algorithm] = [method for registry in GROUPS.values() for method in registry]


def anchors(text: str) -> set[str]:
    """Where links into a page may lead."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("label", LABELS)
def test_every_claim_is_stated_once_and_proved(label: str) -> None:
    (start,) = (match.end() for match in re.finditer(rf"\*\*(8\.3 )?{label}\. ", TEXT))
    later = re.search(r"\n(#+ |\*\*[PG8]\d?)", TEXT[start:])
    assert later is not None
    assert "∎" in TEXT[start : start + later.start()]


@pytest.mark.parametrize("label", LABELS)
def test_every_claim_stands_in_a_section_that_points_to_code(label: str) -> None:
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    (section,) = (part for part in sections if re.search(rf"\*\*(8\.3 )?{label}\. ", part))
    if label.startswith("P"):  # properties of the problem: the code of the section before it
        assert "Code: `instances/structure/clauses.py`" in TEXT
    else:
        assert re.search(r"(Code: |\()`[\w/]+\.py`", section)


def test_every_file_that_is_named_exists() -> None:
    names = set(re.findall(r"`([\w/]+\.(?:py|md|json))`", TEXT))
    assert len(names) > 20
    for name in names:
        found = [ROOT / name] if "/" in name else list((ROOT / "heuristics").rglob(name))
        assert [path for path in found if path.is_file()], name


def test_every_function_that_is_named_with_its_file_is_there() -> None:
    named = re.findall(r"`(\w+)` in `([\w/]+\.py)`", TEXT)
    assert named
    for function, path in named:
        assert re.search(rf"^(def|class) {function}\b", (ROOT / path).read_text(), re.MULTILINE)


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if target.startswith("http"):
                continue
            path, _, anchor = target.partition("#")
            other = page if not path else page.parent / path
            assert other.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(other.read_text(encoding="utf-8")), (
                    f"{page.name}: {target}"
                )


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_guarantee_names_a_claim_of_the_theory(method: Algorithm) -> None:
    if method.guarantee is None:
        return
    source = method.guarantee.source
    assert source.startswith("docs/theory.md, ")
    for label in re.findall(r"\b[PG]\d\b", source):
        assert re.search(rf"\*\*(8\.3 )?{label}[ab]?\. ", TEXT), source
    for section in re.findall(r"section (\d+(?:\.\d+)?)", source):
        assert re.search(rf"^(## |\*\*){re.escape(section)} ", TEXT, re.MULTILINE), source
    assert re.search(r"\b[PG]\d\b|section \d", source)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_docstring_opens_with_the_guarantee(method: Algorithm) -> None:
    if method.guarantee is None:
        return
    opening = (method.solve.__doc__ or "").split("\n\n")[0]
    assert ">=" in opening or "OPT" in opening, opening


@pytest.mark.parametrize("family", TRAPS)
def test_every_trap_is_explained_with_its_victims(family: str) -> None:
    paragraph = re.search(rf"\n\*\*`{family}`(.+?)\n\n", TEXT + "\n\n", flags=re.DOTALL)
    row = re.search(rf"\n\| `{family}` \|(.+)\n", TEXT)
    assert paragraph is not None
    assert row is not None
    for name in TRAPS[family].hurts:
        assert f"`{name}`" in row[1]
