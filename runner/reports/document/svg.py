"""A chart as inline SVG: lines, gaps, marks of values that are not finite, what a resume replaced. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from runner.core.text import count
from runner.reports import series
from runner.reports.best import number
from runner.reports.document import axis
from runner.reports.document.axis import Axis
from runner.reports.document.content import Chart, Curve
from runner.reports.series import Point

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 470, 10, 212
HUES = 8
LEAST_CURVES, FAR = 3, 100.0  # a value so many times as high as the median one of the curves is far away
MARK = 9  # the width of a mark, and of the space before the next one


def chart(found: Chart) -> str:
    """The drawing; empty without a finite value. Its colors are those of the style sheet."""
    finite = [point for point in found.points if math.isfinite(point[1])]
    if not finite:
        return ""
    across = axis.of_positions([x for x, _ in found.points], LEFT, RIGHT)
    up = _values(found)
    about = f'data-x="{_scale(across)}" data-y="{_scale(up)}" data-axis="{escape(found.axis)}"'
    label = escape(described(found))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {about} aria-label="{label}">']
    parts += _frame(found, across, up)
    parts += _fan(found, across, up)
    for curve in sorted(found.curves, key=lambda one: one.color is not None):  # those with a color are on top
        parts += _curve(curve, across, up)
    return "".join([*parts, "</svg>"])


def _scale(of: Axis) -> str:
    """An axis for the script."""
    return f"{of.low:.12g} {of.high:.12g} {of.begin:g} {of.end:g} {of.is_log:d}"


def described(found: Chart) -> str:
    """The chart in words."""
    finite = [one.series.finite for one in found.curves]
    last = [points[-1][1] for points in finite if points]
    if not last:
        return f"{found.metric}: no finite value"
    ends = f"last values from {number(min(last))} to {number(max(last))}"
    return f"{found.metric} by {found.axis} of {count(found.jobs, 'job')}; {ends}"


def is_logarithmic(found: Chart) -> bool:
    return any(math.isfinite(y) for _, y in found.points) and _values(found).is_log


def above(found: Chart) -> float | None:
    """The value above which a few curves are drawn at the edge, as those of jobs that diverged: else all others would
    be one flat line. None for a chart that shows all values."""
    tops = sorted(max(y for _, y in points) for one in found.curves if (points := one.series.finite))
    if len(tops) < LEAST_CURVES:
        return None
    usual = tops[(len(tops) - 1) // 2]
    return max(top for top in tops if top <= FAR * usual) if usual > 0 and tops[-1] > FAR * usual else None


def _values(found: Chart) -> Axis:
    highest = above(found)
    finite = [y for _, y in found.points if math.isfinite(y)]
    return axis.of_values(finite if highest is None else [min(y, highest) for y in finite], BOTTOM, TOP)


def line_class(color: int | None) -> str:
    """The classes of a line: one of eight hues and one of three kinds of line."""
    return "many" if color is None else f"c{color % HUES} d{color // HUES}"


def swatch(color: int | None) -> str:
    """A piece of a line, for a legend."""
    line = f'<path class="line {line_class(color)}" d="M0 5H26"/>'
    return f'<svg class="swatch" viewBox="0 0 26 10" aria-hidden="true">{line}</svg>'


def _frame(found: Chart, across: Axis, up: Axis) -> Iterator[str]:
    for value in up.ticks():
        y = _short(up.place(value))
        yield f'<path class="grid" d="M{LEFT} {y}H{RIGHT}"/>'
        yield f'<text class="up" x="{LEFT - 6}" y="{y}" dy="4">{escape(axis.label(value))}</text>'
    for value in across.ticks():
        x = across.place(value)
        side = ' class="tick end"' if x > RIGHT - 16 else ' class="tick mid"'
        yield f'<text{side} x="{_short(min(x, RIGHT))}" y="{BOTTOM + 16}">{escape(axis.label(value))}</text>'
    yield f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>'
    yield f'<text class="mid" x="{(LEFT + RIGHT) // 2}" y="{BOTTOM + 33}">{escape(found.axis)}</text>'


def _fan(found: Chart, across: Axis, up: Axis) -> Iterator[str]:
    if not found.fan:
        return
    for low, high, name in ((0, 4, "all"), (1, 3, "half")):
        there = [(across.place(x), up.place(parts[high])) for x, parts in found.fan]
        back = [(across.place(x), up.place(parts[low])) for x, parts in reversed(found.fan)]
        yield f'<path class="fan {name}" d="{_path([*there, *back])}Z"/>'
    middle = [(across.place(x), up.place(parts[2])) for x, parts in found.fan]
    yield f'<path class="line median" d="{_path(middle)}"/>'


def _curve(curve: Curve, across: Axis, up: Axis) -> Iterator[str]:
    kind = line_class(curve.color)
    for segment in curve.series.segments:
        for points, more in ((segment.replaced, " old"), (segment.kept, "")):
            yield from _lines(points, f"line {kind}{more}", curve.name, across, up)
    hue = kind.partition(" ")[0]
    behind = -math.inf
    for x, _ in curve.series.nonfinite:
        if across.place(x) < behind:
            continue
        behind, at = across.place(x) + MARK, _short(across.place(x))
        title = f"{escape(curve.name)}: not finite at {axis.label(x)}"
        yield f'<path class="lost {hue}" d="M{at} {BOTTOM - 8}l-3.5 7h7z"><title>{title}</title></path>'


def _lines(points: Sequence[Point], kind: str, name: str, across: Axis, up: Axis) -> Iterator[str]:
    drawn = []
    for piece in series.pieces(points):
        places = [(across.place(x), up.place(y)) for x, y in piece]
        # A value alone between two gaps is a line of no length, which round ends make a point.
        drawn.append(_path(places if len(places) > 1 else places * 2))
    if drawn:
        yield f'<path class="{kind}" d="{"".join(drawn)}"><title>{escape(name)}</title></path>'


def _path(points: Sequence[Point]) -> str:
    """In differences of tenths, which are the shortest."""
    x, y = round(points[0][0] * 10), round(points[0][1] * 10)
    words = [f"M{_tenths(x)} {_tenths(y)}l"]
    for next_x, next_y in ((round(one * 10), round(other * 10)) for one, other in points[1:]):
        words.append(f"{_tenths(next_x - x)} {_tenths(next_y - y)} ")
        x, y = next_x, next_y
    return "".join(words).rstrip(" l")


def _tenths(value: int) -> str:
    return f"{value // 10}" if value % 10 == 0 else f"{value / 10:.1f}"


def _short(value: float) -> str:
    return _tenths(round(value * 10))
