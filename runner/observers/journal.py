"""Observer of the engine that writes master_log.txt and the views of a batch. It survives a disk that fails."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Sequence

from runner.core import redact
from runner.core.clock import Stamp, now
from runner.core.printing import say
from runner.core.state import Record, Running
from runner.core.text import command, count, plain
from runner.disk import atomic, requests, results
from runner.disk.append_log import Log
from runner.disk.layout import BatchPaths
from runner.engine.events import (
    BatchEnded,
    BatchStarted,
    Event,
    JobEnded,
    JobProgressed,
    JobStarted,
    JobWaiting,
    Notice,
    Tick,
)
from runner.observers.batch_state import BatchState
from runner.observers.registry import ObserverContext
from runner.reports import terminal
from runner.reports.registry import views_of

PAUSE = 20  # views are written again after this many times what their last writing took: at most a 20th of the time
REFRESH = 1.0  # seconds between two writings of the views at the least
LINE_WIDTH = 240

#: Lines of a job that belong into a high-level log, and how often (seconds between two, burst).
_IMPORTANT = re.compile(r"\b(step|val|validation|stage|error|exception|warning|sav(ing|ed)|traceback)\b", re.IGNORECASE)
_ROUTINE = re.compile(r"\b(iter|iteration|loss|epoch)\b", re.IGNORECASE)
IMPORTANT_EVERY, ROUTINE_EVERY, BURST = 2.0, 15.0, 20


def make(context: ObserverContext) -> Journal:
    """The entry of the registry."""
    return Journal(context.earlier)


class Bucket:
    """Lets `burst` lines pass, then one in `every` seconds."""

    def __init__(self, every: float, burst: int, clock: Callable[[], float]) -> None:
        self._every = every
        self._burst = burst
        self._tokens = float(burst)
        self._clock = clock
        self._last = clock()

    def take(self) -> bool:
        moment = self._clock()
        self._tokens = min(self._tokens + (moment - self._last) / self._every, self._burst)
        self._last = moment
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Journal:
    """The files of one batch, beside the folders of its jobs. `earlier` are jobs of it that other plans had before."""

    def __init__(self, earlier: Sequence[Record] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.state = BatchState(clock, earlier)
        self._clock = clock
        self._log: Log | None = None
        self._stamp = Stamp()
        self._stale = False
        self._noted: dict[str, str] = {}  # why jobs wait, as it was last written down
        self._next_refresh = 0.0
        self._buckets: dict[str, tuple[Bucket, Bucket]] = {}
        self._not_secret: Sequence[str] = ()
        self._secrets: dict[str, tuple[str, ...]] = {}  # of the jobs that run, which may print them

    def __call__(self, event: Event) -> None:
        self.state.apply(event)
        self._note_waiting()
        match event:
            case JobProgressed(job, _, lines):
                if lines:
                    self._log_output(job.name, lines)
            case Tick():
                if self._stale and self._clock() >= self._next_refresh:
                    self._refresh()
            case JobStarted(record):
                self._log_start(record)
            case JobEnded(record):
                self._buckets.pop(record.job.name, None)
                self._secrets.pop(record.job.name, None)
                self._write(terminal.headline(record))
                self._stale = True
            case JobWaiting(job, reason) if reason:
                self._write(f"{job.name}: waiting: {reason}")
            case Notice(text):
                self._write(text)
            case BatchStarted():
                self._open(event)
            case BatchEnded():
                self._close(event)

    def _open(self, event: BatchStarted) -> None:
        plan = event.plan
        paths = BatchPaths(plan.root)
        self._not_secret = plan.options.not_secret
        self._views = views_of(self.state.plan)
        atomic.end_torn_line(paths.master_log)
        self._log = Log(paths.master_log)
        if self._log.cause is not None:
            note = f"Note: {paths.master_log}: {self._log.cause}; nothing is logged there, the batch runs all the same"
            say(note, file=sys.stderr)
        self._write(f"Batch {plan.name}: {count(len(plan.jobs), 'job')}, pid {os.getpid()}, in {plan.root}")
        for line in terminal.footprint(plan):
            self._write(line)
        for key, value in plan.overrides.items():
            self._write(f"Override {key} = {value}")
        for notice in plan.notices:
            self._write(f"Note: {notice}")
        self._refresh()

    def _log_start(self, record: Record) -> None:
        assert isinstance(record.state, Running)
        name, job = record.job.name, record.job
        self._secrets[name] = redact.known_values(record.state.argv, job.env, job.not_secret)
        self._write(f"[{self.state.number(name)}/{self.state.total}] {name}: started, pid {record.state.pid}")
        self._write(f"{name}: command {command(redact.argv(record.state.argv, record.job.not_secret))}")
        self._stale = self._stale or any(view.on_start for view in self._views)

    def _log_output(self, name: str, lines: Sequence[str]) -> None:
        """The lines of a job that matter for the batch, as many as its buckets let pass."""
        if name not in self._buckets:
            important = Bucket(IMPORTANT_EVERY, BURST, self._clock)
            self._buckets[name] = (important, Bucket(ROUTINE_EVERY, 3, self._clock))
        important, routine = self._buckets[name]
        for line in lines:
            bucket = important if _IMPORTANT.search(line) else routine if _ROUTINE.search(line) else None
            if bucket is not None and bucket.take():
                said = redact.text(line.strip(), self._not_secret, self._secrets.get(name, ()))
                self._write(f"{name}: {plain(said, LINE_WIDTH)}")

    def _close(self, event: BatchEnded) -> None:
        self._refresh()
        for line in terminal.report(self.state.plan, event.records, self.state.elapsed, event.stopped).splitlines():
            self._write(line)

    def _refresh(self) -> None:
        """Write the views. Their cost grows with the batch, so they are written the more rarely the longer it takes."""
        began = self._clock()
        self._stale = False
        records, timestamp = list(self.state.records.values()), now()
        for view in self._views:
            try:
                for name, content in view.files(records, timestamp).items():
                    results.write_view(self.state.plan.root, name, content)
            except OSError as error:
                self._write(f"cannot write {error.filename or self.state.plan.root}: {error.strerror or error}")
        self._next_refresh = self._clock() + max(REFRESH, PAUSE * (self._clock() - began))

    def _note_waiting(self) -> None:
        """Keep for `status` why jobs wait, when that changes."""
        reasons = {name: reason for name, reason in self.state.reasons.items() if reason}
        if reasons != self._noted:
            self._noted = reasons
            requests.note_reasons(self.state.plan.root, reasons)

    def _write(self, text: str) -> None:
        if self._log is not None:
            words = redact.text(plain(text), self._not_secret)
            self._log.write(self._stamp() + words.encode(errors="replace") + b"\n")
