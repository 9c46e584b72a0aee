"""Columns of metrics that are kept below ~/.cache. They can be deleted at any time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.disk import atomic
from runner.disk.place import Place
from runner.disk.reading import open_below
from runner.reports.tracks import Track

SCHEMA = 3
LARGEST_HEAD = 1 << 26
MOST_KEPT = 1_000_000_000  # bytes of all files


class Cached:
    """A kept file: its head, and the columns that are asked for. Raises OSError, ValueError or KeyError."""

    def __init__(self, place: Place) -> None:
        self._place = place
        with open_below(place) as file:
            about = os.fstat(file.fileno())
            self._stamp = _stamp(about)
            self.head: Mapping[str, Any] = json.loads(file.readline(LARGEST_HEAD))
            self._begin = file.tell()
        self.metrics: Mapping[str, Any] = self.head["metrics"]
        ends = (entry[part] + 8 * entry["n"] for entry in self.metrics.values() for part in ("xs", "ys"))
        if about.st_size - self._begin < max(ends, default=0):
            raise ValueError("it is not whole")

    def is_there(self) -> bool:
        """False if the file was removed or replaced since."""
        try:
            return _stamp(os.stat(self._place)) == self._stamp  # noqa: PTH116 - as elsewhere
        except OSError:
            return False

    def track(self, name: str) -> Track | None:
        """None if it is not there, or the file was removed or replaced meanwhile."""
        entry = self.metrics.get(name)
        if entry is None:
            return None
        made = Track()
        try:
            with open_below(self._place) as file:
                if _stamp(os.fstat(file.fileno())) != self._stamp:
                    return None
                for values, at in ((made.xs, entry["xs"]), (made.ys, entry["ys"])):
                    file.seek(self._begin + at)
                    values.frombytes(file.read(8 * entry["n"]))
        except (OSError, ValueError, MemoryError):
            return None
        if len(made.xs) != entry["n"] or len(made.ys) != entry["n"]:
            return None
        made.starts, made.lost = list(entry["starts"]), list(entry["lost"])
        return made


def _stamp(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_ino, about.st_size, about.st_mtime_ns


def write(place: Place, head: Mapping[str, Any], tracks: Mapping[str, Track]) -> None:
    """Keep these metrics. Raises OSError."""
    metrics: dict[str, Any] = {}
    blocks: list[bytes] = []
    places: list[int] = []
    at = 0
    for name, track in tracks.items():
        entry: dict[str, Any] = {"n": len(track.xs), "starts": track.starts, "lost": track.lost}
        for part, values in (("xs", track.xs), ("ys", track.ys)):
            content = values.tobytes()
            same = next((known for known, block in enumerate(blocks) if part == "xs" and block == content), len(blocks))
            if same == len(blocks):  # most metrics have the same positions
                blocks.append(content)
                places.append(at)
                at += len(content)
            entry[part] = places[same]
        metrics[name] = entry
    place.parent.make()
    whole = {"schema": SCHEMA, **head, "metrics": metrics}
    atomic.write_bytes(place, b"".join([json.dumps(whole).encode(), b"\n", *blocks]), durable=False)


def folder() -> Path:
    """Where they are kept."""
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
