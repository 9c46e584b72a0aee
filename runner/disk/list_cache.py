"""What `list` showed of batches that have ended, kept in the base folder: their records are not read again.

The job folders stay the truth. An entry counts only while plan.json and the records of all jobs are the very files from
which it was made: inode, size and both times of each are part of its stamp. Can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import runner
from runner.core.fields import Fields
from runner.disk import atomic, layout, record_file
from runner.disk.place import Place
from runner.disk.reading import LARGEST_OF_BATCH
from runner.disk.record_file import Unreadable

SCHEMA = 1


class Entry(NamedTuple):
    """A batch: the names of its jobs, the stamp of their records, and what is kept of it."""

    jobs: Sequence[str]
    stamp: str
    kept: dict[str, Any]


class ListCache:
    """The entries of one base folder, by the names of the batches' folders."""

    def __init__(self, base: Path) -> None:
        """One that is missing, of another version or place, or cannot be read, is empty."""
        self._path = Place(base, layout.LIST_CACHE)
        self._about = {"schema": SCHEMA, "runner_version": runner.__version__, "base_out_dir": str(base.resolve())}
        found = record_file.look(str(self._path), self._entries, LARGEST_OF_BATCH)
        self._read: dict[str, Entry] = {} if found is None or isinstance(found, Unreadable) else found
        self._now: dict[str, Entry] = {}

    def _entries(self, record: dict[str, Any]) -> dict[str, Entry]:
        """Raises ValueError for an odd record."""
        if any(record.get(key) != value for key, value in self._about.items()):
            return {}
        entries = {}
        for name, entry in Fields(record).mapping("batches").items():
            fields = Fields(entry, f"batches.{name}.")
            entries[name] = Entry(fields.words("jobs"), fields.text("stamp"), fields.mapping("kept"))
        return entries

    def get(self, root: Path) -> dict[str, Any] | None:
        """What is kept of the batch; None if its records are not those of then."""
        entry = self._read.get(root.name)
        if entry is None or entry.stamp != stamp(root, entry.jobs):
            return None
        self._now[root.name] = entry
        return entry.kept

    def put(self, root: Path, entry: Entry) -> None:
        self._now[root.name] = entry

    def save(self) -> None:
        """Write the entries of the batches that still exist. A folder that cannot be written to has no cache."""
        if self._now == self._read:
            return
        batches = {name: entry._asdict() for name, entry in self._now.items()}
        with contextlib.suppress(OSError):
            atomic.write_json(self._path, {**self._about, "batches": batches}, durable=False)


def stamp(root: Path, jobs: Sequence[str]) -> str:
    """Which files plan.json and the results and metadata of these jobs are; another value once one was replaced."""
    folder = os.fspath(root)
    paths = [layout.BatchPaths(folder).plan]
    for job in jobs:
        paths += (f"{folder}/{job}/{layout.RESULT}", f"{folder}/{job}/{layout.METADATA}")
    return hashlib.sha256(repr([_identity(path) for path in paths]).encode()).hexdigest()


def stamp_of_job(folder: Path) -> tuple[object, object]:
    """Which files the result and the metadata of one job are."""
    return _identity(f"{folder}/{layout.RESULT}"), _identity(f"{folder}/{layout.METADATA}")


def _identity(path: str) -> tuple[int, ...] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
