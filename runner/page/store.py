"""The columns of all files of metrics that the page has read. What is small is read at once, the rest by a process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runner.core.job import Job
from runner.page import axes
from runner.page.columns import Columns, Source
from runner.page.filler import Filler

AT_ONCE = 1 << 21  # bytes that are read while a browser waits
MOST_POINTS = 3_000_000  # in memory; of more the columns that can be read again are dropped, the oldest first


class Known(NamedTuple):
    """One job: what was read of its metrics. `reading`: a process still does so, and these are some rows of them."""

    columns: Columns | None
    reading: bool = False


class Store:
    """For several threads, which take `lock` while they use what they got."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.filler = Filler()
        self._known: dict[tuple[str, str], Columns] = {}
        self._few: dict[tuple[str, str], Columns | None] = {}  # of files that are being read

    def of(self, jobs: Iterable[Job], axis: str) -> list[Known]:
        """Of each job what is on the disk now; of those that have to be read by the process some rows."""
        with self.lock:
            found: list[Known] = []
            waiting: list[Source] = []
            left = AT_ONCE
            for job in jobs:
                source = source_of(job, axis)
                made, left = self._of(source, left)
                if isinstance(made, Source):
                    waiting.append(source)
                    found.append(Known(self._rough(source), reading=True))
                else:
                    found.append(Known(made))
            self.filler.want(waiting)
            self._shrink()
            return found

    def _of(self, source: Source, left: int) -> tuple[Columns | Source | None, int]:
        """What is known of a file, or that it has to be read first; and how many bytes may still be read at once."""
        size, name = source.size(), (source.path, source.axis)
        if not size:
            return None, left
        made = self._known.pop(name, None)
        if made is None or made.source != source:
            made = Columns.kept(source) or Columns(source)
        new = size - made.offset
        if new > left and not self.filler.gave_up(source):
            return source, left
        if not made.advance():  # it is another file by now, or what was kept of it is
            made = Columns.kept(source) or Columns(source)
            new = size - made.offset
            if new > left and not self.filler.gave_up(source):
                return source, left
            if not made.advance():
                return None, left
        self._known[name] = made
        self._few.pop(name, None)
        self.filler.drop(source)
        return made, left - max(new, 0)

    def _rough(self, source: Source) -> Columns | None:
        name = source.path, source.axis
        if name not in self._few:
            self._few[name] = Columns.few(source)
        return self._few[name]

    def whole(self, source: Source) -> Columns | None:
        """A file of which all was read, for one look; None if that is still to be done, which is begun."""
        with self.lock:
            name, least = (source.path, source.axis), source.size() - AT_ONCE
            known = self._known.get(name)
            if known is None or known.source != source or known.is_lost or known.offset < least:
                known = Columns.kept(source)
            if (known is None or known.offset < least) and not self.filler.gave_up(source):
                self.filler.want([source], first=False)
                return known
            known = known or Columns(source)
            if known.advance():
                return known
            self._known.pop(name, None)  # it is another file by now, or cannot be read
            return Columns(source) if self.filler.gave_up(source) else None

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


def source_of(job: Job, axis: str) -> Source:
    """Where the metrics of a job are."""
    ends: Sequence[str] = () if axis == axes.STEP else axes.ends_of(job.out_dir)
    return Source.of(job.out_dir, axis, ends)
