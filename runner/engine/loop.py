"""The only loop over jobs. Asks an executor to run them and tells observers; starts no process, writes no file."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from runner.core.job import Attempt, Job, Plan
from runner.core.state import COMPLETED, INTERRUPTED, Finished, Record, Running
from runner.core.text import count, duration
from runner.disk import attempts, results
from runner.engine.policy import retry_delay
from runner.engine.progress import Follower, Progress
from runner.processes.signals import Signals

TICK = 0.25  # seconds between two looks at what the running jobs have written


class Handle(Protocol):
    """A job that was submitted."""

    job: Job
    attempt: Attempt

    @property
    def pid(self) -> int | None: ...
    @property
    def started_at(self) -> str | None: ...
    def done(self) -> bool: ...
    def record(self) -> Record: ...
    def stop(self, how: Literal["stop", "kill"]) -> None: ...


class Executor(Protocol):
    """Where jobs run."""

    slots: int
    grace: float  # seconds that a job has to save and leave

    def finished(self, job: Job) -> Record | None: ...
    def submit(self, job: Job) -> Handle: ...
    def adopt(self, job: Job) -> Handle | None: ...
    def wait(self, seconds: float, wake: int) -> None: ...


class Observer(Protocol):
    """Is told what happens. An observer must not raise: a batch does not end because a disk or a terminal is gone."""

    def began(self, plan: Plan) -> None: ...
    def started(self, record: Record) -> None: ...
    def progressed(self, job: Job, progress: Progress, lines: Sequence[str]) -> None: ...
    def finished(self, record: Record) -> None: ...
    def notice(self, text: str) -> None: ...
    def tick(self) -> None: ...
    def ended(self, records: Sequence[Record], stopped: str | None) -> None: ...


def run(
    plan: Plan,
    executor: Executor,
    observers: Sequence[Observer],
    signals: Signals,
    known: Mapping[str, Record] | None = None,
) -> list[Record]:
    """Run every job of `plan`, as many at once as the executor has slots; a job's failure is data.

    `known` are the records of jobs that are not to be run. Jobs that run already, under supervisors that outlived
    their engine, are taken over. A first signal asks the running jobs to save and leave, a second kills them; SIGUSR1
    lets the running jobs finish; jobs not begun stay pending. Returns a record for each job, in the plan's order.
    """
    batch = _Batch(plan, executor, observers, known or {})
    batch.tell("began", plan)
    for record in batch.records.values():
        if isinstance(record.state, Finished):
            batch.tell("finished", record)
    try:
        _loop(batch, executor, signals)
    except Exception as error:  # a fault of ours: the supervisors stop their jobs when we are gone; say what is known
        batch.stop_starting(f"the runner itself failed ({type(error).__name__}: {error})")
        batch.tell("ended", [batch.records[job.name] for job in plan.jobs], batch.stopped)
        raise
    records = [batch.records[job.name] for job in plan.jobs]
    batch.tell("ended", records, batch.stopped)
    return records


def _loop(batch: _Batch, executor: Executor, signals: Signals) -> None:
    batch.adopt_what_runs()
    batch.heed(signals)  # one that came while all this was made ready: nothing is begun then
    while batch.busy:
        batch.start_what_fits()
        executor.wait(TICK, signals.fileno())
        signals.drain()
        batch.heed(signals)
        batch.collect()


class _Batch:
    """What is waiting, what runs, and what is known."""

    def __init__(
        self,
        plan: Plan,
        executor: Executor,
        observers: Sequence[Observer],
        known: Mapping[str, Record],
    ) -> None:
        self.records = {job.name: known.get(job.name, Record(job)) for job in plan.jobs}
        self.stopped: str | None = None  # why no further job is started
        self._waiting = deque(job for job in plan.jobs if job.name not in known)
        self._later: list[tuple[float, Job]] = []  # jobs to be tried again, and when
        self._running: dict[Handle, Follower] = {}
        self._tries: dict[str, int] = {}
        self._failures = 0
        self._options = plan.options
        self._executor = executor
        self._observers = observers
        self._signals_heeded = 0
        self._announced: set[Handle] = set()
        self._next_look = 0.0

    @property
    def busy(self) -> bool:
        return bool(self._running) or (not self.stopped and bool(self._waiting or self._later))

    def tell(self, event: str, *what: object) -> None:
        for observer in self._observers:
            getattr(observer, event)(*what)

    def adopt_what_runs(self) -> None:
        for job in list(self._waiting):
            handle = self._executor.adopt(job)
            if handle is not None:
                self._waiting.remove(job)
                self._running[handle] = Follower(job)
                pid = f", pid {handle.pid}" if handle.pid else ""
                self.tell("notice", f"{job.name} runs already{pid}; waiting for it.")

    def start_what_fits(self) -> None:
        now = time.monotonic()
        for moment, job in list(self._later):
            if moment <= now:
                self._later.remove((moment, job))
                self._waiting.appendleft(job)
        while self._waiting and not self.stopped and len(self._running) < self._executor.slots:
            self._start(self._waiting.popleft())

    def _start(self, job: Job) -> None:
        done = self._executor.finished(job)
        if done is not None:  # its supervisor, which outlived its engine, recorded the end after we had looked
            self._keep(done)
            return
        self._tries[job.name] = self._tries.get(job.name, 0) + 1
        try:
            handle = self._executor.submit(job)
        except OSError as error:
            why = f"cannot be started: {error.strerror or error} ({error.filename or job.out_dir})"
            result = results.lost(Attempt(job, attempts.last(job) + 1, job.argv, job.env), why)
            results.write_result(job, result)
            self._keep(results.record(job, result))
        else:
            self._running[handle] = Follower(job)

    def heed(self, signals: Signals) -> None:
        """Stop what runs: gently at the first signal, at once at the second."""
        if signals.drain_requested:
            self.stop_starting("told to finish what runs")
        for number in range(self._signals_heeded, len(signals.received)):
            how: Literal["stop", "kill"] = "stop" if number == 0 else "kill"
            for handle in self._running:
                handle.stop(how)
            names = ", ".join(handle.job.name for handle in self._running) or "no job"
            if number == 0:
                self.stopped = "interrupted"
                grace = f"{self._executor.grace:g} s (--grace)"
                asked = f"asked {names} to save and leave within {grace}"
                self.tell("notice", f"Stopping: {asked}. A second Ctrl+C kills at once.")
            elif number == 1:
                self.tell("notice", f"Killing {names} and every process below.")
        self._signals_heeded = len(signals.received)

    def stop_starting(self, reason: str) -> None:
        if not self.stopped:
            self.stopped = reason
            names = ", ".join(handle.job.name for handle in self._running)
            self.tell("notice", f"No further job is started: {reason}." + (f" Waiting for {names}." if names else ""))

    def collect(self) -> None:
        """Take over what the running jobs did since the last look."""
        look = time.monotonic() >= self._next_look
        for handle, follower in list(self._running.items()):
            self._announce(handle)
            if handle.done():
                del self._running[handle]
                self._follow(handle.job, follower)
                self._keep(handle.record(), adopted=handle.job.name not in self._tries)
            elif look:
                self._follow(handle.job, follower)
        if look:
            self._next_look = time.monotonic() + TICK
            self.tell("tick")

    def _announce(self, handle: Handle) -> None:
        if handle.pid is not None and handle not in self._announced:
            self._announced.add(handle)
            state = Running(handle.started_at or "", handle.pid, handle.attempt.argv)
            record = Record(handle.job, state, handle.attempt.number)
            self.records[handle.job.name] = record
            self.tell("started", record)

    def _follow(self, job: Job, follower: Follower) -> None:
        lines = follower.advance()
        self.tell("progressed", job, follower.progress, lines)

    def _keep(self, record: Record, *, adopted: bool = False) -> None:
        name, status = record.job.name, record.status
        self.records[name] = record
        self.tell("finished", record)
        if status == COMPLETED or self.stopped:
            return
        options = self._options
        if adopted and status == INTERRUPTED:  # stopped because its engine was gone: its turn comes again
            self._waiting.appendleft(record.job)
        elif status in options.retry_statuses and (tries := self._tries.setdefault(name, 1)) <= options.retries:
            delay = retry_delay(options, tries)
            self._later.append((time.monotonic() + delay, record.job))
            self.tell("notice", f"{name} is tried again in {duration(delay)}, retry {tries} of {options.retries}.")
        else:
            self._failures += 1
            limit = options.failure_limit
            if limit is not None and self._failures >= limit:
                self.stop_starting(f"{count(self._failures, 'job')} did not complete, which is the limit")
