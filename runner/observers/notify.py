"""Observer of the engine that passes events to the process that sends notifications. It never waits for a network.

The bell of the terminal alone is rung here, between two events, so that it does not cut the table in two.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from runner.core import clock, program, redact
from runner.core.printing import say
from runner.core.state import COMPLETED, INTERRUPTED, Finished, Record
from runner.core.text import count, listed
from runner.engine.events import BatchEnded, BatchStarted, Event, JobEnded, Tick
from runner.notify import message, settings
from runner.notify.bell import Bell
from runner.notify.registry import NotSent
from runner.notify.sender import About
from runner.notify.settings import Named
from runner.observers.batch_state import BatchState
from runner.observers.registry import ObserverContext
from runner.reports import terminal
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

    def __call__(self, event: Event) -> None:
        self._state.apply(event)
        match event:
            case BatchStarted():
                self._start(event)
            case JobEnded(record, again) if not again and record.status not in (COMPLETED, INTERRUPTED):
                self._send(self._failed(record), ring=not record.cached)
            case Tick() if self._sender is not None:
                self._sender.flush()
            case BatchEnded():
                self._end(event)

    def _start(self, event: BatchStarted) -> None:
        plan = event.plan
        channels = settings.channels(plan.options.notify)
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

    def _end(self, event: BatchEnded) -> None:
        left = [record.job.name for record in event.records if record.status != COMPLETED]
        title = f"{len(left)} of {count(len(event.records), 'job')} did not complete" if left else "all completed"
        text = terminal.total(event.records, self._state.elapsed)
        best = best_jobs(event.records, self._state.settings)[:1]
        stopped = [f"Stopped: {event.stopped}."] if event.stopped else []
        named = [f"Not completed: {listed(left, NAMED)}."] if left else []
        said = " ".join([text, *stopped, *named, *best])
        said = redact.text(said, self._state.plan.options.not_secret)
        key = f"{message.ENDED}:{self._run}"
        self._send(message.Event(message.ENDED, key, said, bool(left), title), ring=True)
        for line in dict.fromkeys(self._sender.finish() if self._sender is not None else ()):
            say(f"Note: notification by {line}", file=self._stream, flush=True)


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
        """Let it send the rest; what could not be sent, if that is known soon."""
        until = time.monotonic() + READS_WITHIN
        while self._waiting and (left := until - time.monotonic()) > 0:
            select.select([], [self._pipe], [], left)
            self.flush()
        os.close(self._pipe)
        try:
            failures, _ = self._process.communicate(timeout=SENDS_WITHIN)
        except subprocess.TimeoutExpired:
            return ["a channel takes long; it is tried further in the background"]
        return failures.decode(errors="replace").splitlines()
