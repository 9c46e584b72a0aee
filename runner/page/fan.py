"""The curves of all jobs of a batch as quantiles: what is usual, and what is not."""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Sequence
from typing import Any

from runner.core.job import Job
from runner.page.columns import SAMPLES, Columns, Source, spread
from runner.page.store import Store, source_of
from runner.reports import tracks
from runner.reports.tracks import Track

PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)
COLUMNS = 120
KEPT = 10_000  # curves whose points are kept
SECONDS = 0.15  # of processor time for which an answer reads files; the rest is in the next one


class _Sample:
    """Points of one curve, as of a size of its file; and its values at the positions that were asked for last."""

    __slots__ = ("_at", "_values", "size", "xs", "ys")
    xs: array[float]

    def __init__(self, size: int, track: Track | None, like: _Sample | None = None) -> None:
        line = Track() if track is None else spread(track, SAMPLES)
        xs = like.xs if like is not None and like.xs == line.xs else line.xs  # one array for most metrics of a job
        self.size, self.xs, self.ys = size, xs, line.ys
        self._at: tuple[float, float] = (math.nan, math.nan)
        self._values: Sequence[float | None] = ()

    def values(self, low: float, high: float, places: Sequence[float]) -> Sequence[float | None]:
        if self._at != (low, high):
            self._at, self._values = (low, high), [tracks.value_at(self.xs, self.ys, x) for x in places]
        return self._values


class Fans:
    """Keeps a few points of each curve: another look reads only what has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str, str], _Sample] = {}
        self._lock = threading.Lock()

    def of(self, jobs: Sequence[Job], key: str, axis: str) -> dict[str, Any]:
        """For each position the lowest, 25 %, 50 %, 75 % and highest value. `reading`: so many jobs are missing yet."""
        with self._lock:
            known, missing = self._samples(jobs, key, axis)
            self._shrink(KEPT + len(jobs), (axis, key))
            if not known:
                return {"x": [], "parts": [], "jobs": 0, "reading": missing}
            low, high = min(one.xs[0] for one in known), max(one.xs[-1] for one in known)
            places = [low + (high - low) * number / (COLUMNS - 1) for number in range(COLUMNS)]
            made = tracks.fan([one.values(low, high, places) for one in known], PARTS)
        shown = [(x, values) for x, values in zip(places, made, strict=True) if values]
        return {"x": [x for x, _ in shown], "parts": [values for _, values in shown],
                "jobs": len(known), "reading": missing}  # fmt: skip

    def _shrink(self, most: int, asked: tuple[str, str]) -> None:
        """Drop the oldest, but of those that were asked for now only when no other is left."""
        over = len(self._kept) - most
        if over > 0:
            for name in sorted(self._kept, key=lambda name: name[1:] == asked)[:over]:
                del self._kept[name]

    def _samples(self, jobs: Sequence[Job], key: str, axis: str) -> tuple[list[_Sample], int]:
        """Those that have points, and how many jobs are still to be read."""
        found: list[_Sample] = []
        missing, looked, until = 0, 0, time.thread_time() + SECONDS
        for job in jobs:
            source = source_of(job, axis)
            size = source.size()
            kept = self._kept.get((source.path, axis, key))
            if size and (kept is None or kept.size != size) and (not looked or time.thread_time() < until):
                looked += 1
                kept = self._read(source, size, key) or kept
            missing += kept is None and size > 0
            found += [kept] if kept is not None and kept.xs else []
        return found, missing

    def _read(self, source: Source, size: int, key: str) -> _Sample | None:
        """Some points of a curve; None if all of its file has to be read first."""
        few = Columns.few(source)
        if few is None:
            with self._store.lock:
                whole = self._store.whole(source)
                return None if whole is None else self._keep(source, key, _Sample(whole.size, whole.track(key)))
        made: _Sample | None = None
        for name in few.names():
            made = self._keep(source, name, _Sample(size, few.track(name), made))
        return self._kept.get((source.path, source.axis, key)) or self._keep(source, key, _Sample(size, None))

    def _keep(self, source: Source, key: str, made: _Sample) -> _Sample:
        self._kept[source.path, source.axis, key] = made
        return made
