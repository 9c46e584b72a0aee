"""Find a pattern in a log, block by block. As a program it searches for a regular expression, and can be killed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from runner.core.errors import UserError
from runner.core.printing import say_json
from runner.disk.log_text import LogText

BLOCK = 1 << 20  # bytes that are searched at once
SECONDS = 0.3  # a search answers after this time, found or not
OVERLAP = 1 << 12  # bytes of two blocks, so that a hit across their border is found
LONGEST = 10.0  # seconds that a regular expression may take, with the start of its process


class Hit(NamedTuple):
    """Where it begins and ends, and its line. `at` None: nothing was found. `next`: where to go on if time was over."""

    size: int
    at: int | None = None
    end: int | None = None
    line: int | None = None
    line_end: int | None = None
    next: int | None = None


def scan(log: LogText, wanted: re.Pattern[bytes], at: int, *, backward: bool) -> Hit:
    """The nearest hit behind (or before) a place."""
    deadline = time.monotonic() + SECONDS
    end = log.seek(0, os.SEEK_END)
    at = min(max(at, 0), end)
    while True:
        low, high = (max(at - BLOCK, 0), at) if backward else (at, min(at + BLOCK, end))
        log.seek(low)
        block = log.read(high - low)
        hits = list(wanted.finditer(block)) if backward else [hit for hit in [wanted.search(block)] if hit]
        if hits:
            hit = hits[-1]
            line = block.rfind(b"\n", 0, hit.start()) + 1
            line_end = max(block.find(b"\n", hit.end()), hit.end())
            return Hit(end, low + hit.start(), low + max(hit.end(), hit.start() + 1), low + line, low + line_end)
        if (low == 0) if backward else (high == end):
            return Hit(end)
        at = low + OVERLAP if backward else high - OVERLAP
        if time.monotonic() > deadline:
            return Hit(end, next=at)


def by_expression(path: Path, expression: str, at: int, *, backward: bool) -> Hit:
    """The same for a regular expression, in a process that is killed when it takes too long. Raises UserError."""
    words = [sys.executable, "-m", "runner.page.log_search"]
    root = Path(__file__).resolve().parents[2]
    given = json.dumps([os.fspath(path), expression, at, backward])
    try:
        done = subprocess.run(
            words, check=False, input=given, capture_output=True, text=True, timeout=LONGEST, cwd=root
        )
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise UserError(f"the regular expression takes more than {LONGEST:g} s; write a simpler one") from None
    except ValueError:
        raise UserError("the search ended without an answer") from None
    if isinstance(found, str):
        raise UserError(found)
    return Hit(*found)


def main() -> None:
    path, expression, at, backward = json.loads(sys.stdin.read())
    try:
        with LogText(path) as log:
            found: object = scan(log, re.compile(expression.encode(), re.IGNORECASE), at, backward=backward)
    except (re.error, ValueError, OverflowError, RecursionError) as error:  # ValueError: a flag such as (?u)
        found = f"the regular expression cannot be used: {error}"
    except OSError as error:
        found = f"the log cannot be read ({error.strerror})"
    say_json(json.dumps(found))


if __name__ == "__main__":
    main()
