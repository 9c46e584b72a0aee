"""Small drawings of a metric by the values of a setting: a dot for each job, a line for each mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from runner.reports.best import number
from runner.reports.document import axis
from runner.reports.document.axis import Axis
from runner.reports.document.content import Effect, Level

WIDTH, HEIGHT = 240, 170
LEFT, RIGHT, TOP, BOTTOM = 44, 236, 8, 132
LETTER = 7  # the width of a letter, roughly


def drawn(effects: Sequence[Effect]) -> list[str]:
    """A drawing for each setting, all with the same axis; none without a value."""
    values = [value for effect in effects for level in effect.levels for value in level.values]
    if not values:
        return []
    up = axis.of_values(values, BOTTOM, TOP)
    return [_drawn(effect, up) for effect in effects]


def described(effect: Effect) -> str:
    """`val/loss by lr: 0.01: mean 1.92 of 6 jobs; 1.0: 6 without a value`"""
    return f"{effect.metric} by {effect.setting}: " + "; ".join(map(_words, effect.levels))


def _words(level: Level) -> str:
    of = f"mean {number(level.mean)} of {level.n}" if level.mean is not None else ""
    failed = f"{level.failed} failed or without a value" if level.failed else ""
    return f"{level.label}: {', '.join(filter(None, (of, failed))) or 'nothing yet'}"


def _drawn(effect: Effect, up: Axis) -> str:
    label = escape(described(effect))
    step = (RIGHT - LEFT) / len(effect.levels)
    places = [(LEFT + step * (place + 0.5), level) for place, level in enumerate(effect.levels)]
    every = max(-(-max(len(level.label) for level in effect.levels) * LETTER // round(step)), 1)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">', *_frame(up)]
    means = [(x, up.place(level.mean)) for x, level in places if level.mean is not None]
    if len(means) > 1:
        parts.append(f'<path class="through" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in means)}"/>')
    for place, (x, level) in enumerate(places):
        parts += _level(x, level, up, step, is_named=place % every == 0)
    return "".join([*parts, "</svg>"])


def _frame(up: Axis) -> Iterator[str]:
    for value in up.ticks():
        y = up.place(value)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield f'<text class="up" x="{LEFT - 5}" y="{y:.1f}" dy="4">{escape(axis.label(value))}</text>'
    yield f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>'


def _level(x: float, level: Level, up: Axis, step: float, *, is_named: bool) -> Iterator[str]:
    for value in level.values:
        yield f'<circle class="dot" cx="{x:.1f}" cy="{up.place(value):.1f}" r="3"/>'
    if level.mean is not None:
        half = min(step / 3, 12)
        yield f'<path class="mean" d="M{x - half:.1f} {up.place(level.mean):.1f}h{2 * half:.1f}"/>'
    if is_named:
        yield f'<text class="mid" x="{x:.1f}" y="{BOTTOM + 16}">{escape(level.label)}</text>'
    if level.failed:
        yield f'<text class="mid fail" x="{x:.1f}" y="{BOTTOM + 31}">✗ {level.failed}</text>'
