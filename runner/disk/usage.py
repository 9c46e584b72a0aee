"""How many bytes a batch takes: checkpoints, logs, and the rest. Follows no link and writes nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.disk import checkpoints, layout

LOGS = ("master_log.txt", "runner.log", layout.ERROR_DETAILS)


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes by kind: the sizes of the files. A file with several names counts once."""

    checkpoints: int = 0
    logs: int = 0
    rest: int = 0

    @property
    def total(self) -> int:
        return self.checkpoints + self.logs + self.rest

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.checkpoints + other.checkpoints, self.logs + other.logs, self.rest + other.rest)

    def to_json(self) -> dict[str, int]:
        return {"checkpoints": self.checkpoints, "logs": self.logs, "rest": self.rest, "total": self.total}


def of_batch(root: Path, folders: Iterable[Path], patterns: Sequence[str] = ()) -> Usage:
    """The usage of a batch with these folders of jobs; `patterns` name its checkpoints."""
    saved = {path for folder in folders if is_inside(folder, root) for path in checkpoints_in(folder, patterns)}
    found = Counter(checkpoints=0, logs=0, rest=0)
    counted: set[tuple[int, int]] = set()
    for entry, in_checkpoint in _files(str(root.absolute()), saved):
        kind = "checkpoints" if in_checkpoint else "logs" if entry.name in LOGS or layout.is_log(entry.name) else "rest"
        found[kind] += _size(entry, counted)
    return Usage(**found)


def of_paths(paths: Iterable[str]) -> int:
    """The bytes of these files and folders."""
    counted: set[tuple[int, int]] = set()
    total = 0
    for path in paths:
        if Path(path).is_dir() and not Path(path).is_symlink():
            total += sum(_size(entry, counted) for entry, _ in _files(path, set()))
        else:
            total += Path(path).lstat().st_size
    return total


def is_inside(folder: Path, root: Path) -> bool:
    """Whether a folder of a job is there, and below that of its batch: a job may have replaced it by a link."""
    return folder.is_dir() and folder.resolve() == root.resolve() / folder.relative_to(root)


def checkpoints_in(folder: Path, patterns: Sequence[str]) -> list[str]:
    return checkpoints.every_checkpoint(str(folder), patterns)


def _files(folder: str, saved: set[str]) -> Iterator[tuple[os.DirEntry[str], bool]]:
    """Everything below that is not a folder, and whether it belongs to one of the `saved` checkpoints."""
    waiting = [(folder, False)]
    while waiting:
        path, within = waiting.pop()
        try:
            with os.scandir(path) as entries:
                found = list(entries)
        except OSError:  # it is gone, or not for us to read
            continue
        for entry in found:
            belongs = within or entry.path in saved
            if entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, belongs))
            else:
                yield entry, belongs


def _size(entry: os.DirEntry[str], counted: set[tuple[int, int]]) -> int:
    """The size of a file; 0 for one that was counted under another name."""
    try:
        about = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    if about.st_nlink > 1:
        if (about.st_dev, about.st_ino) in counted:
            return 0
        counted.add((about.st_dev, about.st_ino))
    return about.st_size
