"""Parts of a job's log, and where a word or an error stands in it. Reads a bounded part of it at a time."""

from __future__ import annotations

import os
import re
from typing import Any

from runner.core.errors import UserError
from runner.core.job import Job
from runner.disk import layout
from runner.disk.log_text import LogText
from runner.page import log_search

MOST = 1 << 18  # bytes of one answer
LONGEST_WORD = 200
#: A word of its own (behind a colour too), an exception's name, a code of CUDA; not a measured error, not `onerror`.
ERROR = re.compile(
    rb"(?:\b|(?<=[\d\[;]m))(?i:(?:error|exception)\b(?![\s:=]*[-+]?\d*\.\d)|fatal\b|killed\b|nan\b|"
    rb"traceback \(most recent)"
    rb"|[A-Z]\w*(?:Error|Exception)\b|\b[A-Z]+_ERROR"
)


def check(name: str) -> None:
    """Raises UserError for what is not the name of a log."""
    if name not in layout.LOGS:
        raise UserError(f"{name}: is not a log; there are {', '.join(layout.LOGS)}")


def _open(job: Job, name: str) -> LogText:
    check(name)
    try:
        return LogText(job.out_dir / name)
    except OSError as error:
        raise UserError(f"{job.name}/{name}: cannot be read ({error.strerror})") from None


def part(job: Job, name: str, begin: int | None, size: int) -> dict[str, Any]:
    """The text from `begin` on, in whole characters; without `begin` the end of the log, from a whole line on."""
    size = min(max(size, 1), MOST)
    check(name)
    if not os.path.lexists(job.out_dir / name):  # nothing was written yet
        return {"from": 0, "to": 0, "size": 0, "text": ""}
    with _open(job, name) as log:
        end = log.seek(0, os.SEEK_END)
        start = max(end - size, 0) if begin is None else min(max(begin, 0), end)
        log.seek(start)
        block = log.read(min(size, end - start))
        after = log.tell()
    if begin is None and start:
        cut = block.find(b"\n") + 1
        start, block = start + cut, block[cut:]
    kept = (_whole(block) if after < end else block) or block
    return {"from": start, "to": after - (len(block) - len(kept)), "size": end, "text": kept.decode(errors="replace")}


def _whole(block: bytes) -> bytes:
    """Without a character of several bytes whose end is missing."""
    for back in range(1, min(4, len(block)) + 1):
        byte = block[-back]
        if byte & 0xC0 == 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return block[:-back] if length > back else block
        if byte < 0x80:
            return block
    return block


def find(job: Job, name: str, word: str, at: int, *, backward: bool, expression: bool = False) -> dict[str, Any]:
    """Where the nearest hit begins behind (or before) a place, and of its line. Without a word: a line with an error.

    `after` is where the search for the next hit begins. `next` is where this search goes on if its time was over; None:
    the end was reached. `expression`: the word is a regular expression.
    """
    if len(word) > LONGEST_WORD:
        raise UserError(f"the word to search for has more than {LONGEST_WORD} characters; give less of it")
    check(name)
    if word and expression:
        hit = log_search.by_expression(job.out_dir / name, word, at, backward=backward)
    else:
        wanted = re.compile(re.escape(word.encode()), re.IGNORECASE) if word else ERROR
        with _open(job, name) as log:
            hit = log_search.scan(log, wanted, at, backward=backward)
    if hit.at is None:
        return {"at": None, "line": None, "next": hit.next, "size": hit.size}
    after = hit.end if word else hit.line_end
    return {"at": hit.at, "line": hit.line, "after": after, "next": None, "size": hit.size}
