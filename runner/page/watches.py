"""What browsers can listen to: the list of batches, a batch, a log. Each look returns what is new, or None."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from runner.core.errors import UserError
from runner.core.job import Job
from runner.page import logs
from runner.page.batch_view import BatchView
from runner.page.hub import Watch

LIST, BATCH, LOG = "list", "batch", "log"
LOG_PIECE = 1 << 16  # bytes that are sent of a log at once
CHASED = 1 << 18  # bytes; of a log that grows by more between two looks, only the end is sent


class ListWatch:
    """The rows of the first page, when one has changed."""

    every = 2.0

    def __init__(self, rows: Callable[[], Any]) -> None:
        self._rows = rows
        self._before: Any = rows()

    def look(self) -> Mapping[str, Any] | None:
        found = self._rows()
        if found == self._before:
            return None
        self._before = found
        return {"batches": found}


class BatchWatch:
    """The jobs of a batch that have changed since the last look, with the version before them."""

    def __init__(self, view: BatchView) -> None:
        self._view = view
        self._version = view.version()

    @property
    def every(self) -> float:
        return 0.5 if self._view.is_active else 1.0

    def look(self) -> Mapping[str, Any] | None:
        found = self._view.look(self._version)
        if found["version"] == self._version:
            return None
        before, self._version = self._version, found["version"]
        return {"since": before, **found}


class LogWatch:
    """What was written to a log since the last look."""

    every = 0.2

    def __init__(self, job: Job, name: str) -> None:
        self._job, self._name = job, name
        try:
            self._at: int = logs.part(job, name, None, 1)["size"]
        except UserError:  # it is not written yet
            self._at = 0
        self._size = -1

    def look(self) -> Mapping[str, Any] | None:
        path = self._job.out_dir / self._name
        try:
            size = os.stat(path).st_size  # noqa: PTH116 - followed five times a second
        except OSError:
            return None
        if size == self._size:
            return None
        found = logs.part(self._job, self._name, self._at, LOG_PIECE)
        if found["size"] < self._at:  # another file
            found = logs.part(self._job, self._name, None, LOG_PIECE)
            found["reset"] = True
        elif found["size"] - self._at > CHASED:
            found = logs.part(self._job, self._name, None, LOG_PIECE)
            found["skipped"] = found["from"] - self._at
        if found["to"] == found["size"]:
            self._size = size
        self._at = found["to"]
        return found if found["text"] or found.get("reset") else None


class Watches:
    """Topic -> what looks at it."""

    def __init__(self, rows: Callable[[], Any], view: Callable[[str], BatchView]) -> None:
        self._rows = rows
        self._view = view

    def __call__(self, topic: str) -> Watch:
        """`list`, `batch:NAME` or `log:NAME:JOB:LOG`. Raises UserError."""
        kind, *words = topic.split(":")
        if kind == LIST and not words:
            return ListWatch(self._rows)
        if kind == BATCH and words:
            return BatchWatch(self._view(":".join(words)))
        if kind == LOG and len(words) >= 3 and words[-2].isdecimal() and len(words[-2]) < 7:
            jobs = self._view(":".join(words[:-2])).plan().jobs
            if int(words[-2]) < len(jobs):
                logs.check(words[-1])
                return LogWatch(jobs[int(words[-2])], words[-1])
        raise UserError("a topic is list, batch:NAME or log:NAME:JOB:LOG")
