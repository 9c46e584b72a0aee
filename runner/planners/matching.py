"""One pattern of paths -> the files that match it. Reads folders, each real one once, whatever links lead to it."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from runner.core.names import natural

RECURSIVE = "**"
PRIVATE = ("conftest.py",)  # beside all names that begin with an underscore, such as __init__.py
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Matches:
    """`files` in natural order. `private` matched as well, but their names say that they are not to be run."""

    files: list[Path] = field(default_factory=list)
    private: list[Path] = field(default_factory=list)


def has_magic(text: str) -> bool:
    """True for a text that is more than a name, unless a file has it as its name."""
    return _MAGIC.search(text) is not None


def is_private(name: str) -> bool:
    """True for a name that only another file imports, or that is there to be built on: `__init__.py`, `_base.yaml`."""
    return name.startswith("_") or name in PRIVATE


def matches(pattern: str, cwd: Path, visit: Callable[[Path], None] = lambda folder: None) -> Matches:
    """The files that a pattern means in `cwd`. Raises OSError or RuntimeError for what cannot be a path.

    Whatever exists under the very name of a part is meant by it, also where that name holds a bracket or a star.
    `visit` is called with each folder before it is read.
    """
    path = Path(pattern).expanduser()
    if (cwd / path).is_file():
        return Matches([cwd / path])
    start, parts = (Path(path.anchor), path.parts[1:]) if path.is_absolute() else (cwd, path.parts)
    found = dict(_below(start, parts, visit, private=False))
    files = sorted((path for path in found if path.is_file()), key=natural)
    return Matches([path for path in files if not found[path]], [path for path in files if found[path]])


def _below(
    folder: Path, parts: Sequence[str], visit: Callable[[Path], None], *, private: bool
) -> Iterator[tuple[Path, bool]]:
    """Each path below a folder that the parts of a pattern lead to, and whether a private name is on its way."""
    if not parts:
        yield folder, private
        return
    first, rest = parts[0], parts[1:]
    if not has_magic(first) or os.path.lexists(folder / first):
        yield from _below(folder / first, rest, visit, private=private)
    elif first == RECURSIVE:
        while rest[:1] == (RECURSIVE,):
            rest = rest[1:]
        for place, hidden in _folders(folder, visit, private=private):
            yield from _below(place, rest or ("*",), visit, private=hidden)
    else:
        for entry in _entries(folder, visit):
            if fnmatchcase(entry.name, first) and (first[0] == "." or entry.name[0] != "."):
                hidden = private or (is_private(entry.name) and first[0] != "_")
                yield from _below(folder / entry.name, rest, visit, private=hidden)


def _folders(top: Path, visit: Callable[[Path], None], *, private: bool) -> Iterator[tuple[Path, bool]]:
    """A folder and all below it, each real one once: links are followed last, and two that lead upwards end there."""
    seen: set[tuple[int, int]] = set()
    waiting, links = deque([(top, private)]), deque[tuple[Path, bool]]()
    while waiting or links:
        folder, hidden = waiting.popleft() if waiting else links.popleft()
        try:
            about = folder.stat()
        except OSError:
            continue
        if (about.st_dev, about.st_ino) in seen:
            continue
        seen.add((about.st_dev, about.st_ino))
        yield folder, hidden
        for entry in _entries(folder, visit):
            if entry.name[0] != "." and _is_folder(entry):
                below = (folder / entry.name, hidden or is_private(entry.name))
                (links if entry.is_symlink() else waiting).append(below)


def _entries(folder: Path, visit: Callable[[Path], None]) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing for one that cannot be read."""
    visit(folder)
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
