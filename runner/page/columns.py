"""The columns of one file of metrics: read once, then only what is appended to it, and kept below ~/.cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from runner.disk.layout import JobPaths
from runner.disk.place import Place
from runner.disk.reading import open_regular
from runner.page import column_cache
from runner.page.axes import STEP, Placer
from runner.page.column_cache import Cached
from runner.reports import row_blocks
from runner.reports.tracks import Track, Tracks

CHECKED = 1 << 12  # bytes at the beginning and before the end by which a file is known again
SAMPLES = 240  # rows at equal distances in a file, for a fan and for a first look
SMALL = 1 << 19  # bytes of a file that is read whole for them


class Source(NamedTuple):
    """A file of metrics, the axis, and when earlier attempts ended."""

    path: str
    axis: str
    ends: tuple[str, ...]
    links: bool

    @classmethod
    def of(cls, folder: Path, axis: str, ends: Sequence[str]) -> Source:
        """metrics.jsonl of a job; of one that does not write it, what was understood of its output."""
        paths = JobPaths(folder)
        own = os.path.exists(paths.metrics)  # noqa: PTH110 - text, as theirs
        return cls(paths.metrics if own else paths.parsed_metrics, axis, tuple(ends), own)

    def size(self) -> int:
        """In bytes; 0 for one that is not there."""
        try:
            return os.stat(self.path).st_size  # noqa: PTH116 - text, as theirs
        except OSError:
            return 0


class Columns:
    """What was read of one file so far. Not for several threads."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tracks = Tracks()
        self.offset = 0  # bytes that were read
        self._placer = Placer(source.axis, source.ends)
        self._mark = f"0 {hashlib.sha256().hexdigest()}"
        self._stamp: tuple[int, ...] = ()
        self._cached: Cached | None = None
        self._lost = False  # whether kept columns could not be read again

    def advance(self) -> bool:
        """Read what was appended; False if the file is another one, cannot be read, or what was kept is gone."""
        if self.is_lost:
            return False
        try:
            with open_regular(self.source.path, links=self.source.links) as file:
                about = os.fstat(file.fileno())
                stamp = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
                if stamp == self._stamp:
                    return True
                if about.st_size < self.offset or self._mark != _mark(file, self.offset):
                    return False
                if about.st_size > self.offset:
                    if not self._load_all():
                        return False
                    self._read(file)
                    self._mark = _mark(file, self.offset)
                self._stamp = stamp
        except OSError:
            return False
        return True

    def _read(self, file: BinaryIO) -> None:
        for block in row_blocks.blocks(file, self.offset):  # a last line without an end is being written
            self.offset = block.end
            for attempt in self._attempts(block.rows):
                self.tracks.add_all(attempt)

    def _attempts(self, found: Sequence[dict[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
        """The rows with their positions, up to each pause, after which a new segment begins."""
        if self.source.axis == STEP:
            yield found
            return
        together: list[Mapping[str, Any]] = []
        for row in found:
            placed = self._placer(row)
            if placed is None:
                continue
            if self._placer.paused:
                yield together
                together = []
                self.tracks.begin_segment()
            together.append(placed)
        yield together

    def _placed(self, found: Sequence[dict[str, Any]]) -> Sequence[Mapping[str, Any]]:
        if self.source.axis == STEP:
            return found
        return [placed for row in found if (placed := self._placer(row)) is not None]

    @classmethod
    def few(cls, source: Source) -> Columns | None:
        """Some rows at equal distances, at once; None if they would not show every metric as it is."""
        made = cls(source)
        if source.size() <= SMALL:
            return made if made.advance() else None
        try:
            with open_regular(source.path, links=source.links) as file:
                found = row_blocks.sampled(file, SAMPLES)
        except OSError:
            return None
        if found is None or not made.tracks.add_plain(made._placed(found)):
            return None
        return made if made.tracks.have_all(made.tracks.of, len(found)) else None

    @property
    def size(self) -> int:
        """Bytes of the file when it was read last."""
        return self._stamp[2] if self._stamp else self.offset

    @property
    def is_lost(self) -> bool:
        """Whether columns that were kept, and are not in memory, are gone."""
        return self._lost or (self._cached is not None and not self._cached.is_there())

    def names(self) -> list[str]:
        return list(self._cached.metrics if self._cached else self.tracks.of)

    def track(self, name: str) -> Track | None:
        """A metric; it is read from the kept file when it is asked for."""
        found = self.tracks.of.get(name)
        if found is None and self._cached is not None:
            found = self._cached.track(name)
            if found is not None:
                self.tracks.of[name] = found
            elif name in self._cached.metrics:
                self._lost = True
        return found

    def forget(self) -> None:
        """Drop the metrics that can be read again."""
        if self._cached is not None:
            self.tracks.of.clear()

    def points(self) -> int:
        """How many are in memory."""
        return sum(len(track.xs) for track in self.tracks.of.values())

    def _load_all(self) -> bool:
        for name in self.names():
            self.track(name)
        if not self._lost:
            self._cached = None
        return not self._lost

    def save(self) -> None:
        """Keep it below ~/.cache, if it is not what is kept there. Raises OSError."""
        if self._cached is None:
            placer, tracks = self._placer, self.tracks
            state: list[Any] = [placer.worked, placer.before, placer.step]
            state += [tracks.rows, tracks.segment, tracks.last, tracks.segments]
            head = {"mark": self._mark, "offset": self.offset, "ends": list(self.source.ends), "state": state}
            column_cache.write(_place(self.source), head, tracks.of)

    @classmethod
    def kept(cls, source: Source) -> Columns | None:
        """As it was saved, if the file still begins as it did then."""
        made = cls(source)
        try:
            cached = Cached(_place(source))
            head = cached.head
            with open_regular(source.path, links=source.links) as file:
                same = head["schema"] == column_cache.SCHEMA and head["ends"] == list(source.ends)
                if not same or _mark(file, head["offset"]) != head["mark"]:
                    return None
            state = head["state"]
            made.offset, made._mark, made._cached = head["offset"], head["mark"], cached
            made._placer.worked, made._placer.before, made._placer.step = state[:3]
            made.tracks.rows, made.tracks.segment, made.tracks.last, made.tracks.segments = state[3:]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return made


def spread(track: Track, count: int) -> Track:
    """Finite points of a metric at equal distances, with both ends."""
    line = track.finite()
    if len(line.xs) <= count:
        return line
    made = Track()
    made.starts = [0]
    for number in range(count):
        at = round(number * (len(line.xs) - 1) / (count - 1))
        made.xs.append(line.xs[at])
        made.ys.append(line.ys[at])
    return made


def _place(source: Source) -> Place:
    """Of the kept file, by the device and the inode. Raises OSError."""
    about = os.stat(source.path)  # noqa: PTH116 - text, as theirs
    name = f"{about.st_dev}-{about.st_ino}-{source.axis}.col"
    return Place(column_cache.folder(), name)


def _mark(file: BinaryIO, offset: int) -> str:
    """By which a file is known again: its beginning, and what stands before `offset`."""
    file.seek(0)
    found = hashlib.sha256(file.read(min(CHECKED, offset)))
    file.seek(max(offset - CHECKED, 0))
    found.update(file.read(min(CHECKED, offset)))
    return f"{offset} {found.hexdigest()}"
