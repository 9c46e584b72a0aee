"""The page in a real Chromium: no error, no report of the policy, text of jobs stays text, the keyboard works."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from runner.page.app import Page
from runner.page.server import listen
from tests.conftest import wait_until
from tests.page.pages import ERRORS, NO_ERRORS, TOKEN, batch, source

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's package chromium is not installed"),
]
PATIENCE = 60_000  # milliseconds
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
EVIL = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"
TOO_WIDE = """() => document.documentElement.scrollWidth <= 390 ? [] : [document.documentElement.scrollWidth,
    ...[...document.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > 390).map((one) => one.outerHTML)]"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page that runs in a thread, over a batch whose texts try to become part of it."""
    base = tmp_path_factory.mktemp("browser")
    root = batch(base)
    with (root / "a" / "combined.log").open("a") as log:
        log.write(f"\x1b[31mred\x1b[0m {EVIL}\n\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\nValueError: last\n")
    with (root / "a" / "metrics.jsonl").open("a") as rows:
        rows.write(json.dumps({"iter": 5001, "val/loss": None, EVIL: 1.0}) + "\n")
    (root / "a" / "resources.jsonl").write_text('{"elapsed":1,"rss":1}\n{"elapsed":2,"rss":2}\n')
    listening = listen(0)
    port = listening.getsockname()[1]
    page = Page(source(base), TOKEN, port)
    server = uvicorn.Server(uvicorn.Config(page.app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(30)
    listening.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS), timeout=PATIENCE)
        yield browser
        browser.close()


def opened(chromium: Any, address: str, **settings: Any) -> tuple[Any, list[str]]:
    """The page after its token, and where errors of it are collected."""
    page = chromium.new_context(**settings).new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}#t={TOKEN}")
    page.wait_for_selector("tbody tr a")
    return page, errors


def test_a_batch_and_its_log_by_the_keyboard_alone(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, address)
    assert TOKEN not in page.url
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("tbody tr[data-i='1']")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(".log div")
    page.keyboard.press("/")
    page.keyboard.type("line 4242")
    page.keyboard.press("Enter")
    page.wait_for_selector(".log .hit")
    assert page.inner_text(".log .hit") == "line 4242"
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    wait_until(lambda: page.inner_text(".log .hit") == "ValueError: last", "the error is shown")
    page.keyboard.press("Escape")
    page.wait_for_selector("tbody tr[data-i='1']")
    assert errors == []


def test_the_page_marks_the_lines_that_count_as_errors(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, address)
    script = "(a) => import('/assets/ansi.js').then((it) => a.map((one) => it.line(one).className === 'error'))"
    assert page.evaluate(script, [*ERRORS, *NO_ERRORS]) == [True] * len(ERRORS) + [False] * len(NO_ERRORS)
    assert errors == []


def test_text_of_a_job_stays_text(chromium: Any, address: str) -> None:
    page, errors = opened(chromium, address)
    page.goto(f"{address}#b=night&j=0")
    wait_until(lambda: "<img src=x" in page.inner_text(".log"), "the log is shown")
    assert page.eval_on_selector(".log .f1", "(one) => one.textContent") == "red"
    assert page.query_selector_all("main img, main script, .log a") == []
    assert "night" in page.title()
    page.goto(f"{address}#b=night&pick=0&key=lr")
    page.wait_for_selector(".chart canvas")
    page.select_option("select[aria-label=Axis]", "wall")
    wait_until(lambda: "Nothing with a time" in page.inner_text(".chart"), "rows without a time are not drawn")
    page.select_option("select[aria-label=Axis]", "step")
    page.wait_for_selector(".chart canvas")
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_of_a_narrow_screen(chromium: Any, address: str, scheme: str) -> None:
    page, errors = opened(chromium, address, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    for place, drawn in (
        ("#b=night&pick=0", ".chart canvas"),  # with a metric whose name is long
        ("#b=night&j=0", ".log div"),
        ("#b=night&j=0&tab=config", "td"),
        ("#b=night&j=0&tab=attempts", "text=No earlier attempts."),
        ("#b=night&j=0&tab=resources", ".chart.small canvas"),
        ("#b=night&j=0&tab=files", "dl"),
    ):
        page.goto(address + place)
        page.wait_for_selector(drawn)
        assert page.evaluate(TOO_WIDE) == []
    assert errors == []
