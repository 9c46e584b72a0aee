"""What a job does while it does not train, as far as its output says: it starts, compiles, or evaluates. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

STARTING, COMPILING, EVALUATING = "starting", "compiling", "evaluating"
_COMPILES = re.compile(r"\bcompiling\b|\bcompilation (?:start|begin|take)", re.I)
_EVALUATES = re.compile(r"\b(?:evaluating|validating)\b|\brunning (?:an? |the |final )*(?:eval|valid|test)", re.I)
_MEASURES = re.compile(r"\b(?:it|iter|iteration|step|epoch|loss)\b\W{0,3}\d", re.I)
_DONE = re.compile(
    r"\b(?:compil|eval|valid)\w*\b.*\b(?:done|finished|complete|completed|took|failed)\b|does not work", re.I
)


def said(lines: Sequence[str], before: str) -> str:
    """The phase that the latest line which names one has begun; "" once a line has measured or ended it."""
    phase = before
    for line in lines:
        if _DONE.search(line):
            phase = ""
        elif _EVALUATES.search(line):
            phase = EVALUATING
        elif _COMPILES.search(line):
            phase = COMPILING
        elif _MEASURES.search(line):
            phase = ""
    return phase
