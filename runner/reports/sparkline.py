"""A curve as a few signs of text, for a table on a terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runner.reports.series import Point

SIGNS, ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
LOST = "x"  # where nothing was finite
WIDTH = 16


def sparkline(points: Sequence[Point], width: int = WIDTH, *, ascii_only: bool = False) -> str:
    """The last value in each of `width` equal parts of the way, from the lowest to the highest sign.

    A part without a value is a blank; one whose last value is NaN or infinite is an `x`.
    """
    finite = [y for _, y in points if math.isfinite(y)]
    if not finite:
        return LOST if points else ""
    signs = ASCII if ascii_only else SIGNS
    first, last = points[0][0], points[-1][0]
    parts: dict[int, float] = {}
    for x, y in points:
        parts[min(int((x - first) / ((last - first) or 1.0) * width), width - 1)] = y
    low, high = min(finite), max(finite)
    made = [_sign(parts.get(part), low, high, signs) for part in range(max(parts) + 1)]
    return "".join(made)


def _sign(value: float | None, low: float, high: float, signs: str) -> str:
    if value is None:
        return " "
    if not math.isfinite(value):
        return LOST
    # Halves, so that the difference of two very large numbers is finite.
    part = (value / 2 - low / 2) / ((high / 2 - low / 2) or 1.0)
    return signs[min(round(part * (len(signs) - 1)), len(signs) - 1)]
