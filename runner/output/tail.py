"""The lines that are appended to a file while it is read. Standard library only."""

from __future__ import annotations

import os

from runner.disk.log_text import LogText
from runner.disk.reading import open_regular


class Tail:
    """The whole lines since the last look. Of a file that grows by more than `most` bytes between two looks the end
    is read only; `skipped` counts the bytes that were not. `links`: the file is the job's own, and may be a link.
    `log`: it is a log of the runner, which may have a limit.

    `size` is that of the file at the last look.
    """

    def __init__(self, path: str, most: int, *, links: bool = False, log: bool = False) -> None:
        self._path = path
        self._links = links
        self._log = log
        self._most = most
        self._at = 0
        self._rest = b""
        self.skipped = 0
        self.size = 0

    @property
    def at(self) -> int:
        """Where in the file the next line begins."""
        return self._at - len(self._rest)

    def lines(self) -> list[bytes]:
        try:
            # Opened each time: it may be gone and come again.
            with LogText(self._path) if self._log else open_regular(self._path, links=self._links) as file:
                self.size = end = file.seek(0, os.SEEK_END)
                if end < self._at:  # another file of this name, or truncated; a log that has ended, without a part
                    self._at, self._rest = end if self._log else 0, b""
                if end - self._at > self._most:  # too much to read on time: continue near its end
                    self.skipped += end - self._most - self._at
                    self._at, self._rest = end - self._most, b""
                file.seek(self._at)
                block = file.read(self._most)
                self._at = file.tell()
        except OSError:
            return []
        *lines, self._rest = (self._rest + block).split(b"\n")
        self._rest = self._rest[-self._most :]
        return lines

    def rest(self) -> bytes:
        """The last line if it has no end; call when nothing more is written."""
        text, self._rest = self._rest, b""
        return text
