"""The course of a metric: rows of metrics.jsonl -> segments between resumes, reduced to what a width can show. Pure."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.output import rows

Point = tuple[float, float]  # the position (step, epoch or number of the row) and the value
MOST_PIECES = 100  # parts between gaps that are drawn by themselves


@dataclass(frozen=True, slots=True)
class Segment:
    """What was measured between two starts: positions grow. From `overtaken` on a later segment measured again."""

    points: tuple[Point, ...]
    overtaken: float = math.inf

    @property
    def kept(self) -> tuple[Point, ...]:
        """The points that no later segment replaced."""
        return self.points[: self._split]

    @property
    def replaced(self) -> tuple[Point, ...]:
        """The others, with the last kept one before them, so that their line begins there."""
        at = self._split
        return self.points[max(at - 1, 0) :] if at < len(self.points) else ()

    @property
    def _split(self) -> int:
        return bisect_left(self.points, (self.overtaken, -math.inf))


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one job. Values can be NaN or infinite."""

    segments: tuple[Segment, ...]

    @property
    def kept(self) -> list[Point]:
        """All points that count, in the sequence of their positions."""
        return [point for segment in self.segments for point in segment.kept]

    @property
    def finite(self) -> list[Point]:
        return [point for point in self.kept if math.isfinite(point[1])]

    @property
    def nonfinite(self) -> list[Point]:
        """The points that are NaN or infinite, also those that were measured again."""
        return [point for segment in self.segments for point in segment.points if not math.isfinite(point[1])]


def read(found: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """The series of each metric in rows of metrics.jsonl.

    A position that goes back begins a new segment; of equal positions in a segment the later value counts. A metric
    that is not in a row is not measured there.
    """
    made: dict[str, list[dict[float, float]]] = {}
    segment, last = 0, -math.inf
    for number, row in enumerate(found):
        place = _place(row, number)
        if place < last:
            segment += 1
        last = place
        for name, value in rows.numbers(row).items():
            parts = made.setdefault(name, [])
            while len(parts) <= segment:
                parts.append({})
            parts[segment][place] = value
    return {name: _series(parts) for name, parts in made.items()}


def _place(row: Mapping[str, Any], number: int) -> float:
    step, epoch = rows.position(row)
    place = step if step is not None else epoch
    return float(number if place is None or not math.isfinite(place) else place)


def _series(parts: Sequence[Mapping[float, float]]) -> Series:
    made: list[Segment] = []
    overtaken = math.inf
    for part in reversed([part for part in parts if part]):
        made.append(Segment(tuple(part.items()), overtaken))
        overtaken = min(overtaken, next(iter(part)))
    return Series(tuple(reversed(made)))


def pieces(points: Sequence[Point]) -> Iterator[list[Point]]:
    """The runs of finite values: no line is drawn over a value that is not finite. If they are very many, one run."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    if len(runs) > MOST_PIECES:
        runs = [[point for run in runs for point in run]]
    yield from (run for run in runs if run)


def reduced(points: Sequence[Point], low: float, high: float, columns: int) -> list[Point]:
    """At most two points for each of `columns` equal parts of `low`..`high`, its lowest and its highest, and the ends.

    Every minimum and maximum of a column is kept as it is. Points are finite, and in sequence; few ones are all kept.
    """
    if len(points) <= 2 * columns:
        return list(points)
    width = (high - low) / columns or 1.0
    ends: dict[int, tuple[int, int]] = {}  # the column -> the places of its lowest and its highest point
    for at, (x, y) in enumerate(points):
        column = min(max(int((x - low) / width), 0), columns - 1)
        lowest, highest = ends.get(column, (at, at))
        ends[column] = (at if y < points[lowest][1] else lowest, at if y > points[highest][1] else highest)
    kept = {0, len(points) - 1}.union(*ends.values())
    return [points[at] for at in sorted(kept)]


def quantiles(
    found: Iterable[Series], low: float, high: float, columns: int, parts: Sequence[float]
) -> list[tuple[float, list[float]]]:
    """For each of `columns` positions from `low` to `high` the quantiles of the series there, of those that are there.

    Between two points a series is taken as straight; none is continued behind its end.
    """
    places = [low + (high - low) * number / max(columns - 1, 1) for number in range(columns)]
    values: list[array[float]] = [array("d") for _ in places]
    for points in (series.finite for series in found):
        for x, there in zip(places, values, strict=True) if points else ():
            if (value := _at(points, x)) is not None:
                there.append(value)
    known = [(x, sorted(there)) for x, there in zip(places, values, strict=True) if there]
    return [(x, [_quantile(there, part) for part in parts]) for x, there in known]


def _at(points: Sequence[Point], x: float) -> float | None:
    if not points[0][0] <= x <= points[-1][0]:
        return None
    at = bisect_left(points, (x, -math.inf))
    if points[at][0] == x or at == 0:
        return points[at][1]
    (x0, y0), (x1, y1) = points[at - 1], points[at]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _quantile(values: Sequence[float], part: float) -> float:
    place = part * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)
