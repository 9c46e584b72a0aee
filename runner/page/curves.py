"""The curves of some jobs, reduced to the columns of a chart. Every minimum and maximum of a column stays."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from runner.core.job import Job
from runner.disk.layout import JobPaths
from runner.page import axes
from runner.reports import series
from runner.reports.job_record import rows_of
from runner.reports.series import Point, Series

MOST_JOBS = 50
LEAST_COLUMNS, MOST_COLUMNS = 50, 4000
MOST_SMOOTHING = 0.99
MOST_MARKS = 200  # values that are not finite, of one curve
KEPT = 200  # files whose curves are kept in memory
_Stamp = tuple[int, int, int]


class View(NamedTuple):
    """How curves are drawn: `columns` of pixels over the positions of `window` on `axis`; `smoothing`: 0 to 0.99."""

    columns: int
    window: tuple[float, float]
    smoothing: float = 0.0
    axis: str = axes.STEP

    def of(self, key: str) -> View:
        """The same within its bounds; a learning rate is never smoothed."""
        is_rate = "lr" in re.split(r"[^a-z]+", key.lower()) or "learning_rate" in key.lower()
        smoothing = 0.0 if is_rate else min(max(self.smoothing, 0.0), MOST_SMOOTHING)
        return View(min(max(self.columns, LEAST_COLUMNS), MOST_COLUMNS), self.window, smoothing, self.axis)


class Curves:
    """Reads each file of metrics once, and again when it has changed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[_Stamp, dict[str, Series]]] = {}
        self._lock = threading.Lock()

    def answer(self, jobs: Sequence[tuple[int, Job]], key: str, view: View) -> Any:
        """The keys of these jobs, and the segments of one key for each job."""
        found = [(number, job, self._of(job, view.axis)) for number, job in jobs[:MOST_JOBS]]
        keys = list(dict.fromkeys(name for _, _, known in found for name in known))
        chosen = key if key in keys else _usual(keys)
        drawn = [
            {"i": number, "name": job.name, **curve(known[chosen], view.of(chosen))}
            for number, job, known in found
            if chosen in known
        ]
        return {"keys": keys, "key": chosen, "series": drawn}

    def _of(self, job: Job, axis: str) -> dict[str, Series]:
        paths = JobPaths(job.out_dir)
        stamps = [stamp for path in (paths.metrics, paths.parsed_metrics) if (stamp := _stamp(path))]
        name = str(job.out_dir), axis
        if not stamps:
            return {}
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or kept[0] != stamps[0]:
                kept = self._kept[name] = (stamps[0], _read(job, axis))
                while len(self._kept) > KEPT:
                    del self._kept[next(iter(self._kept))]
        return kept[1]


def _read(job: Job, axis: str) -> dict[str, Series]:
    ends = [] if axis == axes.STEP else axes.ends_of(job.out_dir)
    return series.read(axes.placed(rows_of(job.out_dir), axis, ends))


def _stamp(path: str) -> _Stamp | None:
    try:
        about = os.stat(path)  # noqa: PTH116 - text, as theirs
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns


def _usual(keys: Sequence[str]) -> str:
    """The key that is shown first."""
    order = ("val/loss", "train/loss", "val_loss", "loss")
    return next((key for key in order if key in keys), keys[0] if keys else "")


def curve(found: Series, view: View) -> dict[str, Any]:
    """A series for a chart: its summary and the pieces of its lines."""
    finite, lost = found.finite, found.nonfinite
    values = [value for _, value in finite]
    summary = {"last": values[-1], "min": min(values), "max": max(values)} if values else {}
    return {
        **summary,
        "nonfinite": {
            "count": len(lost),
            "first": lost[0][0] if lost else None,
            "marks": [[place, _word(value)] for place, value in lost[:MOST_MARKS]],
        },
        "kept": [piece for segment in found.segments for piece in _pieces(segment.kept, found, view)],
        "replaced": [piece for segment in found.segments for piece in _pieces(segment.replaced, found, view)],
        "smooth": _pieces(smoothed(found.kept, view.smoothing), found, view) if view.smoothing else [],
    }


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"


def smoothed(points: Sequence[Point], weight: float) -> list[Point]:
    """A debiased exponential moving average over the steps. What is not finite stays, and does not spoil what follows.

    Constant values stay exactly as they are.
    """
    made: list[Point] = []
    mean, bias = 0.0, 1.0
    for place, value in points:
        if math.isfinite(value):
            bias *= weight
            mean = value if not made else mean + (value - mean) * (1 - weight) / (1 - bias)
        made.append((place, mean if math.isfinite(value) else value))
    return made


def _pieces(points: Sequence[Point], found: Series, view: View) -> list[list[list[float]]]:
    """The pieces of a line without gaps inside, each as its positions and its values."""
    low, high = view.window
    inside = [point for point in points if low <= point[0] <= high]
    finite = found.finite
    if not inside or not finite:
        return []
    low, high = max(low, finite[0][0]), min(high, finite[-1][0])
    made = (series.reduced(piece, low, high, view.columns) for piece in series.pieces(inside))
    return [[[x for x, _ in piece], [y for _, y in piece]] for piece in made]
