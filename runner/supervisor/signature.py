"""What a failure has in common with others like it: its words without what is one job's own, and where it was raised.

Pure functions over the sentence of a failure and the text of its traceback.
"""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable

WIDEST = 200  # characters
FRAME = r'^\s*File "(.+?)", line (\d+), in (.+)$'
#: Files of Python and of installed packages: what they raise, the program has called.
INSTALLED = r"/(?:site|dist)-packages/|/lib/python\d|^<frozen |^<string>$"
NUMBER = r"(?<![A-Za-z_\d])[-+]?\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?"


def of(words: str, traceback: str, own: Iterable[str]) -> str:
    """Equal for failures that are alike: numbers, paths, addresses and `own` values are left out of the words.

    Empty for a failure that said nothing: an exit code alone is no reason to take two failures for one.
    """
    text = normalized(words, own)
    if not text:
        return ""
    place = frame(traceback)
    return f"{text} ({place})" if place else text


def normalized(words: str, own: Iterable[str]) -> str:
    """The words without what differs from job to job."""
    for value in sorted(filter(None, own), key=len, reverse=True):
        words = re.sub(rf"(?<![\w.]){re.escape(value)}(?![\w])", "…", words)
    words = re.sub(r"0x[0-9a-fA-F]+", "…", words)
    words = re.sub(r"(?<![\w…])(?:~|\.{1,2})?/[^\s'\":,;)]+", "/…", words)
    return re.sub(NUMBER, "N", words).strip()[:WIDEST]


def frame(traceback: str) -> str:
    """The innermost place of the traceback outside of installed packages: `train.py:12 in main`; "" without one."""
    found = [match for match in re.finditer(FRAME, traceback, re.M) if not re.search(INSTALLED, match[1])]
    if not found:
        return ""
    path, line, function = found[-1].groups()
    return f"{os.path.basename(path)}:{line} in {function}"
