"""The process that sends the notifications of one batch: it reads events from its runner, and notices its end.

It has a session of its own: Ctrl+C and a closed terminal do not reach it, and a runner that is killed is reported.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from runner.core import clock
from runner.core.clock import Stamp
from runner.core.printing import say
from runner.core.text import plain, size
from runner.disk.append_log import Log
from runner.disk.layout import BatchPaths
from runner.notify import choices, ledger, settings
from runner.notify.delivery import Outbox
from runner.notify.gathering import ATTENDED, Gathering
from runner.notify.message import DEAD, ENDED, LOW_DISK, Event, Message, compose
from runner.notify.settings import Named
from runner.processes.ready import ready

LEAST_FREE = 1 << 30  # bytes of the disk of the batch; with fewer, it is reported
LOOK = 60.0  # seconds between two looks at the disk
HELD_LOOK = 30.0  # and between two at the clock, while messages wait for the morning


@dataclass(frozen=True, slots=True)
class About:
    """The first line that the runner writes. `run` is when it started, `resume` continues the batch.

    `attended`: the user sees it on a terminal.
    """

    batch: str
    root: str
    channels: tuple[str, ...]
    run: str
    resume: str
    attended: bool

    def to_json(self) -> dict[str, Any]:
        names = ("batch", "root", "channels", "run", "resume", "attended")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        return cls(**{**record, "channels": tuple(record["channels"])})


class Notebook:
    """The ledger of a batch and its log, written by several threads. What cannot be written is not: it is a report."""

    def __init__(self, root: Path, run: str | None = None) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._ledger = ledger.read(root)
        self._log = Log(BatchPaths(root).master_log)
        self._stamp = Stamp()
        self.failures: list[str] = []
        if run is not None:
            self._ledger = replace(self._ledger, run=run)
            self._write()

    @property
    def reported(self) -> tuple[str, ...]:
        return self._ledger.reported

    def report(self, channel: Named, message: Message, error: str | None) -> None:
        """Keep what became of a message."""
        how = f"could not be sent by {channel.name}: {error}" if error else f"was sent by {channel.name}"
        self._keep(channel.name, message, error, f'Notification "{message.title}" {how}')

    def left_to_terminal(self, message: Message) -> None:
        self._keep(None, message, None, "No notification: the batch was short, and its terminal was in front")

    def held(self, until: str) -> None:
        """The last message waits: say so, and let the runner go, which reads until the end of our output."""
        line = f"The message about the end of the batch waits until {until} (quiet hours)"
        with self._lock:
            self._log.write(self._stamp() + line.encode() + b"\n")
        try:
            say(line[:1].lower() + line[1:], flush=True)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        except OSError:
            pass

    def _keep(self, channel: str | None, message: Message, error: str | None, line: str) -> None:
        with self._lock:
            self._ledger = self._ledger.with_notice(channel, message, error)
            self._write()
            self._log.write(self._stamp() + plain(line).encode(errors="replace") + b"\n")
            if error:
                self.failures.append(f"{channel}: {error}")

    def _write(self) -> None:
        try:
            ledger.write(self._root, self._ledger)
        except OSError:  # a full disk must not keep the message back; it may be repeated
            pass


class Sender:
    """The loop of the process. `pipe` is read until the runner closes it, or is gone."""

    def __init__(self, about: About, pipe: int) -> None:
        self._about = about
        self._pipe, self._rest = pipe, b""
        self._notebook = Notebook(Path(about.root), about.run)
        channels = [one for one in settings.channels(about.channels) if one.kind != "bell"]  # the runner's own
        self._choices = choices.read()
        self._outbox = Outbox(channels, self._notebook.report)
        self._with_report = [one for one in channels if getattr(one.channel, "attaches", False)]
        self._started = time.monotonic()
        silent = self._started + ATTENDED if about.attended else 0.0
        self._gathering = Gathering(self._notebook.reported, silent)
        self._next_look = self._started

    def run(self) -> list[str]:
        """Until the batch has ended and all is delivered; returns what could not be."""
        ended = False
        while not ended:
            events = self._wait()
            if events is None:
                events = [self._dead()]
            for event in events:
                self._gathering.add(event)
                ended = ended or event.kind in (ENDED, DEAD)
            self._look_at_the_disk()
            if not ended and not self._held() and (due := self._gathering.take(time.monotonic())):
                self._outbox.put(self._message(due))
        self._send_the_rest()
        self._outbox.close()
        return self._notebook.failures

    def _send_the_rest(self) -> None:
        rest = self._gathering.rest()
        if not rest:
            return
        message = self._message(rest)
        short = time.monotonic() - self._started < ATTENDED
        if self._about.attended and short and message.kind == ENDED:
            self._notebook.left_to_terminal(message)
        elif self._waited_for_the_morning(bad=message.urgent):
            self._put(message)

    def _put(self, message: Message) -> None:
        """Send the last message: first on the channels that need no report, which takes some seconds to make."""
        others = [one for one in self._outbox.channels if one not in self._with_report]
        self._outbox.put(message, others)
        if self._with_report:
            reporting = import_module("runner.reports.document.reporting")  # what only such channels need
            made = reporting.made(Path(self._about.root)) if message.kind == ENDED else None
            self._outbox.put(replace(message, report=made), self._with_report)

    def _held(self) -> bool:
        """Whether what waits has to wait for the end of the quiet hours."""
        return self._choices.held(datetime.fromtimestamp(clock.seconds()).astimezone(), bad=self._gathering.is_bad) > 0

    def _waited_for_the_morning(self, *, bad: bool) -> bool:
        """Wait for the end of the quiet hours; False if another run of the batch has taken over meanwhile."""
        if not self._choices.held(datetime.fromtimestamp(clock.seconds()).astimezone(), bad=bad):
            return True
        self._notebook.held(self._choices.quiet_until)
        while (left := self._choices.held(datetime.fromtimestamp(clock.seconds()).astimezone(), bad=bad)) > 0:
            time.sleep(min(left, HELD_LOOK))
        return ledger.read(Path(self._about.root)).run == self._about.run

    def _wait(self) -> list[Event] | None:
        """The events that came, after a while at the latest; None if the runner is gone."""
        now = time.monotonic()
        due = None if self._held() else self._gathering.next_at()
        at = self._next_look if due is None else min(due, self._next_look)
        if not ready(self._pipe, max(at - now, 0.0)):
            return []
        read = os.read(self._pipe, 1 << 16)
        if not read:
            return None
        *lines, self._rest = (self._rest + read).split(b"\n")
        return list(_events(lines))

    def _dead(self) -> Event:
        what = f"The runner of {self._about.batch} was killed, and nothing more is started"
        return Event(DEAD, f"{DEAD}:{self._about.run}", f"{what}. Continue with: {self._about.resume}")

    def _look_at_the_disk(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK
        try:
            free = shutil.disk_usage(self._about.root).free
        except OSError:
            return
        if free < LEAST_FREE:
            text = f"only {size(free)} are free on the disk of the batch"
            self._gathering.add(Event(LOW_DISK, f"{LOW_DISK}:{self._about.run}", text))

    def _message(self, events: list[Event]) -> Message:
        return compose(self._about.batch, self._about.root, events, self._choices.link)


def _events(lines: list[bytes]) -> Iterator[Event]:
    for line in lines:
        yield Event.from_json(json.loads(line))


def main() -> int:
    """Read the description of the batch, then events, from standard input; print what could not be sent."""
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(0, 1)  # what comes after the line stays in the pipe
        if not read:  # the runner is gone before it began
            return 0
        line += read
    about = About.from_json(json.loads(line))
    try:
        failures = Sender(about, 0).run()
    except Exception as error:  # a fault of ours belongs into the log of the batch
        failures = [f"the process that sends them failed ({type(error).__name__}: {error})"]
        Log(BatchPaths(about.root).master_log).write(Stamp()() + f"Notifications: {failures[0]}\n".encode())
    try:
        for failure in failures:
            say(f"notification by {failure}")
        sys.stdout.flush()
    except OSError:  # the runner has left meanwhile
        pass
    os._exit(bool(failures))  # threads that wait for a server are left
