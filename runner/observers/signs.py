"""What can be shown on a stream: signs beyond ASCII, and bars of them. Knows nothing of jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")  # the first that is set counts
FULL, HALF, EMPTY = "━", "╸", "─"


def shows_unicode(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """False for a stream that cannot encode our signs, and for a terminal whose locale is that of ASCII."""
    try:
        f"✓{FULL}…".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    locale = next((environ[name] for name in LOCALE if environ.get(name)), "")
    return not stream.isatty() or locale not in ("C", "POSIX")


def bar(fraction: float, width: int) -> tuple[str, str]:
    """The part of a bar of this width that is done, and the rest of it."""
    halves = int(min(max(fraction, 0.0), 1.0) * width * 2)
    done = FULL * (halves // 2) + HALF * (halves % 2)
    return done, EMPTY * (width - len(done))
