"""A report in Chromium without a network and without scripts: it asks for nothing and fits its window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.reports.document.page import page
from tests.reports.document.test_page import content

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or ""
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_needs_nothing_and_fits(browser: Any, tmp_path: Path, theme: str, width: int) -> None:
    (tmp_path / "report.html").write_bytes(page(content("a_job_with_a_long_name_" * 4, jobs=30)))
    size = {"width": width, "height": 800}
    context = browser.new_context(viewport=size, color_scheme=theme, java_script_enabled=False, offline=True)
    view = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    view.on("request", lambda request: asked.append(request.url))
    view.on("console", lambda message: said.append(message.text))
    view.goto(f"file://{tmp_path}/report.html")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == [] and said == []
    box = view.locator("main").bounding_box()
    assert box["x"] >= 0 and box["width"] <= width
    for chart in view.locator("figure > svg").all():
        drawn = chart.bounding_box()
        assert drawn["width"] > 200 and drawn["x"] + drawn["width"] <= width
    ground = view.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (theme == "light")
    assert view.pdf().startswith(b"%PDF")
    context.close()
