"""A report in Chromium: without a network and without scripts it is whole; its script sorts, tells and zooms."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.reports.document.content import Cell, Table
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


@pytest.fixture
def view(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A report with scripts, as most people see it."""
    (tmp_path / "report.html").write_bytes(page(content("night", jobs=3)))
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    view = context.new_page()
    said: list[str] = []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.goto(f"file://{tmp_path}/report.html")
    yield view
    assert said == []
    context.close()


def test_a_table_is_sorted_by_a_click_on_a_heading(browser: Any, tmp_path: Path) -> None:
    values = ["9.5", "10.25", "", "1e-05"]
    times = ["4 min 05 s", "1 h 02 min", "59.1 s", "184 ms"]
    cells = [(Cell(f"job {n}"), Cell(value, right=True), Cell(times[n], right=True)) for n, value in enumerate(values)]
    found = replace(content(), table=Table(("job", "loss", "time"), tuple(cells), 1))
    (tmp_path / "report.html").write_bytes(page(found))
    view = browser.new_page()
    view.goto(f"file://{tmp_path}/report.html")
    table = view.locator("table").first
    first = table.locator("tbody td:first-child")

    def order() -> str:
        return "".join(text[-1] for text in first.all_text_contents())

    assert order() == "0123"
    table.get_by_role("button", name="loss").click()
    assert order() == "3012" and table.locator("th[aria-sort=ascending]").inner_text().startswith("loss")
    table.get_by_role("button", name="loss").click()
    assert order() == "1032"  # one without a value is the last either way
    table.get_by_role("button", name="time").press("Enter")
    assert order() == "3201"
    view.close()


def test_a_chart_tells_what_is_under_the_pointer_and_can_be_zoomed(view: Any) -> None:
    chart, said = view.locator("svg[data-x]").first, view.locator("output").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    ticks = chart.locator(".tick")
    before = ticks.all_text_contents()
    chart.hover(position={"x": box["width"] * 0.97, "y": box["height"] * 0.8})
    assert said.inner_text() == "night2: 1 at step 1" or said.inner_text().endswith(": 1 at step 1")
    middle = box["y"] + box["height"] / 2
    view.mouse.move(box["x"] + box["width"] * 0.3, middle)
    view.mouse.down()
    view.mouse.move(box["x"] + box["width"] * 0.6, middle)
    view.mouse.up()
    zoomed = [float(text) for text in ticks.all_text_contents()]
    assert zoomed != [float(text) for text in before] and 0.1 < zoomed[0] < zoomed[-1] < 0.7
    chart.dblclick()
    assert ticks.all_text_contents() == before


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_it(browser: Any, tmp_path: Path, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    (tmp_path / "report.html").write_bytes(page(content("night", jobs=3)))
    context = browser.new_context(color_scheme=theme, bypass_csp=True)  # axe is put into the page as a script
    view = context.new_page()
    view.goto(f"file://{tmp_path}/report.html")
    found = axe.Axe().run(view).response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []
    context.close()
