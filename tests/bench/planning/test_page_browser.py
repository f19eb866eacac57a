"""The page of a plan in a real browser: nothing is fetched, nothing sticks out."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright import sync_api as playwright

from bench.planning.inputs import read_inputs
from bench.planning.page import render_page
from bench.planning.plan import Wishes, make_plan
from instances.files import write_placement
from instances.placement import Placement
from tests.bench.planning.conftest import Files

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium (on Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def page_file(files: Files) -> Path:
    inputs = read_inputs(files.request())
    old = files.folder / "old.json"
    write_placement(old, inputs.instance, Placement.of(inputs.instance, [(0, 17), (1, 16)]))
    wishes = Wishes(old_file=str(old), time_limit=8.0)
    plan = make_plan(inputs, wishes, datetime(2026, 1, 2, tzinfo=UTC))
    assert plan is not None
    path = files.folder / "page.html"
    path.write_text(render_page(plan, "moeplace plan <again>", ["a <note>"]))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_fetched_and_nothing_sticks_out(
    page_file: Path, scheme: str, width: int
) -> None:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        seen: list[str] = []
        page.on("console", lambda message: seen.append(f"console: {message.text}"))
        page.on("request", lambda request: seen.append(f"request: {request.url}"))
        page.goto(page_file.as_uri())
        assert seen == [f"request: {page_file.as_uri()}"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(16, 20, 24)")
        assert page.locator("section").count() == 8
        assert page.locator(".trade-off .pick").count() == 1
        shown = page.locator("figure .wide" if width == 1600 else "figure .narrow")
        assert shown.first.is_visible()
        assert "moeplace plan <again>" in page.inner_text("pre")
        assert "a <note>" in page.inner_text("#assumptions")
        browser.close()
