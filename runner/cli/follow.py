"""Print logs as they grow: their last lines at once, then what is appended."""

from __future__ import annotations

import codecs
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from runner.core.printing import LogPrinter
from runner.core.text import plain
from runner.disk.growing_log import GrowingLog

FOLLOW = 0.2  # seconds between two looks at the log
LINES = 20  # of the end of a log


class Output:
    """Standard output for one log after another, which may end in the middle of a line, or of a character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._printer = LogPrinter(sys.stdout)
        self._end = "\n"
        self._empty = True

    def copy(self, log: GrowingLog) -> None:
        """Print what is there to be read now."""
        for block in log.blocks():
            self._write(self._decoder.decode(block))
        sys.stdout.flush()

    def header(self, title: str) -> None:
        """Begin another log, as `tail -f` does for several files."""
        self.end()
        self._write(f"{'' if self._empty else chr(10)}==> {plain(title)} <==\n")

    def end(self) -> None:
        """End the last line."""
        self._write(self._decoder.decode(b"", final=True))
        self._printer.end()
        if not self._end.endswith("\n"):
            self._write("\n")
        sys.stdout.flush()

    def _write(self, text: str) -> None:
        if text:
            self._printer.write(text)
            self._end, self._empty = text[-1], False


def add_lines(parser: ArgumentParser) -> None:
    """The option -n."""
    parser.add_argument(
        "-n", "--lines", type=_lines, default=LINES, metavar="N", help=f"begin with the last N lines ({LINES})"
    )


def print_followed(path: Path, lines: int, grows: Callable[[], bool]) -> int:
    """Print the last lines of a log, and those that are appended for as long as it `grows`; returns the exit code."""
    output = Output()
    try:
        while not path.exists() and grows():
            time.sleep(FOLLOW)
        if not path.exists():
            return 0
        with GrowingLog(path, lines) as log:
            last = False
            while not last:
                last = not grows()
                output.copy(log)
                if not last:
                    time.sleep(FOLLOW)
        output.end()
    except KeyboardInterrupt:  # ends this command, not the batch
        pass
    return 0


def _lines(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)
