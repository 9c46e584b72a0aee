"""`make docs`: the site is built without a warning, its links lead somewhere, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from runner.cli.commands.registry import BATCHES, NAMES
from tests.conftest import PROJECT

pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs")


class Page(HTMLParser):
    """What a page points to, what it loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {given[name] or "" for name in ("id", "name") if name in given}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        if tag in ("img", "script", "link") and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads += [text for name in ("src", "href") if (text := given.get(name))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr
    return folder


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 40
    wrong = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads:
                    wrong.append(f"{path.name} loads {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].ids if target in pages else set()
            if not target.exists() or (parts.fragment and target in pages and unquote(parts.fragment) not in known):
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert wrong == []


def test_the_reference_has_every_command_and_every_name(site: Path) -> None:
    import runner

    commands, names = Page((site / "cli.html").read_text()), Page((site / "api.html").read_text())
    assert {*BATCHES, *NAMES} <= commands.ids
    assert {name.lower() for name in runner.__all__} <= names.ids


@pytest.fixture
def chromium() -> Iterator[Any]:
    from tests.page.browsers import launched  # skips without playwright

    yield from launched()


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's package chromium is not installed")
def test_the_search_works_in_pages_that_are_opened_from_the_disk(chromium: Any, site: Path) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(60_000)
    page.goto(site.joinpath("index.html").as_uri())
    page.locator("input.md-search__input").press_sequentially("preempted")
    found = page.locator(".md-search-result__link")
    found.first.wait_for()
    assert any("slurm.html" in (link.get_attribute("href") or "") for link in found.all())


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w-]+\.md", (PROJECT / "mkdocs.yml").read_text()))
    assert {path.name for path in (PROJECT / "docs").glob("*.md")} <= listed
