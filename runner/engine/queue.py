"""The jobs that are to be started: first those that are put back, then those of the source, then those put last."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping

from runner.core.job import Job
from runner.core.state import Record
from runner.engine.protocols import FixedPlan, JobSource, Promoted, Wait


class Queue:
    """Draws jobs from a source, each once. `skipped` are the names of jobs that are not started: kept, or adopted."""

    def __init__(self, source: JobSource, skipped: Collection[str], clock: Callable[[], float]) -> None:
        self._source = source
        self._skipped = set(skipped)
        self._drawn: set[str] = set()  # of a source that might return one twice, as a plan cannot
        self._may_repeat = not isinstance(source, FixedPlan)
        self._ready: deque[Job] = deque()
        self._later: list[tuple[float, Job]] = []  # when it is started again
        self._last: deque[Job] = deque()
        self._exhausted = False
        self._clock = clock

    @property
    def empty(self) -> bool:
        """True when there is nothing to start, now or later."""
        return self._exhausted and not self._ready and not self._later and not self._last

    def skip(self, name: str) -> None:
        """The job needs no start any more."""
        self._skipped.add(name)

    def put_back(self, job: Job) -> None:
        """The job is the next one again."""
        self._ready.appendleft(job)

    def put_later(self, job: Job, delay: float) -> None:
        """The job is the next one after `delay` seconds."""
        self._later.append((self._clock() + delay, job))

    def put_last(self, job: Job) -> None:
        """The job comes after all others; once it was withdrawn, the source may return it and is passed over."""
        self._last.append(job)

    def withdraw(self, name: str) -> None:
        """The job is not started, wherever it waits, unless it is put here again."""
        self.skip(name)
        self._ready = deque(job for job in self._ready if job.name != name)
        self._last = deque(job for job in self._last if job.name != name)
        self._later = [entry for entry in self._later if entry[1].name != name]

    def holds(self, name: str) -> bool:
        """True for a job that was put back, or put later or last."""
        return any(job.name == name for job in (*self._ready, *self._last, *(job for _, job in self._later)))

    def next(self, records: Mapping[str, Record]) -> Job | Wait | None:
        """The next job to start; else Wait or None, as the source. Raises ValueError if it returns a job twice."""
        self._take_due()
        while not self._ready and not self._exhausted:
            found = self._source.next(records)
            if isinstance(found, Wait):
                return self._last.popleft() if self._last else found
            if isinstance(found, Promoted):
                self._skipped.discard(found.job.name)
                self._drawn.add(found.job.name)
                return found.job
            if found is None:
                self._exhausted = True
            elif found.name in self._drawn:
                raise ValueError(f"the source of jobs returned {found.name} twice")
            else:
                if self._may_repeat:
                    self._drawn.add(found.name)
                if found.name not in self._skipped:
                    return found
        for jobs in (self._ready, self._last):
            if jobs:
                return jobs.popleft()
        return None

    def _take_due(self) -> None:
        if self._later:
            now = self._clock()
            due = [entry for entry in self._later if entry[0] <= now]
            self._later = [entry for entry in self._later if entry[0] > now]
            self._ready.extendleft(job for _, job in reversed(due))  # which turns them round again
