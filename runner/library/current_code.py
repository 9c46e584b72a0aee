"""The code fingerprint of an experiment, without what experiments change in global values while they run.

A function may fill a table of its program, `CACHE[path] = data`. That is no change of the code: in a new process the
table is empty again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from runner.library.code_fingerprint import fingerprint


class CurrentCode:
    """That of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._before: str | None = None  # while experiments run
        self._same: dict[str, str] = {}  # what it was after a run -> what it was before that run
        _all.add(self)

    def fingerprint(self) -> str:
        if self._before is not None:
            return self._before
        now = fingerprint(self._function)
        return self._same.get(now, now)

    def begin(self) -> bool:
        """Keep the fingerprint as it is until `end`. False if it is kept already."""
        begun = self._before is not None
        self._before = self.fingerprint()
        return not begun

    def end(self) -> None:
        before, self._before = self._before, None
        now = fingerprint(self._function)
        if before is not None and now != before:
            self._same[now] = before


_all: WeakSet[CurrentCode] = WeakSet()


@contextmanager
def running() -> Iterator[None]:
    """While this lasts, functions of experiments are called in this process."""
    begun = [code for code in list(_all) if code.begin()]
    try:
        yield
    finally:
        for code in begun:
            code.end()
