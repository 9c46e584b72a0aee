"""Metrics as arrays that grow with the rows of metrics.jsonl: segments, gaps, what a width can show. Pure."""

from __future__ import annotations

import itertools
import math
import operator
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runner.output import names, rows

POSITIONS = ("iter", "step", "epoch")  # as rows.position reads them, and
LARGEST = 10**15
NUMBERS = frozenset((int, float))


class Span(NamedTuple):
    """The points of one segment: `begin` to `split` count; from there (at `overtaken`) they were measured again."""

    begin: int
    split: int
    end: int
    overtaken: float


class Track:
    """One metric: positions and values. `starts`: where each segment begins; `lost`: where values are not finite."""

    __slots__ = ("_bounds", "lost", "starts", "xs", "ys")

    def __init__(self) -> None:
        self._bounds = 0, math.inf, -math.inf  # of so many points the lowest and the highest value
        self.xs = array("d")
        self.ys = array("d")
        self.starts: list[int] = []
        self.lost: list[int] = []

    def add(self, place: float, value: float, *, new_segment: bool) -> None:
        """Of equal positions in a segment the later value counts."""
        at = len(self.xs)
        if new_segment or not self.starts:
            self.starts.append(at)
        elif self.xs[-1] == place:
            at -= 1
            self.xs.pop()
            self.ys.pop()
            if self.lost and self.lost[-1] == at:
                self.lost.pop()
        self.xs.append(place)
        self.ys.append(value)
        if not math.isfinite(value):
            self.lost.append(at)

    def spans(self) -> list[Span]:
        """The segments, the earliest first."""
        made: list[Span] = []
        overtaken, end = math.inf, len(self.xs)
        for begin in reversed(self.starts):
            made.append(Span(begin, bisect_left(self.xs, overtaken, begin, end), end, overtaken))
            overtaken, end = min(overtaken, self.xs[begin]), begin
        return made[::-1]

    def kept(self) -> Track:
        """What counts, as one segment; this track itself if nothing was measured again."""
        spans = self.spans()
        if all(span.split == span.end for span in spans):
            return self
        made = Track()
        made.starts = [0]
        for span in spans:
            shift = len(made.xs) - span.begin
            made.lost += [at + shift for at in self._lost_in(span.begin, span.split)]
            made.xs += self.xs[span.begin : span.split]
            made.ys += self.ys[span.begin : span.split]
        return made

    def finite(self) -> Track:
        """Without the values that are not finite, as one segment without gaps."""
        made = self.kept()
        if not made.lost:
            return made
        gone = set(made.lost)
        left = Track()
        left.starts = [0]
        left.xs = array("d", (x for at, x in enumerate(made.xs) if at not in gone))
        left.ys = array("d", (y for at, y in enumerate(made.ys) if at not in gone))
        return left

    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest finite value of what counts; inf and -inf if there is none."""
        kept = self.kept()
        if kept is not self or self.lost:
            values = kept.finite().ys
            return min(values, default=math.inf), max(values, default=-math.inf)
        count, low, high = self._bounds
        if count < len(self.ys) - 1:  # the last value may still be replaced
            new = self.ys[count:-1].tolist()
            lowest, highest = min(new), max(new)
            count, low, high = self._bounds = len(self.ys) - 1, min(low, lowest), max(high, highest)
        last = self.ys[count:]
        return min(low, *last), max(high, *last)

    def last(self) -> float:
        """The last finite value of what counts; NaN if there is none."""
        kept = self.kept()
        return next((value for value in reversed(kept.ys) if math.isfinite(value)), math.nan)

    def pieces(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The runs of finite values between two places."""
        for lost in (*self._lost_in(begin, end), end):
            if lost > begin:
                yield begin, lost
            begin = lost + 1

    def _lost_in(self, begin: int, end: int) -> list[int]:
        return self.lost[bisect_left(self.lost, begin) : bisect_left(self.lost, end)]


class Tracks:
    """All metrics of one file, or those that are `wanted`. A position that goes back begins a new segment."""

    def __init__(self, wanted: Collection[str] = ()) -> None:
        self._wanted = frozenset(wanted)
        self.of: dict[str, Track] = {}
        self.rows = 0
        self.segment = 0
        self.last = -math.inf
        self.segments: dict[str, int] = {}  # name -> the segment of its last point

    def begin_segment(self) -> None:
        """What follows was measured by another attempt."""
        self.segment += 1

    def add(self, row: Mapping[str, Any]) -> None:
        place = _place(row, self.rows)
        self.rows += 1
        if place < self.last:
            self.segment += 1
        self.last = place
        segment, segments, of, wanted = self.segment, self.segments, self.of, self._wanted
        for name, value in rows.numbers(row).items():
            if wanted and name not in wanted:
                continue
            track = of.get(name)
            if track is None:
                track = of[name] = Track()
            if segments.get(name) == segment and track.xs[-1] < place and value - value == 0.0:  # most of them
                track.xs.append(place)
                track.ys.append(value)
                continue
            track.add(place, value, new_segment=segments.get(name) != segment)
            segments[name] = segment

    def add_all(self, found: Sequence[Mapping[str, Any]]) -> None:
        """The same for many rows, at a fifth of the cost if they are plain."""
        if not self.add_plain(found):
            for row in found:
                self.add(row)

    def add_plain(self, found: Sequence[Mapping[str, Any]]) -> bool:
        """Add rows whose positions grow and whose values are finite, as most are; False if they are not such."""
        steps = _growing(found, self.last)
        columns = None if steps is None else self._columns(found, steps)
        if steps is None or columns is None:
            return False
        self.rows += len(found)
        self.last = steps[-1]
        for name, (xs, ys) in columns.items():
            track = self.of.get(name)
            if track is None:
                track = self.of[name] = Track()
            if self.segments.get(name) != self.segment or not track.starts:
                track.starts.append(len(track.xs))
                self.segments[name] = self.segment
            track.xs.extend(xs)
            track.ys.extend(ys)
        return True

    def have_all(self, wanted: Collection[str], count: int) -> bool:
        """Whether each of these metrics has so many values."""
        return all(name in self.of and len(self.of[name].xs) == count for name in wanted)

    def _columns(
        self, found: Sequence[Mapping[str, Any]], steps: array[float]
    ) -> dict[str, tuple[array[float], array[float]]] | None:  # fmt: skip
        """Positions and values of each metric; None if one has a value that is not finite."""
        made = {}
        for name in dict.fromkeys(itertools.chain.from_iterable(found)):
            if name in rows.PLACE or (self._wanted and name not in self._wanted and name != rows.NONFINITE):
                continue
            xs = steps
            try:
                values = list(map(operator.itemgetter(name), found))
            except KeyError:  # it is not in every row
                there = [name in row for row in found]
                xs = array("d", itertools.compress(steps, there))
                values = [row[name] for row in itertools.compress(found, there)]
            kinds = set(map(type, values))
            if kinds <= NUMBERS:
                try:
                    made[name] = xs, array("d", values)
                    finite = math.isfinite(sum(values))
                except OverflowError:  # a whole number, or their sum, that no float holds
                    return None
                if not finite:
                    return None
            elif kinds & NUMBERS or name == rows.NONFINITE or (type(None) in kinds and names.is_loss(name)):
                return None
        return made


def _growing(found: Sequence[Mapping[str, Any]], last: float) -> array[float] | None:
    """The positions of rows, if all are steps, or all are epochs, and each is larger than the one before it."""
    key = next((key for key in POSITIONS if found and key in found[0]), None)
    if key is None:
        return None
    places: list[Any] = [row.get(key) for row in found]
    kinds = set(map(type, places))
    if not kinds <= (NUMBERS if key == "epoch" else {int}):
        return None
    if any(other in row for other in POSITIONS[: POSITIONS.index(key)] for row in found):
        return None  # they are not all at the same kind of position
    grows = places[0] > last and all(map(operator.lt, places, itertools.islice(places, 1, None)))
    return array("d", places) if grows and places[0] > -LARGEST and places[-1] < LARGEST else None


def _place(row: Mapping[str, Any], number: int) -> float:
    step, epoch = rows.position(row)
    place = step if step is not None else epoch
    return float(number if place is None or not math.isfinite(place) else place)


def extremes(
    xs: Sequence[float], ys: Sequence[float], begin: int, end: int, low: float, high: float, columns: int
) -> Sequence[int]:
    """Of finite points the places of at most two for each of `columns` equal parts of `low`..`high`, and of the ends.

    They are the lowest and the highest of each part. Few points are all kept, and those outside.
    """
    if end - begin <= 2 * columns:
        return range(begin, end)
    width = (high - low) / columns or 1.0

    def column(x: float) -> int:
        return min(max(int((x - low) / width), 0), columns - 1)

    at, last = between(xs, begin, end, low, high)
    kept = {begin, end - 1, *range(begin, at), *range(last, end)}
    while at < last:
        here = column(xs[at])
        behind = bisect_left(xs, low + (here + 1) * width, at + 1, last)
        while behind < last and column(xs[behind]) <= here:  # a border is not exact; `column` decides
            behind += 1
        while behind > at + 1 and column(xs[behind - 1]) > here:
            behind -= 1
        block = ys[at:behind].tolist() if isinstance(ys, array) else ys[at:behind]
        kept.add(at + block.index(min(block)))
        kept.add(at + block.index(max(block)))
        at = behind
    return sorted(kept)


def value_at(xs: Sequence[float], ys: Sequence[float], x: float) -> float | None:
    """Between two points as on a straight line; None outside of them."""
    if not xs or not xs[0] <= x <= xs[-1]:
        return None
    at = bisect_left(xs, x)
    if xs[at] == x or at == 0:
        return ys[at]
    x0, y0 = xs[at - 1], ys[at - 1]
    return y0 + (ys[at] - y0) * (x - x0) / (xs[at] - x0)


def quantile(values: Sequence[float], part: float) -> float:
    """Of sorted values."""
    place = part * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def fan(sampled: Sequence[Sequence[float | None]], parts: Sequence[float]) -> list[list[float] | None]:
    """For each position the quantiles of the curves that have got so far; None where none has."""
    found = []
    for column in zip(*sampled, strict=True):
        values = sorted(value for value in column if value is not None)
        found.append([quantile(values, part) for part in parts] if values else None)
    return found


def between(xs: Sequence[float], begin: int, end: int, low: float, high: float) -> tuple[int, int]:
    """The places of the growing positions from `low` to `high`."""
    return bisect_left(xs, low, begin, end), bisect_right(xs, high, begin, end)
