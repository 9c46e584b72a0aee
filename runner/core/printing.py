"""The one door to a terminal: text for people, whatever it was made of, cannot control the terminal.

Every line that a command prints goes through here, so that a name, a message or a record of another program cannot move
the cursor, set the title, write to the clipboard, or turn letters around. tests/test_architecture.py allows print()
nowhere else.
"""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from typing import TextIO

from runner.core.text import CONTROLS, ESCAPES, plain

HELD_BACK = 4096  # characters of an escape sequence that is not complete yet


def say(line: object = "", *, file: TextIO | None = None, end: str = "\n", flush: bool = False) -> None:
    """Print one line: a line break within it becomes a space."""
    print(plain(str(line)), file=file or sys.stdout, end=end, flush=flush)


def say_all(text: str, *, file: TextIO | None = None, flush: bool = False) -> None:
    """Print a text of several lines that we have put together: its line breaks stay."""
    whole = text.replace("\n", " ")
    if plain(whole) == whole:  # thousands of lines, and nothing to be replaced
        print(text, file=file or sys.stdout)
    else:
        for line in text.split("\n"):
            say(line, file=file)
    if flush:
        (file or sys.stdout).flush()


def say_json(text: str) -> None:
    """Print JSON: control characters in its strings become escapes, which every reader turns back."""
    print(CONTROLS.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text))


def write_data(text: str) -> None:
    """Write data, such as CSV, to standard output: to a file or a pipe as it is, to a terminal as lines."""
    if sys.stdout.isatty():
        say_all(text.removesuffix("\n"))
    else:
        sys.stdout.write(text)


def rewrite_line(text: str, file: TextIO) -> None:
    """Write a passing line over the last one; with an empty text, remove it."""
    print(f"\r\x1b[K{plain(text)}", end="", file=file, flush=True)


class LogPrinter:
    """Prints a growing log. To a terminal colors pass, and all else that would control it does not; a file or a pipe
    gets the log as it is."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._filtered = file.isatty()
        self._rest = ""

    def write(self, text: str) -> None:
        """Print a piece of the log, which may end within an escape sequence."""
        if self._filtered:
            text, self._rest = self._rest + text, ""
            begun = _unfinished().search(text)
            if begun is not None and len(begun[0]) < HELD_BACK:
                text, self._rest = text[: begun.start()], begun[0]
            text = harmless(text)
        self._file.write(text)

    def end(self) -> None:
        """What is left of an escape sequence that was never completed is dropped."""
        self._rest = ""

    def flush(self) -> None:
        self._file.flush()


def harmless(text: str) -> str:
    """A log for a terminal: with its colors, tabs and carriage returns, without what else would control it."""
    return _unsafe().sub(lambda match: match[0] if _color().fullmatch(match[0]) else "", text)


def silence(stream: TextIO) -> None:
    """Let a stream that nobody reads any more lead to nowhere; Python would fail at its exit when it flushes it."""
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())
    except (OSError, ValueError):  # not a real file, or closed
        pass


@lru_cache(1)
def _unfinished() -> re.Pattern[str]:
    """The beginning of an escape sequence at the end of a text."""
    strings = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*\x1b?"
    return re.compile(rf"(?:{strings}|(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b)\Z")


@lru_cache(1)
def _color() -> re.Pattern[str]:
    return re.compile(r"\x1b\[[0-9;:]*m|[\t\r\n\b]")


@lru_cache(1)
def _unsafe() -> re.Pattern[str]:
    return re.compile(f"{ESCAPES.pattern}|{CONTROLS.pattern}")
