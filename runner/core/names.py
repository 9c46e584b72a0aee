"""Names of jobs and files: the order that people expect, and shorter forms that still tell them apart. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from runner.core.text import width_of

# 0.010, 1.5 and 3e-4 are numbers; in 1.2.10, v1.10 and run2 the digits count by themselves.
_NUMBER = re.compile(r"((?<![\d.vV])(?:\d+\.\d+(?:e-?\d+)?|\d+e-\d+)(?![a-zA-Z\d]|\.\d)|\d+)")
_SEPARATORS = "_-/, "
LEAST = 4  # characters of a common beginning; a shorter one stays


def natural(name: str | Path) -> tuple[list[tuple[int, float | str]], str]:
    """Sort key under which `run2` comes before `run10`, and `lr0.010` before `lr0.09`."""
    pieces = [piece for piece in _NUMBER.split(str(name)) if piece]
    return [(0, float(piece)) if piece[0].isdecimal() else (1, piece) for piece in pieces], str(name)


def shortened(names: Sequence[str], width: int) -> list[str]:
    """The names, each at most so wide: without their common beginning, without their common end, cut in the middle."""
    short = list(names)
    for shorten in (_without_beginning, _without_end):
        if _fit(short, width):
            return short
        short = shorten(short)
    if _fit(short, width):
        return short
    cuts: tuple[Callable[[str, int], str], ...] = (cut_middle, _cut_end, _cut_beginning)
    return max(([cut(name, width) for name in short] for cut in cuts), key=lambda made: len(set(made)))


def distinct_width(names: Sequence[str]) -> int:
    """The width of the names without what all of them begin and end with."""
    return max(map(width_of, _without_end(_without_beginning(names))), default=0)


def cut_middle(text: str, width: int) -> str:
    """The beginning and the end of a text that is wider."""
    if width_of(text) <= width:
        return text
    head = _begin(text, (width - 1) // 2 + (width - 1) % 2)
    return f"{head}…{_end(text, width - 1 - width_of(head))}" if width > 0 else ""


def _fit(names: Sequence[str], width: int) -> bool:
    return all(width_of(name) <= width for name in names)


def _without_beginning(names: Sequence[str]) -> list[str]:
    common = _common(names)
    length = max(common.rfind(sign) for sign in _SEPARATORS) + 1
    return [f"…{name[length:]}" for name in names] if length >= LEAST else list(names)


def _without_end(names: Sequence[str]) -> list[str]:
    common = _common([name[::-1] for name in names])
    length = max(common.rfind(sign) for sign in _SEPARATORS) + 1
    return [f"{name[:-length]}…" for name in names] if length >= LEAST else list(names)


def _common(names: Sequence[str]) -> str:
    """What all names begin with; nothing if there is only one."""
    first, last = min(names, default=""), max(names, default="")
    if first == last:
        return ""
    return first[
        : next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    ]


def _cut_end(text: str, width: int) -> str:
    return text if width_of(text) <= width else f"{_begin(text, width - 1)}…"


def _cut_beginning(text: str, width: int) -> str:
    return text if width_of(text) <= width else f"…{_end(text, width - 1)}"


def _begin(text: str, width: int) -> str:
    """As much of the beginning as fits."""
    while text and width_of(text) > width:
        text = text[: max(min(len(text) - 1, width), 0)]
    return text


def _end(text: str, width: int) -> str:
    return _begin(text[::-1], width)[::-1]
