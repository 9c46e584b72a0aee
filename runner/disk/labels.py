"""labels.json: the note and the tags that a user gave to a batch. No view and no run of the batch changes it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.core.errors import UserError
from runner.core.fields import Fields
from runner.core.text import shown
from runner.disk import atomic, record_file
from runner.disk.layout import BatchPaths
from runner.disk.place import Place
from runner.disk.record_file import Unreadable

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Labels:
    """What a user wrote about a batch: a note of one line, and tags, each once."""

    note: str | None = None
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "note": self.note, "tags": list(self.tags)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Labels:
        """Raises ValueError for what is not a record of this version."""
        fields = Fields(record)
        if (schema := fields.whole("schema")) != SCHEMA:
            raise ValueError(f"was written by another version (schema {schema})")
        return cls(fields.text("note", None) or None, tuple(dict.fromkeys(fields.words("tags", ()))))


def read(root: Path) -> Labels:
    """The labels of a batch; none if it has none, or none that can be read."""
    try:
        return _read(root)
    except UserError:
        return Labels()


def change(root: Path, how: Callable[[Labels], Labels]) -> Labels:
    """Replace the labels of a batch by what `how` makes of them. Raises UserError or OSError; nothing is lost then."""
    with _alone(root):
        before = _read(root)
        after = how(before)
        if after != before:
            atomic.write_json(BatchPaths(root).labels, after.to_json())
    return after


def _read(root: Path) -> Labels:
    path = BatchPaths(root).labels
    found = record_file.look(path, Labels.from_json)
    if isinstance(found, Unreadable):
        raise UserError(f"{shown(path)}: cannot be read ({found.why}); correct or delete it")
    return found or Labels()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Two commands at a time must not lose what the other one writes. A disk without locks has to do without."""
    with Place(root).opened() as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass
        yield
