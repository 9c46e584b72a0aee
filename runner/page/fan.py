"""The curves of all jobs of a batch as quantiles: what is usual, and what is not."""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Sequence
from typing import Any

from runner.core.job import Job
from runner.page.columns import SAMPLES, spread
from runner.page.store import AT_ONCE, Store, source_of
from runner.reports import tracks

PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)
COLUMNS = 120
KEPT = 5_000  # curves whose points are kept
SECONDS = 0.15  # an answer does not read files for longer; the rest is in the next one


class _Sample:
    """Points of one curve, as of a size of its file; and its values at the positions that were asked for last."""

    __slots__ = ("_at", "_values", "size", "xs", "ys")

    def __init__(self, size: int, xs: array[float], ys: array[float]) -> None:
        self.size, self.xs, self.ys = size, xs, ys
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
            while len(self._kept) > max(KEPT, len(jobs)):
                del self._kept[next(iter(self._kept))]
            if not known:
                return {"x": [], "parts": [], "jobs": 0, "reading": missing}
            low, high = min(one.xs[0] for one in known), max(one.xs[-1] for one in known)
            places = [low + (high - low) * number / (COLUMNS - 1) for number in range(COLUMNS)]
            made = tracks.fan([one.values(low, high, places) for one in known], PARTS)
        shown = [(x, values) for x, values in zip(places, made, strict=True) if values]
        return {"x": [x for x, _ in shown], "parts": [values for _, values in shown],
                "jobs": len(known), "reading": missing}  # fmt: skip

    def _samples(self, jobs: Sequence[Job], key: str, axis: str) -> tuple[list[_Sample], int]:
        """Those that have points, and how many jobs are still to be read."""
        found: list[_Sample] = []
        missing, looked, left, until = 0, 0, AT_ONCE, time.monotonic() + SECONDS
        for job in jobs:
            source = source_of(job, axis)
            size = source.size()
            name = source.path, axis, key
            kept = self._kept.get(name)
            if size and (kept is None or kept.size != size) and (not looked or time.monotonic() < until):
                looked += 1
                few, left = self._store.few(source, left)
                if few is not None:
                    track = few.track(key)
                    line = tracks.Track() if track is None else spread(track, SAMPLES)
                    kept = self._kept[name] = _Sample(few.offset, line.xs, line.ys)
            missing += kept is None and size > 0
            found += [kept] if kept is not None and kept.xs else []
        return found, missing
