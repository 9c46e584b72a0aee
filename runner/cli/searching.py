"""Show on a terminal what is done before the first line comes: configs are read, and searched for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from runner.core.printing import rewrite_line, say
from runner.core.text import plain, shown

PATIENCE = 1.5  # seconds of silence
EVERY = 0.2  # seconds between two states of the line
WIDTH = 60
MANY = 1000  # configs whose planning takes so long that it is shown at once


@contextmanager
def announced(text: str) -> Iterator[None]:
    """Show this at once on standard error, and erase it when the work is done."""
    if not sys.stderr.isatty():
        yield
        return
    say(text, end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        rewrite_line("", sys.stderr)


class Searching:
    """Called with each folder that is searched, then with the configs that are planned.

    Its line on standard error is erased at the end.
    """

    def __init__(self) -> None:
        self._next = time.monotonic() + PATIENCE
        self._folders = 0
        self._shown = False

    def __call__(self, folder: Path) -> None:
        self._folders += 1
        if self._is_due():
            self._show(f"searching for configs: {self._folders} folders, now {plain(shown(folder), WIDTH)}")

    def planned(self, done: int, total: int) -> None:
        """So many configs of `total` are planned."""
        if self._is_due() or (not done and total >= MANY and sys.stderr.isatty()):
            self._show(f"planning {total} configs: {done} done" if done else f"reading {total} configs")

    def _is_due(self) -> bool:
        return time.monotonic() >= self._next and sys.stderr.isatty()

    def _show(self, line: str) -> None:
        self._next = time.monotonic() + EVERY
        self._shown = True
        rewrite_line(line, sys.stderr)

    def __enter__(self) -> Searching:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            rewrite_line("", sys.stderr)
