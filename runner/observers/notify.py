"""Observer of the engine that passes events to the process that sends notifications. It never waits for a network.

The bell of the terminal alone is rung here, between two events, so that it does not cut the table in two.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from runner.core import clock, program, redact
from runner.core.options import CONTINUE
from runner.core.printing import say
from runner.core.state import COMPLETED, INTERRUPTED, PENDING, SUCCESSES, Finished, Record
from runner.core.text import count, listed
from runner.engine.events import BatchEnded, BatchStarted, Event, JobEnded, JobProgressed, Tick
from runner.notify import choices, message, settings
from runner.notify.bell import Bell
from runner.notify.registry import NotSent
from runner.notify.sender import About
from runner.notify.settings import Named
from runner.observers.batch_state import BatchState
from runner.observers.registry import ObserverContext
from runner.processes.ready import ready
from runner.reports import best, terminal
from runner.reports.ending import best_jobs

PACKAGES = Path(__file__).resolve().parents[2]  # the folder that runner/ is in
PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from runner.notify.sender import main; sys.exit(main())"
NAMED = 8  # jobs in the message on the end
MOST_KEPT = 1 << 22  # bytes of events that the process has not read
READS_WITHIN, SENDS_WITHIN = 5.0, 10.0  # seconds after the end for which it is waited for; it goes on by itself


def make(context: ObserverContext) -> Notify:
    """The entry of the registry."""
    return Notify(context)


class Notify:
    """The notifications of one batch."""

    def __init__(self, context: ObserverContext) -> None:
        self._stream = context.stream
        self._state = BatchState(earlier=context.earlier)
        self._run = clock.now()
        self._sender: Sender | None = None
        self._bell: Bell | None = None
        self._nonfinite: set[tuple[str, int]] = set()  # jobs and attempts that are reported
        self._reports_best = False
        self._best: dict[str, float] = {}  # metric -> the best value so far

    def __call__(self, event: Event) -> None:
        self._state.apply(event)
        match event:
            case BatchStarted():
                self._start(event)
            case JobEnded(record, again) if not again and record.status not in (*SUCCESSES, INTERRUPTED):
                self._send(self._failed(record), ring=not record.cached)
            case JobEnded(record) if self._reports_best and record.status == COMPLETED:
                self._compare(record)
            case JobProgressed(job, progress) if not progress.finite:
                self._not_finite(self._state.records[job.name])
            case Tick() if self._sender is not None:
                self._sender.flush()
            case BatchEnded():
                self._end(event)

    def _start(self, event: BatchStarted) -> None:
        plan = event.plan
        channels = settings.channels(plan.options.notify)
        self._reports_best = choices.read().best
        redact.text("a sentence", plan.options.not_secret)  # compiles patterns, which would delay the first failure
        self._bell = _bell(channels)
        if any(one.kind != "bell" for one in channels):
            root, resume = str(plan.root), program.resume_command(plan.root)
            attended = self._stream.isatty()
            self._sender = Sender(About(plan.name, root, plan.options.notify, self._run, resume, attended))

    def _send(self, event: message.Event, *, ring: bool) -> None:
        if self._sender is not None:
            self._sender.send(event)
        if ring and self._bell is not None:
            title = message.compose(self._state.plan.name, "", [event]).title
            with contextlib.suppress(NotSent, OSError):
                self._bell.ring(title, self._stream)

    def _failed(self, record: Record) -> message.Event:
        assert isinstance(record.state, Finished)
        text = redact.text(terminal.headline(record), record.job.not_secret)
        return message.Event(message.FAILED, f"{message.FAILED}:{record.job.name}:{record.attempt}", text)

    def _not_finite(self, record: Record) -> None:
        """A loss that is not finite, where that does not end the job, which would be a failure."""
        key = record.job.name, record.attempt
        if self._state.plan.options.on_nan == CONTINUE and key not in self._nonfinite:
            self._nonfinite.add(key)
            at = self._state.progress[record.job.name].iteration
            text = f"{record.job.name}: its loss is not finite" + ("" if at is None else f" at iteration {at}")
            named = f"{message.NONFINITE}:{record.job.name}:{record.attempt}"
            self._send(message.Event(message.NONFINITE, named, redact.text(text, record.job.not_secret)), ring=True)

    def _compare(self, record: Record) -> None:
        """Report a job that is better than all before it; the first one has nothing to be compared with."""
        assert isinstance(record.state, Finished)
        metric = best.compared_by([{**record.state.result.final_metrics, **record.state.result.best_metrics}])
        last, lowest = best.of_record(record, metric) if metric else (None, None)
        value = last if lowest is None else lowest
        if metric is None or value is None or not math.isfinite(value):
            return
        before, direction = self._best.get(metric), best.better(metric)
        if before is not None and best.index([before, value], direction) == 0:
            return
        self._best[metric] = value
        if before is not None and not record.cached:
            text = f"{record.job.name}: {best.WORDS[direction]} {metric} so far, {best.number(value)}"
            named = f"{message.BEST}:{record.job.name}:{record.attempt}"
            said = redact.text(text, record.job.not_secret)
            self._send(message.Event(message.BEST, named, said, bad=False), ring=False)

    def _end(self, event: BatchEnded) -> None:
        left = [record.job.name for record in event.records if record.status not in SUCCESSES]
        failed = any(record.status not in (*SUCCESSES, INTERRUPTED, PENDING) for record in event.records)
        bad = failed or (bool(left) and event.stopped != INTERRUPTED)  # who presses Ctrl+C knows of it
        title = f"{len(left)} of {count(len(event.records), 'job')} did not complete" if left else "all completed"
        text = terminal.total(event.records, self._state.elapsed)
        best = best_jobs(event.records, self._state.settings)[:1]
        stopped = [f"Stopped: {event.stopped}."] if event.stopped else []
        named = [f"Not completed: {listed(left, NAMED)}."] if left else []
        said = " ".join([text, *stopped, *named, *best])
        said = redact.text(said, self._state.plan.options.not_secret)
        key = f"{message.ENDED}:{self._run}"
        self._send(message.Event(message.ENDED, key, said, bad, title), ring=True)
        for line in dict.fromkeys(self._sender.finish() if self._sender is not None else ()):
            say(f"Note: {line}", file=self._stream, flush=True)


def _bell(channels: Sequence[Named]) -> Bell | None:
    for one in channels:
        if isinstance(one.channel, Bell):
            return one.channel
    return None


class Sender:
    """The process, and what it has not read yet. Raises OSError once it is gone: the batch continues without it."""

    def __init__(self, about: About) -> None:
        read, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, str(PACKAGES)],
                stdin=read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(read)
        os.set_blocking(self._pipe, False)
        self._waiting = bytearray(json.dumps(about.to_json()).encode() + b"\n")
        self.flush()

    def send(self, event: message.Event) -> None:
        """Pass an event on. One for which no room is left is left out: its job is counted at the end."""
        line = json.dumps(event.to_json()).encode() + b"\n"
        if len(self._waiting) + len(line) <= MOST_KEPT or event.kind == message.ENDED:
            self._waiting += line
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes now."""
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                del self._waiting[: os.write(self._pipe, self._waiting)]

    def finish(self) -> list[str]:
        """Let it send the rest; what could not be sent, if that is known soon. It may wait for the morning."""
        until = time.monotonic() + READS_WITHIN
        while self._waiting and (left := until - time.monotonic()) > 0:
            ready(self._pipe, left, select.POLLOUT)
            self.flush()
        os.close(self._pipe)
        said, until = b"", time.monotonic() + SENDS_WITHIN
        assert self._process.stdout is not None
        while (left := until - time.monotonic()) > 0:
            if ready(self._process.stdout, left):
                part = os.read(self._process.stdout.fileno(), 1 << 16)
                if not part:
                    return said.decode(errors="replace").splitlines()
                said += part
        return ["a notification takes long; it is tried further in the background"]
