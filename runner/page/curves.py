"""The curves of some jobs, reduced to the columns of a chart. Every minimum and maximum of a column stays."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runner.core.job import Job
from runner.page import axes
from runner.page.store import Store
from runner.reports import series, tracks
from runner.reports.tracks import Track

MOST_JOBS = 50
LEAST_COLUMNS, MOST_COLUMNS = 50, 4000
MOST_SMOOTHING = 0.99
MOST_MARKS = 200  # values that are not finite, of one curve
LARGEST_WHOLE = 1e15


class _Drawn(NamedTuple):
    """A curve. `rough`: of some rows, until all are read."""

    number: int
    name: str
    track: Track
    rough: bool


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
    """Answers from the store, which reads each row of a file once."""

    def __init__(self) -> None:
        self.store = Store()

    def answer(
        self, jobs: Sequence[tuple[int, Job]], key: str, view: View, after: Mapping[int, int] | None = None
    ) -> dict[str, Any]:
        """The keys of these jobs, and the segments of one key for each job.

        `after`: how many points of a job the browser has; if it has the beginning of all, it gets only what follows.
        `reading`: so many jobs are still being read; until then a curve is `rough`, of some rows only.
        """
        jobs = jobs[:MOST_JOBS]
        with self.store.lock:
            known = self.store.of([job for _, job in jobs], view.axis)
            keys = list(dict.fromkeys(name for one in known if one.columns for name in one.columns.names()))
            chosen = key if key in keys else _usual(keys)
            drawn = [
                _Drawn(number, job.name, track, one.reading)
                for (number, job), one in zip(jobs, known, strict=True)
                if one.columns and (track := one.columns.track(chosen)) is not None
            ]
            about = {"keys": keys, "key": chosen, "reading": sum(one.reading for one in known)}
            view = view.of(chosen)
            tail = None if after is None or view.smoothing else _tails(drawn, after, view)
            return about | (_whole(drawn, view) if tail is None else tail)


def _usual(keys: Sequence[str]) -> str:
    """The key that is shown first."""
    order = ("val/loss", "train/loss", "val_loss", "loss")
    return next((key for key in order if key in keys), keys[0] if keys else "")


def _whole(drawn: Sequence[_Drawn], view: View) -> dict[str, Any]:
    low, high = extent([one.track for one in drawn], view.window)
    made = []
    for one in drawn:
        found = curve(one.track, view, low, high)
        if one.rough:
            found = {**found, "rough": True, "min": None, "max": None}
        made.append({"i": one.number, "name": one.name, **found})
    return {"range": [low, high], "series": made}


def _tails(drawn: Sequence[_Drawn], after: Mapping[int, int], view: View) -> dict[str, Any] | None:
    """What follows on what the browser has; None if it needs everything: of another job, or after a resume."""
    found = []
    for number, name, track, rough in drawn:
        begin = after.get(number, -1)
        follows = not rough and 0 < begin <= len(track.xs) and track.starts[-1] < begin
        if not follows or len(track.xs) - begin > 2 * view.columns:
            return None
        kept = [_piece(track, range(*piece)) for piece in track.pieces(begin, len(track.xs))]
        found.append({"i": number, "name": name, **_summary(track, begin), "kept": kept})
    return {"tail": True, "series": found} if found else None


def extent(found: Sequence[Track], window: tuple[float, float]) -> tuple[float, float]:
    """The positions that the chart shows."""
    firsts = [min(track.xs[begin] for begin in track.starts) for track in found if track.xs]
    lasts = [max(track.xs[span.end - 1] for span in track.spans()) for track in found if track.xs]
    low, high = window
    return (low if math.isfinite(low) else min(firsts, default=0.0),
            high if math.isfinite(high) else max(lasts, default=0.0))  # fmt: skip


def curve(track: Track, view: View, low: float, high: float) -> dict[str, Any]:
    """A series for a chart from `low` to `high`: its summary and the pieces of its lines."""
    kept, replaced = [], []
    for span in track.spans():
        kept += _pieces(track, span.begin, span.split, view.columns, low, high)
        if span.split < span.end:  # with the last point before it, so that its line begins there
            replaced += _pieces(track, max(span.split - 1, span.begin), span.end, view.columns, low, high)
    made = {**_summary(track, 0), "kept": kept, "replaced": replaced, "smooth": []}
    if view.smoothing:
        line = smoothed(track, view.smoothing)
        for span in line.spans():
            made["smooth"] += _pieces(line, span.begin, span.split, view.columns, low, high)
    return made


def _summary(track: Track, begin: int) -> dict[str, Any]:
    """The last, lowest and highest value, and what is not finite; marks only of what stands behind `begin`."""
    low, high = track.bounds()
    summary = {"last": track.last(), "min": low, "max": high} if low <= high else {}
    marks = [[track.xs[at], _word(track.ys[at])] for at in track.lost if at >= begin][:MOST_MARKS]
    lost = {"count": len(track.lost), "first": track.xs[track.lost[0]] if track.lost else None, "marks": marks}
    return {**summary, "n": len(track.xs), "nonfinite": lost}


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"


def smoothed(track: Track, weight: float) -> Track:
    """A debiased exponential moving average over the points. What is not finite stays, and does not spoil what follows.

    Constant values stay exactly as they are. It begins again with each segment, as an attempt that was resumed does.
    """
    made = Track()
    made.xs, made.starts, made.lost = track.xs, track.starts, track.lost
    mean, bias, first = 0.0, 1.0, True
    starts = set(track.starts)
    for at, value in enumerate(track.ys):
        if at in starts:
            bias, first = 1.0, True
        if math.isfinite(value):
            bias *= weight
            mean = value if first else mean + (value - mean) * (1 - weight) / (1 - bias)
            first = False
        made.ys.append(mean if math.isfinite(value) else value)
    return made


def _pieces(track: Track, begin: int, end: int, columns: int, low: float, high: float) -> list[list[list[float]]]:
    """The pieces of a line without gaps inside, each as its positions and its values.

    Of what is outside of `low`..`high` the nearest point on each side, so that lines reach the border. If the pieces
    are very many, they are one.
    """
    begin, end = _inside(track.xs, begin, end, low, high)
    runs = list(track.pieces(begin, end))
    if len(runs) > series.MOST_PIECES:
        part = Track()
        part.xs, part.ys = track.xs[begin:end], track.ys[begin:end]
        part.starts, part.lost = [0], [at - begin for at in track.lost if begin <= at < end]
        track = part.finite()
        runs = [(0, len(track.xs))]
    return [_piece(track, tracks.extremes(track.xs, track.ys, *run, low, high, columns)) for run in runs]


def _inside(xs: Sequence[float], begin: int, end: int, low: float, high: float) -> tuple[int, int]:
    """The part that is inside, with a point on each side."""
    first, behind = tracks.between(xs, begin, end, low, high)
    if first == behind and (first == begin or behind == end):
        return first, first  # all of it is on one side
    return max(first - 1, begin), min(behind + 1, end)


def _piece(track: Track, places: Sequence[int]) -> list[list[float]]:
    xs, ys = [track.xs[at] for at in places], [track.ys[at] for at in places]
    steps: list[float] = [int(x) for x in xs] if xs and max(-xs[0], xs[-1]) < LARGEST_WHOLE else []
    return [steps if steps == xs else [_short(x) for x in xs], [_short(y) for y in ys]]


def _short(value: float) -> float:
    """With 9 digits, more than a float of 32 bits has and a chart can show; of a time with 15."""
    size = abs(value)
    if value.is_integer() and size < LARGEST_WHOLE:
        return int(value)
    return float(f"{value:.9g}" if size < 1e8 else f"{value:.15g}")
