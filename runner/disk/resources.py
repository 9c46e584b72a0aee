"""resources.jsonl in a job's folder: what the job used of the machine, a row for each look at it."""

from __future__ import annotations

import json
import os

from runner.core.fields import LARGEST_WHOLE, is_number
from runner.disk import layout
from runner.disk.append_log import APPEND
from runner.disk.place import Place
from runner.disk.reading import read_bytes

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any


def append(folder: Place, row: Mapping[str, Any]) -> None:
    """Add a row. Raises OSError."""
    descriptor = (folder / layout.RESOURCES).open(APPEND)
    try:
        os.write(descriptor, (json.dumps(row, separators=(",", ":")) + "\n").encode())
    finally:
        os.close(descriptor)


def free(folder: Place) -> int:
    """Bytes that are free, for us, on the disk of a folder. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def read(folder: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The rows that can be read, by their times; none without a file. Numbers are finite.

    They are written in this order, but for those of the last minute of a job that failed.
    """
    try:
        lines = read_bytes(layout.JobPaths(folder)[layout.RESOURCES]).splitlines()
    except OSError:
        return
    yield from sorted(_rows(lines), key=lambda row: row["time"] if isinstance(row.get("time"), str) else "")


def _rows(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line, parse_constant=lambda word: None)
        except (ValueError, RecursionError):  # the last one, of a runner that was killed while it wrote
            continue
        if isinstance(row, dict):
            yield {key: value for key, value in row.items() if key in ("time", "gpus") or is_finite(value)}


def is_finite(value: Any) -> bool:
    return is_number(value) and abs(value) < LARGEST_WHOLE
