"""A real Chromium, and a page in it whose errors and violations of the policy are collected."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
MARKS = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's package chromium is not installed"),
]
PATIENCE = 60_000  # milliseconds
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
#: A report of the policy becomes an error of the console, whoever else hears it.
REPORTS = "addEventListener('securitypolicyviolation', (one) => console.error('policy', one.violatedDirective))"


def launched() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS), timeout=PATIENCE)
        yield browser
        browser.close()


def opened(chromium: Any, address: str, **settings: Any) -> tuple[Any, list[str]]:
    """The page at an address with a token, and where errors of it are collected."""
    page = chromium.new_context(**settings).new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(REPORTS)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("tbody tr a")
    return page, errors


def faults(page: Any, *rules: str) -> list[tuple[str, list[str]]]:
    """What axe-core says of the accessibility of the page as it is, by these of its rules, or by all."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = axe.Axe().run(page, options=options).response["violations"]
    return [(one["id"], [str(node["target"]) for node in one["nodes"]]) for one in found]
