"""Where the rows of metrics stand on the axis of a chart: at their step, after hours of work, or at a time of day."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.core.result import Result
from runner.disk import layout, results
from runner.output import rows

STEP, WORK, WALL = "step", "work", "wall"
AXES = (STEP, WORK, WALL)


def placed(found: Iterable[Mapping[str, Any]], axis: str, ends: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The rows with their position on this axis: hours of work, or seconds since 1970. Rows without time are left out.

    Between two rows nobody worked if an attempt ended there (`ends`) or if the steps go back.
    """
    if axis == STEP:
        yield from found
        return
    stops = sorted(time for end in ends if (time := _seconds(end)) is not None)
    worked, before, step = 0.0, None, None
    for row in found:
        time, now = _seconds(row.get("time")), rows.position(row)[0]
        if time is None:
            continue
        if before is not None:
            went_back = step is not None and now is not None and now < step
            paused = went_back or any(before <= stop <= time for stop in stops)
            worked += 0 if paused else max(time - before, 0)
        before, step = time, now
        kept = {key: value for key, value in row.items() if key not in ("iter", "step")}
        yield {**kept, "epoch": worked / 3600 if axis == WORK else time}


def ends_of(folder: Path) -> list[str]:
    """When the earlier attempts of a job ended, of those that recorded it."""
    found = (results.look(path) for path in folder.glob(f"{layout.ATTEMPT}*"))
    return [one.end_time for one in found if isinstance(one, Result) and one.end_time]


def _seconds(time: object) -> float | None:
    if isinstance(time, str):
        with contextlib.suppress(ValueError, OverflowError):
            return datetime.fromisoformat(time).timestamp()
    return None
