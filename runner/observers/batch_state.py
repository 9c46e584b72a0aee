"""What is known of a batch, from the events so far. The one place where observers keep it; it prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from runner.core.job import Plan
from runner.core.state import COMPLETED, Finished, Record
from runner.engine.events import (
    BatchEnded,
    BatchStarted,
    Event,
    JobAdded,
    JobEnded,
    JobProgressed,
    JobSkipped,
    JobStarted,
    JobWaiting,
)
from runner.engine.progress import Progress

NO_PROGRESS = Progress()


class BatchState:
    """Apply each event, then read. Valid from BatchStarted on; times in seconds of `clock`.

    `earlier` are jobs of the same batch that other plans had before; they count as its first.
    """

    plan: Plan

    def __init__(self, clock: Callable[[], float] = time.monotonic, earlier: Sequence[Record] = ()) -> None:
        self.records: dict[str, Record] = {}  # of every job, in order
        self.progress: dict[str, Progress] = {}
        self.reasons: dict[str, str] = {}  # name of a job that cannot start now -> why
        self.skipped: set[str] = set()  # names of pending jobs that this run of the batch does not start
        self.since: dict[str, float] = {}  # name of a running job -> when it started
        self.started_at = clock()
        self.stopped: str | None = None  # once the batch has ended: why not all jobs were started
        self._clock = clock
        self._earlier = earlier
        self._numbers: dict[str, int] = {}
        self._ended: set[str] = set()
        self._completed, self._completed_seconds = 0, 0.0
        self._not_run = 0  # jobs that have not ended, and that this batch does not run

    def apply(self, event: Event) -> None:
        """Take over what an event brings."""
        match event:
            case JobProgressed(job, progress):
                self.progress[job.name] = progress
            case JobStarted(record):
                self._job_started(record)
            case JobEnded(record, again):
                self._job_ended(record, again=again)
            case JobWaiting(job, reason):
                self.reasons[job.name] = reason
            case JobSkipped(job):
                self.skipped.add(job.name)
                self.reasons.pop(job.name, None)
            case JobAdded(job):
                self.plan = replace(self.plan, jobs=(*self.plan.jobs, job))
                self._append(Record(job))
            case BatchStarted():
                self._start(event)
            case BatchEnded(records, stopped):
                self.records |= {record.job.name: record for record in records}
                self.stopped = stopped

    @property
    def total(self) -> int:
        """The number of jobs."""
        return len(self.records)

    @property
    def ended(self) -> int:
        """The number of jobs that will not be started again. Each counts once, however often it was tried."""
        return len(self._ended)

    @property
    def elapsed(self) -> float:
        """Seconds since the batch started."""
        return self._clock() - self.started_at

    def number(self, name: str) -> int:
        """The place of a job in the batch, from 1."""
        return self._numbers[name]

    def running_for(self, name: str) -> float:
        """Seconds since a job started that is running now."""
        return self._clock() - self.since[name]

    def remaining(self) -> float | None:
        """Seconds until the batch ends, from the jobs that completed and the speed of those that are running."""
        totals, durations = self._completed_seconds, self._completed
        average = totals / durations if durations else None
        left = 0.0
        for name in self.since:
            spent, rest = self.running_for(name), self.progress.get(name, NO_PROGRESS).remaining
            if rest is not None:
                totals, durations = totals + spent + rest, durations + 1
            elif average is not None:
                rest = max(average - spent, 0)
            else:
                return None
            left = max(left, rest)
        waiting = self.total - self.ended - len(self.since) - self._not_run - len(self.skipped)
        if waiting <= 0:
            return left
        return left + waiting * totals / durations / max(len(self.since), 1) if durations else None

    def _start(self, event: BatchStarted) -> None:
        self.started_at = self._clock()
        self.plan = replace(event.plan, jobs=(*(record.job for record in self._earlier), *event.plan.jobs))
        for record in (*self._earlier, *(event.kept.get(job.name, Record(job)) for job in event.plan.jobs)):
            self._append(record)
        for record in self._earlier:
            if isinstance(record.state, Finished):
                self._job_ended(record, again=False)
        not_run = (*self._earlier, *event.kept.values())
        self._not_run = sum(not isinstance(record.state, Finished) for record in not_run)

    def _append(self, record: Record) -> None:
        self.records[record.job.name] = record
        self._numbers[record.job.name] = len(self.records)

    def _job_started(self, record: Record) -> None:
        name = record.job.name
        self.records[name] = record
        self.since[name] = self._clock()
        self.reasons.pop(name, None)

    def _job_ended(self, record: Record, *, again: bool) -> None:
        name = record.job.name
        self.records[name] = record
        self.since.pop(name, None)
        self.reasons.pop(name, None)
        if not again:
            self._ended.add(name)
        if record.status == COMPLETED and isinstance(record.state, Finished):
            self._completed += 1
            self._completed_seconds += record.state.seconds
