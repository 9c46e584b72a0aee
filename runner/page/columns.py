"""The columns of one file of metrics: read once, then only what is appended to it, and kept below ~/.cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from runner.disk import atomic
from runner.disk.layout import JobPaths
from runner.disk.place import Place
from runner.disk.reading import open_below, open_regular
from runner.output import rows
from runner.page.axes import Placer
from runner.reports.tracks import Track, Tracks

SCHEMA = 1
LONGEST = 1 << 20  # bytes of a line
CHECKED = 1 << 12  # bytes at the beginning and before the end by which a file is known again
LARGEST_HEAD = 1 << 26
MOST_KEPT = 1_000_000_000  # bytes of all files below ~/.cache


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

    def advance(self) -> bool:
        """Read what was appended; False if the file is another one, or cannot be read."""
        try:
            with open_regular(self.source.path, links=self.source.links) as file:
                about = os.fstat(file.fileno())
                stamp = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
                if stamp == self._stamp:
                    return True
                if about.st_size < self.offset or self._mark != _mark(file, self.offset):
                    return False
                if about.st_size > self.offset:
                    self._load_all()
                    self._read(file)
                    self._mark = _mark(file, self.offset)
                self._stamp = stamp
        except OSError:
            return False
        return True

    def _read(self, file: BinaryIO) -> None:
        file.seek(self.offset)
        while line := file.readline(LONGEST):
            if not line.endswith(b"\n") and len(line) < LONGEST:
                break  # it is being written
            self.offset += len(line)
            row = rows.parse(line)
            placed = None if row is None else self._placer(row)
            if placed is not None:
                self.tracks.add(placed)

    def names(self) -> list[str]:
        return list(self._cached.metrics if self._cached else self.tracks.of)

    def track(self, name: str) -> Track | None:
        """A metric; it is read from the kept file when it is asked for."""
        found = self.tracks.of.get(name)
        if found is None and self._cached is not None:
            found = self._cached.track(name)
            if found is not None:
                self.tracks.of[name] = found
        return found

    def forget(self) -> None:
        """Drop the metrics that can be read again."""
        if self._cached is not None:
            self.tracks.of.clear()

    def points(self) -> int:
        """How many are in memory."""
        return sum(len(track.xs) for track in self.tracks.of.values())

    def _load_all(self) -> None:
        for name in self.names():
            self.track(name)
        self._cached = None

    def save(self) -> None:
        """Keep it below ~/.cache, if it is not what is kept there. Raises OSError."""
        if self._cached is not None:
            return
        placer, tracks = self._placer, self.tracks
        state = [placer.worked, placer.before, placer.step, tracks.rows, tracks.segment, tracks.last, tracks.segments]
        head: dict[str, Any] = {"schema": SCHEMA, "mark": self._mark, "offset": self.offset,
                                "ends": list(self.source.ends), "state": state, "metrics": {}}  # fmt: skip
        blocks: list[bytes] = []
        places: dict[bytes, int] = {}
        at = 0
        for name, track in tracks.of.items():
            entry: dict[str, Any] = {"n": len(track.xs), "starts": track.starts, "lost": track.lost}
            for part, values in (("xs", track.xs), ("ys", track.ys)):
                content = values.tobytes()
                known = hashlib.sha256(content).digest()
                if known not in places:  # most metrics have the same positions
                    places[known] = at
                    blocks.append(content)
                    at += len(content)
                entry[part] = places[known]
            head["metrics"][name] = entry
        place = Place(folder(), _name(self.source))
        place.parent.make()
        atomic.write_bytes(place, b"".join([json.dumps(head).encode(), b"\n", *blocks]), durable=False)

    @classmethod
    def kept(cls, source: Source) -> Columns | None:
        """As it was saved, if the file still begins as it did then."""
        made = cls(source)
        try:
            cached = Cached(Place(folder(), _name(source)))
            head = cached.head
            with open_regular(source.path, links=source.links) as file:
                same = head["schema"] == SCHEMA and head["ends"] == list(source.ends)
                if not same or _mark(file, head["offset"]) != head["mark"]:
                    return None
            state = head["state"]
            made.offset, made._mark, made._cached = head["offset"], head["mark"], cached
            made._placer.worked, made._placer.before, made._placer.step = state[:3]
            made.tracks.rows, made.tracks.segment, made.tracks.last, made.tracks.segments = state[3:]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return made


class Cached:
    """A kept file: its head, and the columns that are asked for. Raises OSError, ValueError or KeyError."""

    def __init__(self, place: Place) -> None:
        self._place = place
        with open_below(place) as file:
            self.head: Mapping[str, Any] = json.loads(file.readline(LARGEST_HEAD))
            self._begin = file.tell()
        self.metrics: Mapping[str, Any] = self.head["metrics"]

    def track(self, name: str) -> Track | None:
        """None if it is not there, or the file was removed meanwhile."""
        entry = self.metrics.get(name)
        if entry is None:
            return None
        made = Track()
        try:
            with open_below(self._place) as file:
                for values, at in ((made.xs, entry["xs"]), (made.ys, entry["ys"])):
                    file.seek(self._begin + at)
                    values.frombytes(file.read(8 * entry["n"]))
        except (OSError, ValueError, MemoryError):
            return None
        if len(made.xs) != entry["n"] or len(made.ys) != entry["n"]:
            return None
        made.starts, made.lost = list(entry["starts"]), list(entry["lost"])
        return made


def folder() -> Path:
    """Where columns are kept; it can be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overnight" / "page"


def prune(most: int = MOST_KEPT) -> None:
    """Remove the oldest kept files until all together are small enough."""
    place = Place(folder())
    try:
        found = [(os.stat(folder() / name), name) for name in place.names_in()]  # noqa: PTH116 - as elsewhere
        total = sum(about.st_size for about, _ in found)
        for about, name in sorted(found, key=lambda one: one[0].st_mtime_ns):
            if total <= most:
                break
            total -= about.st_size if (place / name).remove() else 0
    except OSError:
        return


def _name(source: Source) -> str:
    """Of the kept file: by the device and the inode. Raises OSError."""
    about = os.stat(source.path)  # noqa: PTH116 - text, as theirs
    return f"{about.st_dev}-{about.st_ino}-{source.axis}.col"


def _mark(file: BinaryIO, offset: int) -> str:
    """By which a file is known again: its beginning, and what stands before `offset`."""
    file.seek(0)
    found = hashlib.sha256(file.read(min(CHECKED, offset)))
    file.seek(max(offset - CHECKED, 0))
    found.update(file.read(min(CHECKED, offset)))
    return f"{offset} {found.hexdigest()}"
