"""The end of a log, and what is appended to it, by blocks: the memory does not depend on the log or on its lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from runner.disk.log_text import LogText

BLOCK = 1 << 16  # bytes that are read at once
LONGEST = 1 << 16  # bytes of a line on average; of longer ones, less is shown than was requested
CUT = "…".encode()  # where a line begins before what is shown


class GrowingLog:
    """A log from its last lines on. It stays open, so its end is read also after a retry has moved it away.

    Raises OSError if it cannot be opened. Close it.
    """

    def __init__(self, path: Path, lines: int) -> None:
        """Begin with the last `lines` lines, or with `lines` of LONGEST bytes if that is less."""
        self._file = LogText(path)
        self._at, self._cut = _start(self._file, lines)

    def blocks(self) -> Iterator[bytes]:
        """What is there to be read now."""
        end = self._file.seek(0, os.SEEK_END)
        if end < self._at:  # it was cut
            self._at = 0
        if self._cut:
            self._cut = False
            yield CUT
        while self._at < end:
            self._file.seek(self._at)
            block = self._file.read(min(BLOCK, end - self._at))
            if not block:
                return
            self._at = self._file.tell()
            yield block

    def __enter__(self) -> GrowingLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)


def _start(file: LogText, lines: int) -> tuple[int, bool]:
    """Where the last lines begin, and whether that is within a line."""
    end = position = file.seek(0, os.SEEK_END)
    left_out, after = file.hole
    least = max(end - lines * LONGEST, after if left_out < after else 0)
    while position > least:
        begin = max(position - BLOCK, least)
        file.seek(begin)
        block = file.read(position - begin)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if begin + at == end - 1:  # the end of the last line
                continue
            lines -= 1
            if lines == 0:
                return begin + at + 1, False
        position = begin
    if left_out < after == least < end:
        return left_out, False  # the line that says what was left out comes first
    return least, 0 < least < end
