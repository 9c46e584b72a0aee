"""Files that are left out, by patterns. Reads names only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from runner.planners.pattern_words import braces


class Exclusion:
    """The files that --exclude leaves out; it remembers which patterns matched one.

    A pattern is matched against the name of a file, with and without its ending, its path below `root`, its whole
    path, and the folders above it.
    """

    def __init__(self, patterns: Sequence[str], root: Path) -> None:
        self._root = root
        self._patterns = {pattern: [_normal(word, root) for word in braces(pattern)] for pattern in patterns}
        self._used: set[str] = set()

    def __contains__(self, path: Path) -> bool:
        inside = path.relative_to(self._root) if path.is_relative_to(self._root) else path
        near, far = {path.name, path.stem, *_with_folders(inside)}, _with_folders(path)
        found = {
            pattern
            for pattern, words in self._patterns.items()
            if any(_matches(word, far if word.startswith("/") else near) for word in words)
        }
        self._used |= found
        return bool(found)

    def unused(self) -> list[str]:
        """A sentence for each pattern that left nothing out."""
        return [f"--exclude {pattern}: matches no config" for pattern in self._patterns if pattern not in self._used]


def _with_folders(path: Path) -> set[str]:
    return {str(one) for one in (path, *path.parents) if one.name}


def _matches(word: str, names: Iterable[str]) -> bool:
    return any(name == word or fnmatchcase(name, word) for name in names)


def _normal(word: str, root: Path) -> str:
    """`./c/` is c, and `../w/c` is that folder; a bare name stays as it is."""
    if "/" not in word:
        return word
    path = Path(word).expanduser()
    return os.path.normpath(root / path if path.parts[:1] == ("..",) else path)
