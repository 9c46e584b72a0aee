"""The curves of jobs as a few levels each, for their rows in the table."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from runner.core.job import Job
from runner.page import axes
from runner.page.columns import Source
from runner.page.curves import MOST_JOBS
from runner.page.store import Known, Store
from runner.reports.sparkline import level, parts
from runner.reports.tracks import Track

POINTS = 32
HIGHEST = 63  # a level is 0 to HIGHEST
LOST = -1  # the level of a value that is not finite
KEPT = 20_000  # curves whose levels are kept


class _Spark(NamedTuple):
    size: int  # bytes of the file of which it was made
    entry: dict[str, Any]


class Sparks:
    """Keeps what it made of a file that has not grown since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str], _Spark] = {}
        self._lock = threading.Lock()

    def of(self, jobs: Sequence[tuple[int, Job]], key: str) -> dict[str, Any]:
        """Number of a job -> the levels of its curve, its first and its last value; null is a part without a value.

        `reading`: jobs whose levels are of some rows only, or missing, until all was read. A job without this metric
        has no levels.
        """
        found: dict[int, dict[str, Any]] = {}
        new: list[tuple[int, Job, tuple[str, str], int]] = []
        with self._lock:
            for number, job in jobs[:MOST_JOBS]:
                source = Source.of(job.out_dir, axes.STEP, ())
                name, size = (source.path, key), source.size()
                kept = self._kept.get(name)
                if kept is not None and kept.size == size:
                    found[number] = kept.entry
                else:
                    new.append((number, job, name, size))
            reading = self._make(new, key, found) if new else []
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return {"sparks": found, "reading": reading}

    def _make(
        self, new: Sequence[tuple[int, Job, tuple[str, str], int]], key: str, found: dict[int, dict[str, Any]]
    ) -> list[int]:
        """Add those of jobs whose files have grown; the numbers of jobs that have to be read first."""
        with self._store.lock:
            read = self._store.of([job for _, job, _, _ in new], axes.STEP)
            made = [entry(_track(one, key)) for one in read]
        reading = []
        for (number, _, name, size), known, one in zip(new, read, made, strict=True):
            if known.reading:
                reading.append(number)
            else:
                self._kept[name] = _Spark(size, one)
            if known.columns or not known.reading:
                found[number] = one
        return reading


def _track(known: Known, key: str) -> Track | None:
    return known.columns.track(key) if known.columns else None


def entry(track: Track | None) -> dict[str, Any]:
    """The levels of a curve between the lowest and the highest of the values that are shown."""
    kept = None if track is None else track.kept()
    values = [] if kept is None else parts(kept.xs, kept.ys, POINTS)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not values:
        return {"levels": []}
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    levels = [None if value is None else _level(value, low, high) for value in values]
    return {"levels": levels, **({"first": finite[0], "last": finite[-1]} if finite else {})}


def _level(value: float, low: float, high: float) -> int:
    return level(value, low, high, HIGHEST) if math.isfinite(value) else LOST
