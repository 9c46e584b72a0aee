"""The curves of all jobs of a batch as quantiles: what is usual, and what is not."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from runner.core.job import Job
from runner.page.columns import Source
from runner.page.store import Store
from runner.reports import tracks

PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)
COLUMNS = 120
SAMPLES = 240  # of a curve that are kept
KEPT = 20_000  # curves whose samples are kept


class _Sample(NamedTuple):
    stamp: object
    xs: Sequence[float]
    ys: Sequence[float]


class Fans:
    """Keeps a few samples of each curve: another look reads only what has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str, str], _Sample] = {}
        self._lock = threading.Lock()

    def of(self, jobs: Sequence[Job], key: str, axis: str) -> dict[str, Any]:
        """For each position the lowest, 25 %, 50 %, 75 % and highest value. `reading`: so many jobs are missing yet."""
        waiting: list[Job] = []
        known: list[_Sample] = []
        with self._lock:
            for job in jobs:
                found = self._sample(job, key, axis)
                if isinstance(found, _Sample):
                    known += [found] if found.xs else []
                elif found:
                    waiting.append(job)
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        if waiting:
            self._store.of(waiting, axis)
        if not known:
            return {"x": [], "parts": [], "jobs": 0, "reading": len(waiting)}
        low, high = min(one.xs[0] for one in known), max(one.xs[-1] for one in known)
        places = [low + (high - low) * number / (COLUMNS - 1) for number in range(COLUMNS)]
        made = tracks.fan([[tracks.value_at(one.xs, one.ys, x) for x in places] for one in known], PARTS)
        shown = [(x, values) for x, values in zip(places, made, strict=True) if values]
        return {"x": [x for x, _ in shown], "parts": [values for _, values in shown],
                "jobs": len(known), "reading": len(waiting)}  # fmt: skip

    def _sample(self, job: Job, key: str, axis: str) -> _Sample | bool:
        """A few points of a curve, the whole of which was read; True if it has to be read first."""
        source = Source.of(job.out_dir, axis, ())
        size = source.size()
        if not size:
            return False
        name = source.path, axis, key
        kept = self._kept.get(name)
        if kept is not None and kept.stamp == size:
            return kept
        known, track = self._store.once(job, axis, key)
        if not known:
            return True
        line = None if track is None else track.finite()
        places = [] if line is None else _spread(len(line.xs))
        xs, ys = ([line.xs[at] for at in places], [line.ys[at] for at in places]) if line is not None else ([], [])
        self._kept[name] = _Sample(size, xs, ys)
        return self._kept[name]


def _spread(count: int) -> list[int]:
    """Places in a curve, at equal distances, with both ends."""
    if count <= SAMPLES:
        return list(range(count))
    return [round(number * (count - 1) / (SAMPLES - 1)) for number in range(SAMPLES)]
