"""What a word of the command line may stand for: `c/{a,b}.py`, `@list.txt`. Words -> patterns; reads lists only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.core.errors import UserError
from runner.core.text import shown
from runner.disk.reading import read_bytes

LARGEST = 1 << 24  # bytes of a list
LONGEST_RANGE = 100_000
MOST = 100_000  # names that the braces of one word mean: some beside each other can mean any number
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True, slots=True)
class Pattern:
    """`place` is where it stands in a list: `list.txt:3: `; empty on the command line."""

    text: str
    place: str = ""


def patterns(words: Sequence[str], cwd: Path) -> tuple[list[Pattern], list[str]]:
    """The patterns that the words mean, and errors. A word that is the name of a file means that file."""
    found: list[Pattern] = []
    errors: list[str] = []
    read: set[Path] = set()
    for word in words:
        try:
            found += _meant(Pattern(word), cwd, (), read)
        except UserError as error:
            errors += error.problems
    return found, errors


def braces(text: str) -> list[str]:
    """`c/{a,b}.py` -> c/a.py, c/b.py; `r{1..3}.py` -> three names; braces with nothing to choose stay as they are."""
    for start, end in _pairs(text):
        inside = text[start + 1 : end]
        choices = _range(inside) or _split(inside)
        if len(choices) > 1:
            rest = braces(text[end + 1 :])
            inner = [one for choice in choices for one in braces(choice)]
            if len(inner) * len(rest) > MOST:
                raise UserError(f"{text[:60]}: means more than {MOST} names; give a pattern with a star")
            return [text[:start] + one + tail for one in inner for tail in rest]
    return [text]


def _meant(pattern: Pattern, cwd: Path, above: tuple[Path, ...], read: set[Path]) -> Iterator[Pattern]:
    """`above` are the lists that the pattern stands in, `read` those that were read: each counts once."""
    text, place = pattern.text, pattern.place
    if not text.strip():
        raise UserError(f"{place or '--configs: '}an empty name; give configs, or a pattern of them in quotes")
    if _is_file(cwd / text):
        yield pattern
    elif text.startswith("@"):
        yield from _listed(text, place, cwd, above, read)
    else:
        there = _there(text, cwd)
        yield from (Pattern(there + one, place) for one in braces(text[len(there) :]))


def _listed(text: str, place: str, cwd: Path, above: tuple[Path, ...], read: set[Path]) -> Iterator[Pattern]:
    """The patterns in a list, one a line. They are meant as if they stood on the command line: relative to `cwd`."""
    try:
        path = cwd / Path(text[1:]).expanduser()
        if path.resolve() in above:
            raise UserError(f"{place}{text}: the list names itself; remove this line")
        if path.resolve() in read:
            return
        read.add(path.resolve())
        lines = read_bytes(path, links=True).decode("utf-8-sig").splitlines()
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        cause = "is not text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None) or error
        raise UserError(f"{place}{text}: {cause}; name a file with one pattern a line") from None
    errors: list[str] = []
    empty = True
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if word and not _is_file(cwd / word):
            word = _unquoted(_COMMENT.sub("", word).strip())
        if not word:
            continue
        empty = False
        try:
            yield from _meant(Pattern(word, f"{shown(path, cwd)}:{number}: "), cwd, (*above, path.resolve()), read)
        except UserError as error:
            errors += error.problems
    if empty:
        errors.append(f"{place}{text}: the list is empty; write one pattern a line")
    if errors:
        raise UserError(*errors)


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] in "'\"" else word


def _there(text: str, cwd: Path) -> str:
    """The folders at the beginning of a path that exist under the very names."""
    ends = [at for at, sign in enumerate(text) if sign == "/"]
    return next((text[: end + 1] for end in reversed(ends) if os.path.lexists(cwd / text[: end + 1])), "")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _pairs(text: str) -> Iterator[tuple[int, int]]:
    """Where each outermost pair of braces stands."""
    depth, start = 0, 0
    for at, sign in enumerate(text):
        if sign == "{":
            start = at if depth == 0 else start
            depth += 1
        elif sign == "}" and depth:
            depth -= 1
            if depth == 0:
                yield start, at


def _split(text: str) -> list[str]:
    """At the commas that are in no further braces."""
    pieces, depth = [""], 0
    for sign in text:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += sign
    return pieces


def _range(text: str) -> list[str]:
    """`1..3` -> 1, 2, 3; `08..10` -> 08, 09, 10."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return []
    first, last = int(match[1]), int(match[2])
    if abs(last - first) >= LONGEST_RANGE:
        return []
    step = 1 if first <= last else -1
    width = max(map(len, match.groups())) if any(re.match(r"-?0\d", one) for one in match.groups()) else 0
    return [f"{number:0{width}d}" for number in range(first, last + step, step)]
