"""Parse a text with gaps, as a user writes it: "To be {12} or not{5}". Knows no vocabulary.

`{12}` is a gap of twelve characters; `{{` and `}}` are the braces themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PART = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<gap>\d+)\}|(?P<text>[^{}]+)|(?P<stray>[{}])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Gap:
    length: int


def parse(written: str) -> list[str | Gap]:
    """Texts and gaps in turn; raises ValueError for a brace that is neither. No two texts follow each other."""
    parts: list[str | Gap] = []
    for part in PART.finditer(written):
        if part["stray"]:
            raise ValueError(
                f"a lone {part['stray']!r} at character {part.start() + 1}: a gap is written {{12}}, a brace twice"
            )
        if part["gap"]:
            parts.append(Gap(int(part["gap"])))
        else:
            text = part["text"] or part["brace"][0]
            if parts and isinstance(parts[-1], str):
                parts[-1] += text
            else:
                parts.append(text)
    return parts


def gaps(parts: list[str | Gap]) -> int:
    """How many characters are to be filled."""
    return sum(part.length for part in parts if isinstance(part, Gap))
