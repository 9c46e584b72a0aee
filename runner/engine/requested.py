"""Carry out what a user requests of a running batch: stop, skip, move and add jobs. Starts nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.requests import AddJobs, Answer, MoveJobs, Request, SkipJobs, StopJobs
from runner.core.state import Finished, Pending, Record
from runner.core.text import listed
from runner.engine.events import Event, JobAdded, JobEnded, JobSkipped, Notice
from runner.engine.protocols import Handle
from runner.engine.queue import Queue

SKIPPED = "skipped by request"


class Requested:
    """The jobs of one running batch, as a user changes them. `stopped` are the names of jobs that were stopped so."""

    def __init__(
        self,
        options: RunOptions,
        queue: Queue,
        records: dict[str, Record],
        kept: Collection[str],
        running: Mapping[Handle, object],
        send: Callable[[Event], None],
    ) -> None:
        self.stopped: set[str] = set()
        self._options = options
        self._queue = queue
        self._records = records
        self._kept = kept
        self._running = running
        self._send = send
        self._skipped: set[str] = set()

    def carry_out(self, request: Request, stopping: str | None) -> Answer:
        """Do all of it or, if any job of it cannot be meant, nothing. `stopping` is why no further job is started."""
        errors = list(self._errors(request))
        if errors:
            return Answer(tuple(errors), refused=True)
        match request:
            case StopJobs(names, kill):
                return Answer(tuple(self._stop(name, kill=kill) for name in names))
            case SkipJobs(names):
                return self._skip(names)
            case MoveJobs(names, first):
                return self._move(names, first=first)
            case AddJobs(jobs, first):
                return self._add(jobs, stopping, first=first)

    def _errors(self, request: Request) -> Iterator[str]:
        if isinstance(request, AddJobs):
            known = {name.casefold() for name in self._records}
            taken = [job.name for job in request.jobs if job.name.casefold() in known]
            yield from (f"{name}: there is a job of that name already" for name in taken)
            return
        for name in request.names:
            why = self._not_running(name) if isinstance(request, StopJobs) else self._not_pending(name, request)
            if why:
                yield f"{name}: {why}"

    def _not_running(self, name: str) -> str | None:
        if name in self._handles() or self._waits_for_retry(name):
            return None
        if name not in self._records:
            return "no such job"
        pending = isinstance(self._records[name].state, Pending)
        return f"is not running ({self._word(name)}){'; skip keeps it from being started' if pending else ''}"

    def _not_pending(self, name: str, request: SkipJobs | MoveJobs) -> str | None:
        if name not in self._records:
            return "no such job"
        if name in self._handles():
            return "runs already" + ("; stop ends it" if isinstance(request, SkipJobs) else "")
        if isinstance(request, SkipJobs) and self._waits_for_retry(name):
            return None
        if name in self._kept or name in self._skipped or not isinstance(self._records[name].state, Pending):
            return f"is not to be started ({self._word(name)})"
        return None

    def _word(self, name: str) -> str:
        return SKIPPED if name in self._skipped else self._records[name].status

    def _handles(self) -> dict[str, Handle]:
        return {handle.job.name: handle for handle in self._running}

    def _waits_for_retry(self, name: str) -> bool:
        return name in self._records and isinstance(self._records[name].state, Finished) and self._queue.holds(name)

    def _stop(self, name: str, *, kill: bool) -> str:
        handle = self._handles().get(name)
        if handle is None:
            return self._call_off(name)
        self.stopped.add(name)
        handle.stop("kill" if kill else "stop")
        within = f"save and leave within {self._options.grace[0]:g} s (--grace)"
        done = "is killed with every process below" if kill else f"was asked to {within}"
        self._send(Notice(f"By request: {name} {done}; the batch continues."))
        return f"{name}: {done}; the batch continues"

    def never_started(self, name: str) -> None:
        """A job that was stopped had not started: it is as if it had been skipped."""
        self.stopped.discard(name)
        self._queue.withdraw(name)
        self._skipped.add(name)
        self._send(JobSkipped(self._records[name].job, SKIPPED))

    def _call_off(self, name: str) -> str:
        """Let a job that waits for a retry not be tried again."""
        self._queue.withdraw(name)
        self._send(Notice(f"By request: {name} is not tried again."))
        self._send(JobEnded(self._records[name]))
        return f"{name}: is not tried again"

    def _skip(self, names: Sequence[str]) -> Answer:
        lines = []
        for name in names:
            if self._waits_for_retry(name):
                lines.append(self._call_off(name))
                continue
            self._queue.withdraw(name)
            self._skipped.add(name)
            self._send(JobSkipped(self._records[name].job, SKIPPED))
            self._send(Notice(f"By request: {name} is skipped; a resumed batch runs it."))
            lines.append(f"{name}: is skipped; a resumed batch runs it")
        return Answer(tuple(lines))

    def _move(self, names: Sequence[str], *, first: bool) -> Answer:
        for name in names:
            self._queue.withdraw(name)
        self._put([self._records[name].job for name in names], first=first)
        where = "before" if first else "after"
        self._send(Notice(f"By request: {listed(names, 5)} to be started {where} all other pending jobs."))
        return Answer((f"{listed(names, 5)}: will be started {where} all other pending jobs",))

    def _add(self, jobs: Sequence[Job], stopping: str | None, *, first: bool) -> Answer:
        for job in jobs:
            self._records[job.name] = Record(job)
            self._send(JobAdded(job))
        self._put(jobs, first=first)
        names = listed([job.name for job in jobs], 5)
        self._send(Notice(f"By request: added {names}."))
        then = f"; not started now: {stopping}" if stopping else ""
        return Answer((f"added {names}{then}",))

    def _put(self, jobs: Sequence[Job], *, first: bool) -> None:
        if first:
            for job in reversed(jobs):
                self._queue.put_back(job)
        else:
            for job in jobs:
                self._queue.put_last(job)
