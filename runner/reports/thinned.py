"""The curves of a job reduced to what a chart can show, once its file of metrics is read.

Of a job among hundreds, whose curve is not drawn, some hundred rows are enough.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from runner.reports import row_blocks, tracks
from runner.reports.job_record import opened
from runner.reports.series import Segment, Series
from runner.reports.tracks import Track, Tracks

SAMPLED = 2 * 150  # rows
COLUMNS = 150  # of a chart, for each of which the lowest and the highest value are kept
FIRST = 5  # rows that tell what positions are


class Packed(NamedTuple):
    """A series in little memory: of each segment its positions, its values, and from where it was replaced."""

    segments: tuple[tuple[array[float], array[float], float], ...]

    def series(self) -> Series:
        return Series(tuple(Segment(tuple(zip(xs, ys, strict=True)), end) for xs, ys, end in self.segments))


class Thinned(NamedTuple):
    """The curves of one job, and what their positions are: `step`, `epoch` or `row`; empty without rows."""

    axis: str
    curves: dict[str, Packed]


def read(folder: Path, wanted: Collection[str], *, whole: bool = True) -> Thinned:
    """The curves of these metrics; without names, of all. Not `whole`: rows at equal distances do, if all have all."""
    try:
        with opened(folder) as file:
            found = _sampled(file, wanted) if wanted and not whole else None
            return found or _whole(file, wanted)
    except OSError:
        return Thinned("", {})


def _sampled(file: BinaryIO, wanted: Collection[str]) -> Thinned | None:
    """Rows at equal distances in a file; None for a short one, and where one of them does not have each metric."""
    rows = row_blocks.sampled(file, SAMPLED)
    found = Tracks(wanted)
    if rows is None or not found.add_plain(rows) or not found.have_all(wanted, len(rows)):
        return None
    return Thinned(_axis(rows[:FIRST]), {name: _packed(track) for name, track in found.of.items()})


def _whole(file: BinaryIO, wanted: Collection[str]) -> Thinned:
    found, axis = Tracks(wanted), ""
    for block in row_blocks.blocks(file, unfinished=True):
        axis = axis or _axis(block.rows[:FIRST])
        found.add_all(block.rows)
    return Thinned(axis, {name: _packed(track, COLUMNS) for name, track in found.of.items()})


def _axis(first: list[dict[str, object]]) -> str:
    if any("iter" in row or "step" in row for row in first):
        return "step"
    return "" if not first else "epoch" if "epoch" in first[0] else "row"


def _packed(track: Track, columns: int | None = None) -> Packed:
    """A metric with the points that can be seen in so many columns; None: with all."""
    spans = track.spans()
    low, high = min(track.xs[one.begin] for one in spans), max(track.xs[one.end - 1] for one in spans)
    made = []
    for begin, _, end, overtaken in spans:
        kept = range(begin, end) if columns is None else _seen(track, begin, end, low, high, columns)
        made.append((array("d", [track.xs[at] for at in kept]), array("d", [track.ys[at] for at in kept]), overtaken))
    return Packed(tuple(made))


def _seen(track: Track, begin: int, end: int, low: float, high: float, columns: int) -> Sequence[int]:
    """The places of the extremes of each column, and of some values that are not finite."""
    lost = [at for at in track.lost if begin <= at < end]
    if not lost:
        return tracks.extremes(track.xs, track.ys, begin, end, low, high, columns)
    finite = [at for at in range(begin, end) if math.isfinite(track.ys[at])]
    xs, ys = array("d", [track.xs[at] for at in finite]), array("d", [track.ys[at] for at in finite])
    kept = [finite[at] for at in tracks.extremes(xs, ys, 0, len(xs), low, high, columns)]
    return sorted(kept + lost[:: len(lost) // columns + 1])
