"""Lines of a log as HTML: its colors as classes, all other escape sequences removed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from runner.core.text import plain

_COLORS = re.compile(r"\x1b\[([0-9;]*)m")
LONGEST = 400  # characters of a line


def log_html(lines: Iterable[str]) -> str:
    """The lines, for a `<pre>`."""
    return "\n".join(_line(line) for line in lines)


def _line(line: str) -> str:
    made: list[str] = []
    classes: list[str] = []
    room = LONGEST
    for place, part in enumerate(_COLORS.split(line)):
        if place % 2:
            classes = _classes(classes, part)
            continue
        words = plain(part.expandtabs(4), max(room, 1)) if room > 0 else ""
        room -= len(words)
        if words:
            text = escape(words)
            made.append(f'<span class="{" ".join(classes)}">{text}</span>' if classes else text)
    return "".join(made)


def _classes(before: list[str], codes: str) -> list[str]:
    found = list(before)
    for code in codes.split(";"):
        if code in ("", "0"):
            found = []
        elif code == "1":
            found = [*(one for one in found if one != "b"), "b"]
        elif code == "39" or re.fullmatch("[39][0-7]", code):
            found = [one for one in found if one == "b"] + ([f"a{code[1]}"] if code[1] not in "907" else [])
    return found
