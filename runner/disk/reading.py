"""Read files that a job may have made, replaced or removed. Writes nothing; standard library only."""

from __future__ import annotations

import errno
import os
import stat

from runner.core.fields import parsed

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Any, BinaryIO

TAIL = 1 << 18  # bytes of a log's end
LARGEST = 1 << 24  # bytes of a record of one job


def open_regular(path: str) -> BinaryIO:
    """Open a file that a job may have made. Raises OSError for what is not a regular file.

    A pipe would block us for ever, and a link to /dev/zero does not end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", path)
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str, largest: int = -1) -> bytes:
    """The content of a regular file, or its first `largest` bytes. Raises OSError."""
    with open_regular(path) as file:
        return file.read(largest)


def read_json(path: str, largest: int = LARGEST) -> dict[str, Any]:
    """A JSON object in a file of at most `largest` bytes (-1: of any size); empty for what cannot be read as one."""
    try:
        return parsed(read_bytes(path, largest))
    except (OSError, ValueError):
        return {}


def last_lines(path: str, size: int = TAIL) -> list[bytes]:
    """The last whole lines of a log, as they are."""
    try:
        with open_regular(path) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - size, 0))
            lines = file.read(size).split(b"\n")
    except OSError:
        return []
    if end > size:
        del lines[0]  # its beginning lies before what was read
    return lines


def text(line: bytes, skip: int = 0) -> str:
    """What a terminal shows of a line, without its first `skip` bytes."""
    return line[skip:].decode(errors="replace").rstrip().rpartition("\r")[2]


def tail(path: str, skip: int = 0, size: int = TAIL) -> list[str]:
    """The last whole lines of a log, each without its first `skip` bytes."""
    return [text(line, skip) for line in last_lines(path, size)]
