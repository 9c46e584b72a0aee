"""The columns of all files of metrics that the page has read. What is small is read at once, the rest by a process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from runner.core.job import Job
from runner.page import axes
from runner.page.columns import Columns, Source
from runner.page.filler import Filler
from runner.reports.tracks import Track

AT_ONCE = 1 << 19  # bytes that are read while a browser waits
MOST_POINTS = 3_000_000  # in memory; of more the columns that can be read again are dropped, the oldest first


class Known(NamedTuple):
    """One job: what was read of its metrics. `reading`: a process still does so."""

    columns: Columns | None
    reading: bool = False


class Store:
    """For several threads, which take `lock` while they use what they got."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.filler = Filler()
        self._known: dict[tuple[str, str], Columns] = {}

    def of(self, jobs: Iterable[Job], axis: str) -> list[Known]:
        """Of each job what is on the disk now; of those that have to be read by the process nothing yet."""
        with self.lock:
            found = [self._of(job, axis) for job in jobs]
            self.filler.want([source for source in found if isinstance(source, Source)])
            self._shrink()
            return [Known(None, True) if isinstance(one, Source) else Known(one) for one in found]

    def _of(self, job: Job, axis: str) -> Columns | Source | None:
        source = Source.of(job.out_dir, axis, _ends(job.out_dir, axis))
        size = source.size()
        if not size:
            return None
        name = source.path, axis
        made = self._known.pop(name, None)
        if made is not None and made.source == source and size - made.offset <= AT_ONCE and made.advance():
            self._known[name] = made
            return made
        made = Columns.kept(source) or Columns(source)
        if size - made.offset > AT_ONCE and not self.filler.gave_up(source):
            return source
        if not made.advance():
            return None
        self._known[name] = made
        return made

    def points(self) -> int:
        """How many are in memory."""
        return sum(one.points() for one in self._known.values())

    def _shrink(self) -> None:
        points = self.points()
        for name, one in list(self._known.items()):
            if points <= MOST_POINTS:
                return
            points -= one.points()
            one.forget()
            if one.offset <= AT_ONCE:
                del self._known[name]
            else:
                points += one.points()

    def once(self, job: Job, axis: str, name: str) -> tuple[bool, Track | None]:
        """Whether a job was read before, and a metric of it, which is not kept in memory."""
        with self.lock:
            source = Source.of(job.out_dir, axis, _ends(job.out_dir, axis))
            drawn = self._known.get((source.path, axis))
            known = drawn or Columns.kept(source)
            if known is None or known.offset < source.size() - AT_ONCE:
                found = self._of(job, axis)
                known = found if isinstance(found, Columns) else None
                if drawn is None:
                    self._known.pop((source.path, axis), None)
            return known is not None, None if known is None else known.track(name)


def _ends(folder: Path, axis: str) -> Sequence[str]:
    return () if axis == axes.STEP else axes.ends_of(folder)
