"""Read files that a job may have made, replaced or removed. Writes nothing; standard library only."""

from __future__ import annotations

import errno
import os

from runner.core.fields import parsed
from runner.disk.opening import open_file

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from runner.disk.log_text import LogText
    from runner.disk.place import Place

TAIL = 1 << 18  # bytes of a log's end
PIECE = 1 << 12  # bytes that are read at once at least, of a file that was empty when it was opened
LARGEST = 1 << 24  # bytes of a record of one job, or of a config
LARGEST_OF_BATCH = 1 << 28  # bytes of a record of a whole batch


def open_regular(path: str | os.PathLike[str], *, links: bool = False) -> BinaryIO:
    """Open a file that a job may have made. Raises OSError for what is not a regular file.

    `links`: the file is the job's or the user's own, and may be a link. A file of the runner never is one.
    """
    return os.fdopen(open_file(os.fspath(path), links=links), "rb")


def open_below(place: Place) -> BinaryIO:
    """Open a regular file below a root, through no link. Raises OSError."""
    return os.fdopen(place.open(os.O_RDONLY), "rb")


def read_bytes(path: str | os.PathLike[str], largest: int = LARGEST, *, links: bool = False) -> bytes:
    """The content of a regular file. Raises OSError, also for one of more than `largest` bytes, which is not read."""
    descriptor = open_file(os.fspath(path), links=links)  # without a file object: thousands are read at once
    try:
        size, content = os.fstat(descriptor).st_size, b""
        while max(size, len(content)) <= largest and (block := os.read(descriptor, max(size, len(content), PIECE) + 1)):
            content = content + block if content else block
    finally:
        os.close(descriptor)
    if max(size, len(content)) > largest:
        raise OSError(errno.EFBIG, f"is larger than {largest / 2**20:.3g} MiB", os.fspath(path))
    return content


def read_json(path: str | os.PathLike[str], largest: int = LARGEST, *, links: bool = False) -> dict[str, Any]:
    """A JSON object in a regular file of at most `largest` bytes; empty for what cannot be read as one."""
    try:
        return parsed(read_bytes(path, largest, links=links))
    except (OSError, ValueError):
        return {}


def last_lines(path: str, size: int = TAIL, *, links: bool = False) -> list[bytes]:
    """The last whole lines of a file that grows, as they are."""
    try:
        with open_regular(path, links=links) as file:
            return last_lines_of(file, size)
    except OSError:
        return []


def last_lines_of(file: BinaryIO | LogText, size: int = TAIL) -> list[bytes]:
    """The last whole lines of an open file. Raises OSError."""
    return placed_lines_of(file, size)[0]


def placed_lines_of(file: BinaryIO | LogText, size: int = TAIL) -> tuple[list[bytes], int]:
    """The same, and the place in the file behind them; there is a line end of one byte between two of them."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - size, 0))
    lines = file.read(size).split(b"\n")
    if end > size:
        del lines[0]  # its beginning lies before what was read
    return lines, file.tell()


def text(line: bytes, skip: int = 0) -> str:
    """What a terminal shows of a line, without its first `skip` bytes."""
    return line[skip:].decode(errors="replace").rstrip().rpartition("\r")[2]


def tail(path: str, skip: int = 0, size: int = TAIL, *, links: bool = False) -> list[str]:
    """The last whole lines of a log, each without its first `skip` bytes."""
    return [text(line, skip) for line in last_lines(path, size, links=links)]
