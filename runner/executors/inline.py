"""Run jobs as a function in this process, one at a time: closures, debuggers and notebooks work. Stores nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from runner.core import clock
from runner.core.job import Attempt, Job
from runner.core.state import INTERRUPTED, Finished, Outcome, Record
from runner.core.stopwatch import Stopwatch
from runner.engine.protocols import How, Lease, Wait
from runner.processes.signals import Signals


class Work(Protocol):
    """What is done for a job: `call` may raise anything, `keep` and `fail` store what comes of it."""

    def call(self, job: Job) -> Any: ...
    def keep(self, job: Job, value: Any, spent: Stopwatch) -> Outcome: ...
    def fail(self, job: Job, error: BaseException, spent: Stopwatch) -> Outcome: ...


def perform(work: Work, job: Job, signals: Signals | None = None) -> Outcome:
    """Do the work of one job now. Ctrl+C ends it with a KeyboardInterrupt, like any program of the user's."""
    spent = Stopwatch()
    interrupts: list[int] = []
    try:
        with _program_signals(signals, interrupts):
            value = work.call(job)
    except BaseException as error:
        left_debugger = type(error).__name__ == "BdbQuit"
        if interrupts or isinstance(error, KeyboardInterrupt) or left_debugger:
            return _INTERRUPTED
        return work.fail(job, error, spent)
    # A function that caught the interrupt and returned early has only part of a result.
    return _INTERRUPTED if interrupts else work.keep(job, value, spent)


_INTERRUPTED = Outcome(INTERRUPTED, signal="SIGINT", error="interrupted")


@contextmanager
def _program_signals(signals: Signals | None, interrupts: list[int]) -> Iterator[None]:
    """The program's own handlers, for its function. Where Ctrl+C has Python's, it is noted in `interrupts`."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    if signals is not None:
        signals.lend()
    ours = _main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if ours and signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if signals is not None:
            signals.take_back()


def _main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class Called:
    """One job of this process. A Handle of the engine."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.attempt = Attempt(job, 1, job.argv, job.env)
        self.pid: int | None = os.getpid()
        self.started_at: str | None = clock.now()
        self.announced = False
        self._spent = Stopwatch()
        self._outcome: Outcome | None = None

    def finish(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def done(self) -> bool:
        return self._outcome is not None

    def record(self) -> Record:
        assert self._outcome is not None
        spent = self._spent.read()
        state = Finished(self.started_at, spent["end_time"], spent["duration_seconds"], self._outcome)
        return Record(self.job, state)

    def stop(self, how: How) -> None:
        if self._outcome is None:  # not started: a job that runs gets the signal itself
            self._outcome = Outcome(INTERRUPTED, error="interrupted")


class Inline:
    """An Executor of the engine, for one job at a time. Owns nothing that outlives a job."""

    def __init__(self, work: Work, signals: Signals) -> None:
        self._work = work
        self._signals = signals
        self._waiting: deque[Called] = deque()

    def offer(self, job: Job) -> Lease | Wait:
        """Room, unless a job waits already."""
        return Wait() if self._waiting else Lease()

    def submit(self, job: Job, lease: Lease) -> Called:
        handle = Called(job)
        self._waiting.append(handle)
        return handle

    def adopt(self, job: Job) -> None:
        """There is nothing to adopt: what ran in another process ended with it."""

    def wait(self, seconds: float, wake: int) -> None:
        """Run the job; at the first call after its submission return at once, so that its start is announced first."""
        if not self._waiting:
            return
        handle = self._waiting[0]
        if not handle.announced:
            handle.announced = True
            return
        self._waiting.popleft()
        if handle.done():  # stopped in between
            return
        outcome = perform(self._work, handle.job, self._signals)
        handle.finish(outcome)
        if outcome.status == INTERRUPTED:
            self._signals.note(signal.SIGINT)  # for the engine it is like a Ctrl+C between two jobs
