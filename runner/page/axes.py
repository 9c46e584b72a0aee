"""Where the rows of metrics stand on the axis of a chart: at their step, after hours of work, or at a time of day."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.core.result import Result
from runner.disk import layout, results
from runner.output import rows

STEP, WORK, WALL = "step", "work", "wall"
AXES = (STEP, WORK, WALL)


class Placer:
    """Rows -> the same with their position: hours of work, or seconds since 1970. One without a time has none.

    Between two rows nobody worked if an attempt ended there (`ends`) or if the steps go back.
    """

    def __init__(self, axis: str, ends: Iterable[str]) -> None:
        self._axis = axis
        self._stops = sorted(time for end in ends if (time := seconds(end)) is not None)
        self.worked = 0.0  # hours
        self.before: float | None = None
        self.step: int | None = None
        self.paused = False  # whether the last row is the first one of an attempt

    def __call__(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if self._axis == STEP:
            return row
        time, now = seconds(row.get("time")), rows.position(row)[0]
        if time is None:
            return None
        self.paused = False
        if self.before is not None:
            went_back = self.step is not None and now is not None and now < self.step
            self.paused = went_back or any(self.before <= stop <= time for stop in self._stops)
            if self.paused:
                self.worked = math.nextafter(self.worked, math.inf)  # not the same place: both rows count
            else:
                self.worked += max(time - self.before, 0) / 3600
        self.before, self.step = time, now
        kept = {key: value for key, value in row.items() if key not in ("iter", "step")}
        return {**kept, "epoch": self.worked if self._axis == WORK else time}


def ends_of(folder: Path) -> list[str]:
    """When the earlier attempts of a job ended, of those that recorded it."""
    found = (results.look(path) for path in folder.glob(f"{layout.ATTEMPT}*"))
    return sorted(one.end_time for one in found if isinstance(one, Result) and one.end_time)


def seconds(time: object) -> float | None:
    """Since 1970; None for what is not a time."""
    if isinstance(time, str):
        with contextlib.suppress(ValueError, OverflowError):
            return datetime.fromisoformat(time).timestamp()
    return None
