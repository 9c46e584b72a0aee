"""Find out, before anything starts, whether a pattern of the user may search one line of output without end.

Python's `re` cannot be interrupted in a thread, and would hold up the supervisor that reads the output. So the pattern
searches lines which are made for it, in a process of its own with a limit of CPU time.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from re import _parser  # type: ignore[attr-defined]
from typing import Any

LENGTH = 250  # characters of a line: what is exponential never ends, what is cubic takes milliseconds
LIMIT = 1  # seconds of CPU time for all lines
MANY = 10  # a repetition of fewer is not followed
_SEARCH = """\
import re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]),) * 2)
pattern = re.compile(sys.argv[2])
for line in sys.argv[3:]:
    pattern.search(line + "\\x01")
    print(flush=True)
"""


def endless_on(pattern: str) -> str | None:
    """The beginning of a line that the pattern does not search in time; None if there is none among those tried."""
    lines = list(dict.fromkeys(_lines(pattern)))
    searched, killed = _tried([sys.executable, "-I", "-S", "-c", _SEARCH, str(LIMIT), pattern, *lines])
    return lines[searched][:20] if killed and searched < len(lines) else None


def _tried(command: list[str]) -> tuple[int, bool]:
    """How many lines a command prints, and whether it was killed. The import of subprocess takes --help too long."""
    read, write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    os.close(write)
    printed = 0
    while block := os.read(read, 1 << 16):
        printed += block.count(b"\n")
    os.close(read)
    _, status = os.waitpid(pid, 0)
    return printed, os.WIFSIGNALED(status)


def _lines(pattern: str) -> Iterator[str]:
    """Lines that match a beginning of the pattern and then what it repeats, again and again."""
    yield from ("a" * LENGTH, "0" * LENGTH, " " * LENGTH)
    yield from (line[:LENGTH] for line in _repeated(_parser.parse(pattern), ""))


def _repeated(items: Any, before: str) -> Iterator[str]:
    for item in items:
        for _, most, inner in _repetitions(item):
            if most > MANY and (one := _matching(inner)):
                yield before + one * LENGTH
        for inner in _inside(item):
            yield from _repeated(inner, before)
        before += _matching([item])


def _repetitions(item: Any) -> list[Any]:
    return [item[1]] if str(item[0]) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") else []


def _inside(item: Any) -> list[Any]:
    """The patterns within one part of a pattern."""
    kind, value = str(item[0]), item[1]
    if kind == "BRANCH":
        return list(value[1])
    if kind == "SUBPATTERN":
        return [value[-1]]
    if kind in ("ATOMIC_GROUP", "GROUPREF_EXISTS"):
        return [value if kind == "ATOMIC_GROUP" else value[1]]
    return [inner for _, _, inner in _repetitions(item)]


def _matching(items: Any) -> str:
    """A short text that the parts match; what cannot be known is left out."""
    return "".join(_one(str(kind), value) for kind, value in items)


def _one(kind: str, value: Any) -> str:
    if kind == "LITERAL":
        return chr(value)
    if kind in ("ANY", "NOT_LITERAL", "IN"):
        return _character(kind, value)
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least: int = value[0]
        return _matching(value[2]) * max(1, min(least, LENGTH))
    inside = _inside((kind, value))
    return _matching(inside[0]) if inside else ""


def _character(kind: str, value: Any) -> str:
    """A character of a class: `a` or `0` if they are in it."""
    if kind == "ANY":
        return "a"
    if kind == "NOT_LITERAL":
        return "b" if value == ord("a") else "a"
    candidates = ["a", "0", " ", ".", "-", *(chr(code) for code in range(33, 127)), "\t", "é"]
    return next((one for one in candidates if _is_in(value, ord(one))), "")


def _is_in(members: Any, code: int) -> bool:
    negated, found = False, False
    for kind, value in members:
        match str(kind):
            case "NEGATE":
                negated = True
            case "LITERAL":
                found |= value == code
            case "RANGE":
                found |= value[0] <= code <= value[1]
            case "CATEGORY":
                found |= re.match(_CATEGORIES.get(str(value), r"(?!)"), chr(code)) is not None
    return found != negated


_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w", "CATEGORY_NOT_WORD": r"\W",
}  # fmt: skip
