"""A log file that only grows. Standard library only."""

from __future__ import annotations

import os

from runner.disk.atomic import write_all
from runner.disk.place import Place

APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class Log:
    """One file that is appended to. A write that fails loses its bytes and is remembered; it never raises."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises nothing: a place where no log can be is the error of the first write."""
        place = Place.of(path)
        self.name = place.name
        self.cause: str | None = None  # of the first write that failed
        self.lost = 0
        self.size = 0  # bytes that were written
        self._open(place)

    def _open(self, place: Place) -> None:
        self._descriptor = -1
        try:
            self._descriptor = place.open(APPEND)
        except OSError as error:
            self._remember(error, 0)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def write(self, *pieces: bytes | memoryview) -> None:
        """Append the pieces in one system call where the system takes them all."""
        total = sum(map(len, pieces))
        written = 0
        try:
            written = os.writev(self._descriptor, pieces)
            if written < total:  # stopped short, as when a disk fills
                write_all(self._descriptor, b"".join(pieces)[written:])
        except OSError as error:
            self._remember(error, total - written)
        self.size += total

    @property
    def error(self) -> str | None:
        """`stdout.log: No space left on device`; None if every write succeeded."""
        return f"{self.name}: {self.cause}" if self.cause else None

    def _remember(self, error: OSError, lost: int) -> None:
        self.cause = self.cause or error.strerror or str(error)
        self.lost += lost
