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
SMALL = 1 << 19  # bytes of a file all of which is read for a few points of it
MOST_POINTS = 3_000_000  # in memory; of more the columns that can be read again are dropped, the oldest first


class Known(NamedTuple):
    """One job: what was read of its metrics. `reading`: a process still does so, and these are some rows of them."""

    columns: Columns | None
    reading: bool = False


class Store:
    """For several threads, which take `lock` while they use what `of` gave them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.filler = Filler()
        self._known: dict[tuple[str, str], Columns] = {}

    def of(self, jobs: Iterable[Job], axis: str) -> list[Known]:
        """Of each job what is on the disk now; of those that have to be read by the process some rows, or nothing."""
        with self.lock:
            found: list[Known] = []
            first: list[Source] = []
            then: list[Source] = []
            left = AT_ONCE
            for job in jobs:
                source = source_of(job, axis)
                made, left = self._of(source, left)
                if not isinstance(made, Source):
                    found.append(Known(made))
                    continue
                few = source._replace(few=True)
                found.append(Known(Columns.kept(few), reading=True))
                first += [few] if found[-1].columns is None else []
                then.append(source)
            self.filler.want(first + then)
            self._shrink()
            return found

    def _of(self, source: Source, left: int) -> tuple[Columns | Source | None, int]:
        """What is known of a file, or that it has to be read first; and how many bytes may still be read at once."""
        size = source.size()
        if not size:
            return None, left
        name = source.path, source.axis
        made = self._known.pop(name, None)
        if made is None or made.source != source:
            made = Columns.kept(source) or Columns(source)
        new = size - made.offset
        if new > left and not self.filler.gave_up(source):
            return source, left
        if not made.advance():  # it is another file by now
            made = Columns(source)
            if not made.advance():
                return None, left
        self._known[name] = made
        return made, left - max(new, 0)

    def few(self, source: Source, left: int) -> tuple[Columns | None, int]:
        """Some points of each metric of a file; None if there is nothing yet. A process reads what is new for later."""
        size, few = source.size(), source._replace(few=True)
        if not size or self.filler.is_waiting(few):
            return None, left
        made = Columns.kept(few)
        if made is not None and made.offset == size:
            return made, left
        if self.filler.gave_up(few):
            return Columns(few), left
        if size <= min(left, SMALL):
            whole = Columns(source)
            return (whole.thinned(few) if whole.advance() else None), left - size
        self.filler.want([few], first=False)
        return made, left

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
