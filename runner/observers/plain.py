"""Observer of the engine that prints plain lines, fit for a file, a pipe and a terminal."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from runner.core.job import Plan
from runner.core.printing import say, silence
from runner.core.program import pasted
from runner.core.state import SUCCESSES, Record
from runner.core.text import ascii_signs, count, duration, shown
from runner.disk.layout import JobPaths
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
from runner.engine.progress import Progress
from runner.observers.batch_state import NO_PROGRESS, BatchState
from runner.observers.registry import ObserverContext
from runner.observers.signs import shows_unicode
from runner.reports import terminal

HEARTBEAT = 60.0  # seconds between two signs of life in plain output


def make(context: ObserverContext) -> Lines:
    """The entry of the registry."""
    return Lines(context.stream, brief=context.quiet, verbose=context.verbose)


def measures(progress: Progress, remaining: float | None) -> list[str]:
    """`iter 120/5000`, `loss 2.31`, `val 2.40`, `3.2 it/s`, `ETA 4 min 05 s`: those that are known."""
    parts = []
    if progress.iteration is not None:
        parts.append(f"iter {progress.iteration}" + (f"/{progress.total}" if progress.total else ""))
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4f}")
    if progress.val_loss is not None:
        parts.append(f"val {progress.val_loss:.4f}")
    if progress.speed is not None:
        parts.append(f"{progress.speed:.3g} it/s")
    if remaining is not None:
        parts.append(f"ETA {duration(remaining)}")
    return parts


def heartbeats(state: BatchState) -> list[str]:
    """A line for each running job: for how long it runs, what it does if it does not train, and how far it is."""
    lines = []
    for name in state.since:
        phase = [phase] if (phase := state.phase(name)) else []
        known = measures(state.progress.get(name, NO_PROGRESS), state.remaining_of(name))
        lines.append(", ".join([f"{name}: running for {duration(state.running_for(name))}", *phase, *known]))
    return lines


class Lines:
    """One plain line an event, and a heartbeat a minute. `brief` leaves only failures, notices and the end.

    `verbose` adds what the jobs print; of a job that prints megabytes a second, the latest.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        brief: bool = False,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = BatchState(clock)
        self._stream = stream
        self._unicode = shows_unicode(stream)
        self._brief = brief
        self._verbose = verbose
        self._clock = clock
        self._next_heartbeat = clock() + HEARTBEAT

    def __call__(self, event: Event) -> None:
        self.state.apply(event)
        match event:
            case JobProgressed(job, _, lines):
                for line in lines if self._verbose else ():
                    self._print(f"{job.name} | {line}")
            case Tick():
                self._tick()
            case JobStarted(record) if not self._brief:
                self._print_start(record)
            case JobEnded(record, again):
                self._print_end(record, again=again)
            case JobWaiting(job, reason) if reason and not self._brief:
                self._print(f"{job.name}: waiting: {reason}")
            case Notice(text):
                self._print(text)
            case BatchStarted():
                self._print_plan(self.state.plan)
            case BatchEnded():
                self._print_report(event)

    def _print_plan(self, plan: Plan) -> None:
        if self._brief:
            return
        self._print(f"{count(len(plan.jobs), 'job')} in {shown(plan.root)}")
        for line in terminal.footprint(plan):
            self._print(line)
        for notice in plan.notices:
            self._print(f"Note: {notice}")

    def _print_start(self, record: Record) -> None:
        name = record.job.name
        follow = pasted(["tail", "-f", shown(JobPaths(record.job.out_dir).combined)])
        self._print(f"[{self.state.number(name)}/{self.state.total}] {name}: started, {follow}")

    def _print_end(self, record: Record, *, again: bool) -> None:
        if not self._brief or record.status not in SUCCESSES or record.warnings:
            number = "" if again else f"[{self.state.ended}/{self.state.total}] "
            self._print(f"{number}{terminal.headline(record)}", warning=bool(record.warnings))

    def _tick(self) -> None:
        if not self._brief and self._clock() >= self._next_heartbeat:
            self._next_heartbeat = self._clock() + HEARTBEAT
            for line in heartbeats(self.state):
                self._print(line)

    def _print_report(self, event: BatchEnded) -> None:
        width, height = self._size()
        seconds, stopped = self.state.elapsed, event.stopped
        report = terminal.report(self.state.plan, event.records, seconds, stopped, width=width, height=height)
        self._print("")
        for line in report.splitlines():
            self._print(line)

    def _size(self) -> tuple[int | None, int | None]:
        """The width and the height of the terminal; None where there is none."""
        return shutil.get_terminal_size() if self._stream.isatty() else (None, None)

    def _signs(self, text: str) -> str:
        """The text with signs that can be shown."""
        return text if self._unicode else ascii_signs(text)

    def _print(self, text: str, *, warning: bool = False) -> None:
        """Print a line. `warning`: it is about a job with one, which a terminal shows in another colour."""
        try:
            say(self._signs(text), file=self._stream, flush=True)
        except (OSError, ValueError):  # `| head` has seen enough, or the terminal is gone: the batch continues
            silence(self._stream)
