"""rungs.jsonl: the events of a search that prunes, one JSON object a line, in the sequence in which they happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.core.fields import parsed
from runner.disk.append_log import Log
from runner.disk.layout import RUNGS
from runner.disk.place import Place
from runner.disk.reading import LARGEST_OF_BATCH, read_bytes


def read(root: Path) -> list[dict[str, Any]]:
    """The objects; a line that a crash cut short, or that is not an object, is left out."""
    try:
        content = read_bytes(Place(root) / RUNGS, LARGEST_OF_BATCH)
    except OSError:
        return []
    found = []
    for line in content.split(b"\n"):
        try:
            found.append(parsed(line))
        except ValueError:
            continue
    return found


class RungsFile:
    """Appends to the file. A disk that fails loses lines, which a resumed search works out again; nothing is raised."""

    def __init__(self, root: Path) -> None:
        cut_short = _cut_short(root)
        self._log = Log(Place(root) / RUNGS)
        if cut_short:
            self._log.write(b"\n")

    def append(self, record: Mapping[str, Any]) -> None:
        self._log.write(json.dumps(record).encode() + b"\n")


def _cut_short(root: Path) -> bool:
    try:
        return not (read_bytes(Place(root) / RUNGS, LARGEST_OF_BATCH) or b"\n").endswith(b"\n")
    except OSError:
        return False
