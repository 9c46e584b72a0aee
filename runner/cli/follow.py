"""Print a file as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

FOLLOW = 0.2  # seconds between two looks at the file


def print_followed(path: Path, grows: Callable[[], bool]) -> int:
    """Print the lines of a file, and those that are appended for as long as it `grows`; returns the exit code."""
    try:
        for line in _lines(path, grows):
            print(line, flush=True)
    except KeyboardInterrupt:  # ends this command, not the batch
        pass
    return 0


def _lines(path: Path, grows: Callable[[], bool]) -> Iterator[str]:
    position, rest = 0, ""
    while True:
        last = not grows()
        try:
            with path.open(errors="replace") as file:
                file.seek(position)
                text = file.read()
                position = file.tell()
        except OSError:
            text = ""
        *lines, rest = (rest + text).split("\n")
        yield from lines
        if last:
            if rest:
                yield rest
            return
        time.sleep(FOLLOW)
