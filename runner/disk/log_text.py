"""Read a log that may have a limit (see log_parts) like one file, while it grows. Standard library only.

A place in it is the number of bytes that were written before, so it stays the same when others are removed.
"""

from __future__ import annotations

import os
import re

from runner.disk import layout
from runner.disk.reading import open_regular, placed_lines_of

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO

LONGEST_MARKER = 300  # bytes
JOINED = float("inf")  # the number of what was appended to the log itself
_MARKER = re.compile(rb"[^\n]*after the first (\d+) bytes, (\d+) bytes of this log were left out[^\n]*\n")


def marker(limit: int, first: int, left_out: int) -> bytes:
    """The first line of a part of a log: where it continues the log if it is the oldest part."""
    text = f"after the first {first} bytes, {left_out} bytes of this log were left out"
    return f"--- --max_log_mb {limit / 1e6:g}: {text} ---\n".encode()


class _Part:
    """An open part. `start` is the place of its text, which begins at `offset`, after `line` that says so."""

    __slots__ = ("file", "line", "number", "offset", "start")

    def __init__(self, number: float, file: BinaryIO, start: int, line: bytes, offset: int) -> None:
        self.number = number
        self.file = file
        self.start = start
        self.line = line
        self.offset = offset

    def read(self, at: int, size: int) -> bytes:
        self.file.seek(self.offset + at - self.start)
        return self.file.read(size)

    @property
    def end(self) -> int:
        return self.start + self.file.seek(0, os.SEEK_END) - self.offset


class LogText:
    """Raises OSError if the log cannot be opened. Close it. It stays readable when the log is moved or joined."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._log = open_regular(self._path)
        self._first = 0  # bytes of the log itself, once it has parts
        self._parts: list[_Part] = []
        self._at = 0
        self._look_for_parts()

    @property
    def hole(self) -> tuple[int, int]:
        """Where the bytes begin that were left out, and where what follows begins; equal if none were."""
        return (self._first, self._parts[0].start) if self._parts else (0, 0)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            self._look_for_parts()
            offset += self._parts[-1].end if self._parts else self._log.seek(0, os.SEEK_END)
        self._at = offset
        return offset

    def read(self, size: int) -> bytes:
        """At most about `size` bytes. In place of what was left out comes a line that says so."""
        blocks = []
        while size > 0 and (block := self._block(size)):
            blocks.append(block)
            size -= len(block)
        return b"".join(blocks)

    def _block(self, size: int) -> bytes:
        if not self._parts:
            self._log.seek(self._at)
            block = self._log.read(size)
        elif self._at < self._first:
            self._log.seek(self._at)
            block = self._log.read(min(size, self._first - self._at))
        else:
            part = next((part for part in reversed(self._parts) if part.start <= self._at), None)
            block = part.read(self._at, size) if part else b""
            if not block:
                return self._over_the_hole()
        self._at += len(block)
        return block

    def _over_the_hole(self) -> bytes:
        """Go on to what follows; returns the line for what was left out."""
        following = next((part for part in self._parts if part.start > self._at), None)
        if following is None:
            return b""
        self._log.seek(max(self._first - 1, 0))
        unfinished = self._at <= self._first > 0 and self._log.read(1) != b"\n"
        self._at = following.start
        return (b"\n" if unfinished else b"") + following.line

    def _look_for_parts(self) -> None:
        """Open the parts that have come; close those that were read, but for the last two."""
        if os.path.basename(self._path) not in layout.LOGS:
            return
        last = self._parts[-1].number if self._parts else 0
        numbers = self._numbers()
        for number in sorted(number for number in numbers if number > last):
            try:
                file = open_regular(f"{self._path}{layout.PART}{number}")
            except OSError:  # it is gone already: the next one says so
                continue
            found = _MARKER.match(file.read(LONGEST_MARKER))
            if found is None:  # it is being written
                file.close()
                break
            self._first = int(found[1])
            self._parts.append(_Part(number, file, self._first + int(found[2]), found[0], len(found[0])))
        if self._parts and not numbers and last < JOINED:
            self._look_behind_the_beginning()
        while len(self._parts) > 2 and self._parts[1].start <= self._at:
            self._parts.pop(0).file.close()

    def _look_behind_the_beginning(self) -> None:
        """The parts, of which we may not have seen the last one, were appended to the log."""
        self._log.seek(self._first)
        begin = self._log.read(LONGEST_MARKER)
        if begin:
            found = _MARKER.match(begin.removeprefix(b"\n"))
            line = begin[: begin.index(found[0]) + len(found[0])] if found else b""
            start = self._first + (int(found[2]) if found else 0)
            self._parts.append(_Part(JOINED, self._log, start, line, self._first + len(line)))

    def _numbers(self) -> list[int]:
        """Those of the parts beside the log; none if it was moved, and others are in its place."""
        folder, name = os.path.split(self._path)
        begin = name + layout.PART
        try:
            if not os.path.samestat(os.stat(self._path), os.fstat(self._log.fileno())):
                return []
            names = os.listdir(folder or ".")
        except OSError:
            return []
        return [int(one[len(begin) :]) for one in names if one.startswith(begin) and one[len(begin) :].isdecimal()]

    def __enter__(self) -> LogText:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        for part in self._parts:
            part.file.close()


def placed_lines(path: str) -> tuple[list[bytes], int]:
    """The last whole lines of a log, as they are, and the place behind them; none of one that cannot be read."""
    try:
        with LogText(path) as text:
            return placed_lines_of(text)
    except OSError:
        return [], 0
