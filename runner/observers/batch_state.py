"""What is known of a batch, from the events so far. The one place where observers keep it; it prints nothing."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from runner.core.job import Job, Plan
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
from runner.engine.phases import STARTING
from runner.engine.progress import Progress
from runner.reports import comparison
from runner.reports.columns import Column

NO_PROGRESS = Progress()
LOCAL = "local"  # the executor whose jobs have their output read
TURNS = 10  # of each worker, that are counted one by one for the time that remains


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
        self._ended = bytearray()  # by number: 1 for a job that will not be started again
        self._completed, self._completed_seconds = 0, 0.0
        self._trained: dict[str, float] = {}  # name of a running job -> when it was after its last iteration
        self._settings: tuple[Sequence[Column], Sequence[Job]] | None = None  # as they were for these jobs
        self._tails: list[float] = []  # seconds that jobs took after their last iteration
        self._not_run = 0  # jobs that have not ended, and that this batch does not run

    def apply(self, event: Event) -> None:
        """Take over what an event brings."""
        match event:
            case JobProgressed(job, progress):
                self.progress[job.name] = progress
                if progress.at_end:
                    self._trained.setdefault(job.name, self._clock())
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
        return self._ended.count(1)

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

    @property
    def settings(self) -> Sequence[Column]:
        """What the jobs differ in: a column for each key, a cell for each job."""
        if self._settings is None or len(self._settings[1]) != self.total:
            jobs = [record.job for record in self.records.values()]
            self._settings = comparison.varied(jobs), jobs
        return self._settings[0]

    def phase(self, name: str) -> str:
        """What a running job does while it does not train: `starting`, `compiling`, `evaluating`; else empty."""
        known = self.progress.get(name)
        if known is not None:
            return known.phase
        return STARTING if self.plan.options.executor == LOCAL else ""

    @property
    def fraction(self) -> float:
        """The part of the batch that is done, from 0 to 1: jobs that ended, and the iterations of those that run."""
        running = sum(self.progress.get(name, NO_PROGRESS).fraction or 0.0 for name in self.since)
        return min((self.ended + running) / self.total, 1.0) if self.total else 0.0

    def remaining_of(self, name: str) -> float | None:
        """Seconds until a running job ends: its iterations at their present speed, and then what jobs took so far
        after their last one."""
        tail = sum(self._tails) / len(self._tails) if self._tails else None
        if name in self._trained:
            return None if tail is None else max(tail - (self._clock() - self._trained[name]), 0.0)
        rest = self.progress.get(name, NO_PROGRESS).remaining
        return None if rest is None else rest + (tail or 0.0)

    def remaining(self) -> float | None:
        """Seconds until the batch ends, from the jobs that completed and the speed of those that are running."""
        average = self._completed_seconds / self._completed if self._completed else None
        rests, estimates = [], []
        for name in self.since:
            spent, rest = self.running_for(name), self.remaining_of(name)
            if rest is None:
                if average is None and name not in self._trained:
                    return None
                rest = max((average or 0.0) - spent, 0.0)
            rests.append(rest)
            estimates.append(spent + rest)
        waiting = self.total - self.ended - len(self.since) - self._not_run - len(self.skipped)
        if waiting <= 0:
            return max(rests, default=0.0)
        if average is None:
            if not estimates:
                return None
            average = sum(estimates) / len(estimates)
        return _until_all_ended(rests or [0.0], waiting, average)

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
        self._ended += bytes(len(self.records) + 1 - len(self._ended))

    def _job_started(self, record: Record) -> None:
        name = record.job.name
        self.records[name] = record
        self.since[name] = self._clock()
        self._ended[self._numbers[name]] = 0  # a pruned one was promoted
        self.reasons.pop(name, None)
        self.progress.pop(name, None)  # of an earlier attempt
        self._trained.pop(name, None)

    def _job_ended(self, record: Record, *, again: bool) -> None:
        name = record.job.name
        self.records[name] = record
        self.since.pop(name, None)
        self.reasons.pop(name, None)
        if not again:
            self._ended[self._numbers[name]] = 1
        trained = self._trained.pop(name, None)
        if record.status == COMPLETED and isinstance(record.state, Finished):
            if trained is not None:
                self._tails.append(self._clock() - trained)
            self._completed += 1
            self._completed_seconds += record.state.seconds


def _until_all_ended(rests: Sequence[float], waiting: int, each: float) -> float:
    """Seconds until workers that are free after `rests` have done all that waits, which takes `each` a job."""
    rounds = max(waiting // len(rests) - TURNS, 0)
    free = list(rests)
    heapq.heapify(free)
    for _ in range(waiting - rounds * len(rests)):
        heapq.heapreplace(free, free[0] + each)
    return max(free) + rounds * each
