"""The only loop over jobs. Asks an executor to run them and tells observers; starts no process, writes no file."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Literal, Protocol

from runner import store
from runner.job import Job, Plan
from runner.progress import Follower, Progress
from runner.signals import Signals
from runner.state import COMPLETED, Finished, Record, Running

TICK = 0.25  # seconds between two looks at what the running jobs have written


class Handle(Protocol):
    """A job that was submitted."""

    job: Job
    pid: int | None
    started_at: str | None

    def done(self) -> bool: ...
    def record(self) -> Record: ...
    def stop(self, how: Literal["stop", "kill"]) -> None: ...


class Executor(Protocol):
    """Where jobs run."""

    slots: int

    def submit(self, job: Job, attempt: int = 1) -> Handle: ...
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
    *,
    max_failures: int | None = None,
) -> list[Record]:
    """Run every job of `plan`, as many at once as the executor has slots; a job's failure is data.

    A first signal asks the running jobs to save and leave, a second kills them; the jobs not begun stay pending.
    So they do once `max_failures` jobs did not complete. Returns a record for each job, in the plan's order.
    """
    batch = _Batch(plan, executor, observers)
    batch.tell("began", plan)
    while batch.running or (batch.waiting and not batch.stopped):
        batch.start_what_fits()
        executor.wait(TICK, signals.fileno())
        signals.drain()
        batch.heed(len(signals.received))
        batch.collect()
        if max_failures is not None and batch.failures >= max_failures:
            batch.stop_starting(f"{batch.failures} did not complete, the limit of --max_failures")
    records = [batch.records[job.name] for job in plan.jobs]
    batch.tell("ended", records, batch.stopped)
    return records


class _Batch:
    """What is waiting, what runs, and what is known."""

    def __init__(self, plan: Plan, executor: Executor, observers: Sequence[Observer]) -> None:
        self.records = {job.name: Record(job) for job in plan.jobs}
        self.waiting = deque(plan.jobs)
        self.running: dict[Handle, Follower] = {}
        self.failures = 0
        self.stopped: str | None = None  # why no further job is started
        self._executor = executor
        self._observers = observers
        self._signals_heeded = 0
        self._announced: set[str] = set()
        self._next_look = 0.0

    def tell(self, event: str, *what: object) -> None:
        for observer in self._observers:
            getattr(observer, event)(*what)

    def start_what_fits(self) -> None:
        while self.waiting and not self.stopped and len(self.running) < self._executor.slots:
            job = self.waiting.popleft()
            try:
                handle = self._executor.submit(job)
            except OSError as error:
                result = store.lost(
                    job, 1, f"cannot be started: {error.strerror or error} ({error.filename or job.out_dir})"
                )
                store.write_result(job, result)
                self._keep(store.record(job, result))
            else:
                self.running[handle] = Follower(job)

    def heed(self, signals: int) -> None:
        """Stop what runs: gently at the first signal, at once at the second."""
        for number in range(self._signals_heeded, signals):
            how: Literal["stop", "kill"] = "stop" if number == 0 else "kill"
            for handle in self.running:
                handle.stop(how)
            names = ", ".join(handle.job.name for handle in self.running) or "no job"
            if number == 0:
                self.stop_starting("interrupted")
                self.tell("notice", f"Stopping: asked {names} to save and leave. A second Ctrl+C kills at once.")
            elif number == 1:
                self.tell("notice", f"Killing {names} and every process below.")
        self._signals_heeded = signals

    def stop_starting(self, reason: str) -> None:
        self.stopped = self.stopped or reason

    def collect(self) -> None:
        """Take over what the running jobs did since the last look."""
        look = time.monotonic() >= self._next_look
        for handle, follower in list(self.running.items()):
            self._announce(handle)
            if handle.done():
                del self.running[handle]
                self._follow(handle.job, follower)
                self._keep(handle.record())
            elif look:
                self._follow(handle.job, follower)
        if look:
            self._next_look = time.monotonic() + TICK
            self.tell("tick")

    def _announce(self, handle: Handle) -> None:
        if handle.pid is not None and handle.job.name not in self._announced:
            self._announced.add(handle.job.name)
            record = Record(handle.job, Running(handle.started_at or "", handle.pid))
            self.records[handle.job.name] = record
            self.tell("started", record)

    def _follow(self, job: Job, follower: Follower) -> None:
        lines = follower.advance()
        self.tell("progressed", job, follower.progress, lines)

    def _keep(self, record: Record) -> None:
        self.records[record.job.name] = record
        assert isinstance(record.state, Finished)
        if record.state.outcome.status != COMPLETED:
            self.failures += 1
        self.tell("finished", record)
