"""The course of a metric: rows of metrics.jsonl -> segments between resumes, reduced to what a width can show. Pure."""

from __future__ import annotations

import itertools
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.reports import tracks
from runner.reports.tracks import Track, Tracks

Point = tuple[float, float]  # the position (step, epoch or number of the row) and the value
AT_ONCE = 1000  # rows
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
    made, left = Tracks(), iter(found)
    while some := list(itertools.islice(left, AT_ONCE)):
        made.add_all(some)
    return {name: _series(track) for name, track in made.of.items()}


def _series(track: Track) -> Series:
    return Series(
        tuple(
            Segment(tuple(zip(track.xs[begin:end], track.ys[begin:end], strict=True)), overtaken)
            for begin, _, end, overtaken in track.spans()
        )
    )


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


def quantiles(
    found: Iterable[Series], low: float, high: float, columns: int, parts: Sequence[float]
) -> list[tuple[float, list[float]]]:
    """For each of `columns` positions from `low` to `high` the quantiles of the series there, of those that are there.

    Between two points a series is taken as straight; none is continued behind its end.
    """
    places = [low + (high - low) * number / max(columns - 1, 1) for number in range(columns)]
    lines = ((array("d", (x for x, _ in points)), array("d", (y for _, y in points)))
             for points in (series.finite for series in found) if points)  # fmt: skip
    made = tracks.fan([[tracks.value_at(xs, ys, x) for x in places] for xs, ys in lines], parts)
    return [(x, values) for x, values in zip(places, made, strict=False) if values]
