"""A log with a limit: its beginning in the log itself, its end in parts beside it. Standard library only.

`stdout.log` has the first half of what the limit allows. What follows goes to stdout.log.part_1, stdout.log.part_2, …,
each a quarter of the limit, of which only the last two stay. Everything is appended only, so that beginning and end can
be read at any moment, also after the writer was killed. A part begins with a line that says how many bytes the log has,
and how many were left out after them. At the end the parts are appended to the log, and removed.
"""

from __future__ import annotations

import os

from runner.disk import layout
from runner.disk.append_log import Log
from runner.disk.log_text import LogText, marker
from runner.disk.place import Place

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = 2  # parts beside the log
BLOCK = 1 << 16
NEWLINE = ord("\n")


class CappedLog(Log):
    """A log of at most about `limit` bytes: the beginning and the end of what is written."""

    def __init__(self, path: str | os.PathLike[str], limit: int, stamp: Callable[[], bytes] = lambda: b"") -> None:
        super().__init__(path)
        self._place = Place.of(path)
        self._stamp = stamp
        self._limit = limit
        self._room = limit // 2  # bytes that fit into the present file
        self._line_begins = False  # a line was ended in the present file, and nothing follows
        self._first = 0  # bytes in the log itself
        self._parts: list[tuple[int, int]] = []  # number and size of each that exists
        self._beginning = self._descriptor
        self.left_out = 0

    def write(self, *pieces: bytes | memoryview) -> None:
        if sum(map(len, pieces)) <= self._room:
            self._put(*pieces)
            return
        rest = memoryview(b"".join(pieces))
        while len(rest) > self._room:
            fits = bytes(rest[: self._room])
            end = fits.rfind(b"\n") + 1 or (0 if self._line_begins else len(fits))
            self._put(rest[:end])
            rest = rest[end:]
            self._begin_part()
        self._put(rest)

    def _put(self, *pieces: bytes | memoryview) -> None:
        super().write(*pieces)
        size = sum(map(len, pieces))
        if not size:
            return
        self._room -= size
        self._line_begins = next(piece for piece in reversed(pieces) if piece)[-1] == NEWLINE
        if self._parts:
            number, before = self._parts[-1]
            self._parts[-1] = number, before + size
        else:
            self._first += size

    def _begin_part(self) -> None:
        """Continue in a new part, in place of the oldest one where there are enough."""
        between = self.left_out + sum(size for _, size in self._parts)
        number = self._parts[-1][0] + 1 if self._parts else 1
        if self._parts:
            self._close()
        if len(self._parts) == KEPT:
            oldest, size = self._parts.pop(0)
            self.left_out += size
            self._remove(oldest)
        self._open(self._part(number))
        self._parts.append((number, 0))
        self._room = self._limit // 4
        self._line_begins = False
        super().write(self._stamp(), marker(self._limit, self._first, between))

    def join(self) -> None:
        """Append the parts to the log and remove them. Call when nothing is written any more."""
        if not self._parts:
            return
        self._close()
        self._descriptor = self._beginning
        try:
            with LogText(self._place) as text:
                end = text.seek(0, os.SEEK_END)  # if the parts are gone, that of the log, which is about to grow
                text.seek(self._first)
                while text.tell() < end and (block := text.read(BLOCK)):
                    super().write(block)
        except OSError as error:
            self._remember(error, 0)
        if self.cause is None:  # else the parts may be the only copy
            for number, _ in self._parts:
                self._remove(number)
            self._parts = []

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _part(self, number: int) -> Place:
        return self._place.parent / f"{self._place.name}{layout.PART}{number}"

    def _remove(self, number: int) -> None:
        try:
            self._part(number).remove()
        except OSError:  # the folder is gone, or protected: what stays takes room and harms nobody
            pass
