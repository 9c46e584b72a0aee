"""A curve as a few signs of text, for a table on a terminal. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
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
    low, high = min(finite), max(finite)
    made = [_sign(value, low, high, signs) for value in parts([x for x, _ in points], [y for _, y in points], width)]
    return "".join(made)


def parts(xs: Sequence[float], ys: Sequence[float], width: int) -> list[float | None]:
    """The last value in each of `width` equal parts of growing positions, up to the last part that has one."""
    if not xs:
        return []
    first, way = xs[0], (xs[-1] - xs[0]) or 1.0
    found: list[float | None] = []
    begin = 0
    while begin < len(xs):
        end = bisect_left(xs, len(found) + 1, begin, key=lambda x: min(int((x - first) / way * width), width - 1))
        found.append(ys[end - 1] if end > begin else None)
        begin = end
    return found


def level(value: float, low: float, high: float, most: int) -> int:
    """A finite value as a whole number: 0 for the lowest, `most` for the highest."""
    # Halves, so that the difference of two very large numbers is finite.
    part = (value / 2 - low / 2) / ((high / 2 - low / 2) or 1.0)
    return min(round(part * most), most)


def _sign(value: float | None, low: float, high: float, signs: str) -> str:
    if value is None:
        return " "
    return signs[level(value, low, high, len(signs) - 1)] if math.isfinite(value) else LOST
