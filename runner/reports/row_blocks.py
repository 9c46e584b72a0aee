"""The rows of a file of metrics, many at a time, which costs much less than one by one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from runner.output import rows

LONGEST = 1 << 20  # bytes of a line
BLOCK = 1 << 18  # bytes that are read at once
END = LONGEST // 16  # bytes before the end of a file in which its last row is looked for


class Block(NamedTuple):
    """Rows, and the place in the file behind their lines."""

    rows: list[dict[str, Any]]
    end: int


def blocks(file: BinaryIO, begin: int = 0, *, unfinished: bool = False) -> Iterator[Block]:
    """All rows from `begin` on. What is not a row is left out. `unfinished`: a last line without an end counts."""
    file.seek(begin)
    rest, end = b"", begin
    while content := file.read(BLOCK):
        whole, separator, after = content.rpartition(b"\n")
        if separator:
            lines, rest = rest + whole, after
            end += len(lines) + 1
            yield Block(parsed(lines.split(b"\n")), end)
        else:
            rest += content
        if len(rest) >= LONGEST:  # no row is so long
            end, rest = end + len(rest), b""
            yield Block([], end)
    if rest and unfinished:
        yield Block(parsed([rest]), end + len(rest))


def parsed(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The rows in some lines."""
    try:
        found = json.loads(b"[" + b",".join(lines) + b"]")
        if len(found) == len(lines) and set(map(type, found)) <= {dict}:
            return list(found)
    except (ValueError, RecursionError):
        pass
    return [row for line in lines if (row := rows.parse(line)) is not None]


def sampled(file: BinaryIO, count: int) -> list[dict[str, Any]] | None:
    """The first and the last row, and at most `count` at equal distances between; None for a file of few rows."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    width = len(file.readline(LONGEST))
    if size < 4 * count * width:
        return None
    lines = [_line_at(file, size * number // count, 3 * width) for number in range(count)]
    file.seek(max(size - END, 0))
    ends = file.read(END).split(b"\n")
    lines += [line for line in ends[-2:] if line]  # the last one may be being written
    found = parsed([line.rstrip(b"\n") for line in dict.fromkeys(lines)])
    return found if len(found) >= count // 2 else None


def _line_at(file: BinaryIO, place: int, width: int) -> bytes:
    """The first line that begins there or later. `width`: as many bytes as mostly hold it."""
    if place:
        words = os.pread(file.fileno(), width, place - 1).split(b"\n", 2)
        if len(words) == 3:
            return words[1]
    file.seek(max(place - 1, 0))
    if place:
        file.readline(LONGEST)
    return file.readline(LONGEST)
