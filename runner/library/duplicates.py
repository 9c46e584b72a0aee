"""Which folders of an output folder are those of one hash. Listed once for a run: there may be thousands."""

from __future__ import annotations

import os
from pathlib import Path

from runner.core import clock
from runner.library.cache import Key
from runner.library.config_lock import ConfigLock

MARGIN = 0.1  # seconds; the times of files are coarser than our clock


class Duplicates:
    """Equal configs have one hash, whatever their names."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[str, set[str]] = {}  # hash -> names of folders
        self._listed_at: float | None = None
        self._ours: set[str] = set()

    def of(self, key: Key, lock: ConfigLock) -> list[str]:
        """The names of the folders of this hash. Call with its lock held."""
        others_were_here = lock.last_used + MARGIN > (self._listed_at or 0.0) and key.digest not in self._ours
        if self._listed_at is None or others_were_here:
            self._list()
        return sorted(self._names.get(key.digest, ()))

    def all(self) -> dict[str, set[str]]:
        """Hash -> the names of its folders."""
        if self._listed_at is None:
            self._list()
        return self._names

    def add(self, name: str, key: Key) -> None:
        """A folder that this process makes."""
        self._ours.add(key.digest)
        self._names.setdefault(key.digest, set()).add(name)

    def _list(self) -> None:
        self._listed_at = clock.seconds()
        try:
            with os.scandir(self._root) as entries:
                names = [entry.name for entry in entries]
        except FileNotFoundError:
            names = []
        for name in names:
            self._names.setdefault(name.rpartition("-")[2], set()).add(name)
