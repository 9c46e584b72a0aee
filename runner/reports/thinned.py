"""The curves of a job reduced to what a chart can show, while its file of metrics is read.

Most files are plain: each row has a larger step than the one before it, and finite numbers. Such a file is read in
blocks, at a fifth of the cost of reading it row by row, with the same points as result. All others are read by rows.
Of a job among hundreds, whose curve is not drawn, some hundred rows are enough.
"""

from __future__ import annotations

import itertools
import json
import math
import operator
import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from runner.reports import series, tracks
from runner.reports.job_record import LONGEST, opened, parsed
from runner.reports.series import Segment, Series

SAMPLED = 2 * 150  # rows
COLUMNS = 150  # of a chart, for each of which the lowest and the highest value are kept
BLOCK = 1 << 20  # bytes
LARGEST_STEP = 10**15  # as rows.position has it


class Packed(NamedTuple):
    """A series in little memory: of each segment its positions, its values, and from where it was replaced."""

    segments: tuple[tuple[array[float], array[float], float], ...]

    @classmethod
    def of(cls, found: Series) -> Packed:
        return cls(
            tuple(
                (array("d", [x for x, _ in one.points]), array("d", [y for _, y in one.points]), one.overtaken)
                for one in found.segments
            )
        )

    def series(self) -> Series:
        return Series(tuple(Segment(tuple(zip(xs, ys, strict=True)), end) for xs, ys, end in self.segments))


class Thinned(NamedTuple):
    """The curves of one job, and what their positions are: `step`, `epoch` or `row`; empty without rows."""

    axis: str
    curves: dict[str, Packed]


def read(folder: Path, wanted: Collection[str], *, whole: bool = True) -> Thinned:
    """The curves of these metrics; without names, of all. Not `whole`: rows at equal distances do, if all have all."""
    ways = [] if not wanted else [_plain] if whole else [_sampled, _plain]
    try:
        with opened(folder) as file:
            for way in ways:
                if (found := way(file, wanted)) is not None:
                    return found
                file.seek(0)
            return _by_rows(file, wanted)
    except OSError:
        return Thinned("", {})


def _by_rows(file: BinaryIO, wanted: Collection[str]) -> Thinned:
    rows = parsed(file)
    first = list(itertools.islice(rows, 5))
    if not first:
        return Thinned("", {})
    axis = "step" if any("iter" in row or "step" in row for row in first) else "epoch" if "epoch" in first[0] else "row"
    found = series.read(itertools.chain(first, rows))
    return Thinned(
        axis, {name: Packed.of(_reduced(one)) for name, one in found.items() if not wanted or name in wanted}
    )


def _reduced(found: Series) -> Series:
    """A series with the points that can be seen."""
    places = [point[0] for segment in found.segments for point in segment.points]
    low, high = min(places), max(places)
    return Series(tuple(_segment(segment, low, high) for segment in found.segments))


def _segment(segment: Segment, low: float, high: float) -> Segment:
    finite = [point for point in segment.points if math.isfinite(point[1])]
    lost = [point for point in segment.points if not math.isfinite(point[1])]
    kept = series.reduced(finite, low, high, COLUMNS) + lost[:: len(lost) // COLUMNS + 1]
    return Segment(tuple(sorted(kept, key=lambda point: point[0])), segment.overtaken)


def _sampled(file: BinaryIO, wanted: Collection[str]) -> Thinned | None:
    """Rows at equal distances in a file; None for a short one, and where one of them does not have each metric."""
    size = os.fstat(file.fileno()).st_size
    if size < 4 * SAMPLED * len(file.readline(LONGEST)):
        return None
    lines = [_line_at(file, size * number // SAMPLED) for number in range(SAMPLED)]
    file.seek(max(size - LONGEST // 16, 0))
    lines.append(file.read(LONGEST).rstrip().rpartition(b"\n")[2])
    rows = _rows(b"\n".join(line.rstrip(b"\n") for line in lines))
    steps = _steps(rows, -math.inf) if rows else None
    if rows is None or steps is None:
        return None
    curves = {}
    for name in wanted:
        xs, ys = array("d"), array("d")
        if not _add(rows, steps, name, xs, ys) or len(xs) < len(rows):
            return None
        curves[name] = Packed(((xs, ys, math.inf),))
    return Thinned("step", curves)


def _line_at(file: BinaryIO, place: int) -> bytes:
    """The first line that begins there or later."""
    file.seek(max(place - 1, 0))
    if place:
        file.readline(LONGEST)
    return file.readline(LONGEST)


def _plain(file: BinaryIO, wanted: Collection[str]) -> Thinned | None:
    """The curves of a plain file; None for any other one."""
    every: array[float] = array("d")
    curves = {name: (array("d"), array("d")) for name in wanted}
    for rows in _blocks(file):
        steps = None if rows is None else _steps(rows, every[-1] if every else -math.inf)
        if rows is None or steps is None:
            return None
        every.extend(steps)
        if not all(_add(rows, steps, name, xs, ys) for name, (xs, ys) in curves.items()):
            return None
    if not every:
        return None
    packed = {}
    for name, (xs, ys) in curves.items():
        if xs:
            kept = tracks.extremes(xs, ys, 0, len(xs), xs[0], xs[-1], COLUMNS)
            xs, ys = array("d", [xs[at] for at in kept]), array("d", [ys[at] for at in kept])
            packed[name] = Packed(((xs, ys, math.inf),))
    return Thinned("step", packed)


def _blocks(file: BinaryIO) -> Iterator[list[dict[str, Any]] | None]:
    """The rows of a block of lines at a time; None, and then the end, for lines that are not all rows."""
    rest = b""
    while block := file.read(BLOCK):
        whole, separator, rest_of_block = (rest + block).rpartition(b"\n")
        rest = rest_of_block if separator else whole + rest_of_block
        if len(rest) > LONGEST:
            yield None
            return
        if separator:
            yield _rows(whole)
    if rest:
        yield _rows(rest)


def _rows(lines: bytes) -> list[dict[str, Any]] | None:
    words = lines.split(b"\n")
    try:
        found = json.loads(b"[" + b",".join(words) + b"]")
    except (ValueError, RecursionError):
        return None
    return found if len(found) == len(words) and set(map(type, found)) == {dict} else None


def _steps(rows: Sequence[dict[str, Any]], last: float) -> list[int] | None:
    """The steps of rows, if each is larger than the one before it."""
    key = "iter" if "iter" in rows[0] else "step"
    steps = [row.get(key) for row in rows]
    if set(map(type, steps)) != {int} or (key == "step" and any("iter" in row for row in rows)):
        return None
    known: list[int] = steps  # type: ignore[assignment]
    grows = known[0] > last and all(map(operator.lt, known, itertools.islice(known, 1, None)))
    return known if grows and known[0] > -LARGEST_STEP and known[-1] < LARGEST_STEP else None


def _add(
    rows: Sequence[dict[str, Any]], steps: Sequence[int], name: str, xs: array[float], ys: array[float]
) -> bool:  # fmt: skip
    """Append the values of a metric; False if one of them is not a finite number."""
    try:
        values: Iterable[Any] = list(map(operator.itemgetter(name), rows))
    except KeyError:  # it is not in every row
        there = [(step, row[name]) for step, row in zip(steps, rows, strict=True) if name in row]
        steps, values = [step for step, _ in there], [value for _, value in there]
    if not set(map(type, values)) <= {float, int}:
        return False
    try:
        ys.extend(values)
    except OverflowError:  # a whole number that no float holds
        return False
    xs.extend(steps)
    return math.isfinite(sum(values))
