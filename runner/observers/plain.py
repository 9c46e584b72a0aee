"""Observer of the engine that talks to a person in plain lines, fit for a file, a pipe and a terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from runner.core.job import Job, Plan
from runner.core.state import COMPLETED, Finished, Record, Running
from runner.core.text import command, count, duration, plain, shown
from runner.disk.layout import JobPaths
from runner.engine.progress import Progress
from runner.reports import terminal

HEARTBEAT = 60.0  # seconds between two signs of life in plain output


@dataclass(slots=True)
class Known:
    """What an observer knows of the batch."""

    plan: Plan
    records: dict[str, Record]
    progress: dict[str, Progress]
    since: dict[str, float]
    began: float
    ended: int = 0

    @classmethod
    def of(cls, plan: Plan) -> Known:
        return cls(plan, {job.name: Record(job) for job in plan.jobs}, {}, {}, time.monotonic())

    def remaining(self) -> float | None:
        """Seconds until the batch ends, from the jobs that ended and the speed of those that run."""
        done = [
            r.state.seconds for r in self.records.values() if isinstance(r.state, Finished) and r.status == COMPLETED
        ]
        running = [name for name, record in self.records.items() if isinstance(record.state, Running)]
        whole = list(done)
        left = 0.0
        for name in running:
            rest = self.progress.get(name, Progress()).remaining
            spent = time.monotonic() - self.since[name]
            if rest is not None:
                whole.append(spent + rest)
            elif done:
                rest = max(sum(done) / len(done) - spent, 0)
            else:
                return None
            left = max(left, rest)
        waiting = sum(record.status == "pending" for record in self.records.values())
        if not waiting:
            return left
        return left + waiting * sum(whole) / len(whole) / max(len(running), 1) if whole else None


def measures(progress: Progress) -> list[str]:
    """`iter 120/5000`, `loss 2.31`, `val 2.40`, `3.2 it/s`, `ETA 4 min 05 s`: those that are known."""
    said = []
    if progress.iteration is not None:
        said.append(f"iter {progress.iteration}" + (f"/{progress.total}" if progress.total else ""))
    if progress.loss is not None:
        said.append(f"loss {progress.loss:.4f}")
    if progress.val_loss is not None:
        said.append(f"val {progress.val_loss:.4f}")
    if progress.speed is not None:
        said.append(f"{progress.speed:.3g} it/s")
    if progress.remaining is not None:
        said.append(f"ETA {duration(progress.remaining)}")
    return said


class Lines:
    """One plain line an event, and a heartbeat a minute. `brief` leaves only failures and the end.

    `verbose` adds what the jobs print; of one that prints megabytes a second, the newest.
    """

    def __init__(self, stream: TextIO, *, brief: bool = False, verbose: bool = False) -> None:
        self._stream = stream
        self._brief = brief
        self._verbose = verbose
        self._next_beat = time.monotonic() + HEARTBEAT

    def began(self, plan: Plan) -> None:
        self._known = Known.of(plan)
        if not self._brief:
            self._say(f"{count(len(plan.jobs), 'job')} in {shown(plan.root)}")
            for line in terminal.footprint(plan):
                self._say(line)
            for notice in plan.notices:
                self._say(f"Note: {notice}")

    def started(self, record: Record) -> None:
        name = record.job.name
        self._known.records[name] = record
        self._known.since[name] = time.monotonic()
        if not self._brief:
            number = list(self._known.records).index(name) + 1
            log = command([shown(JobPaths(record.job.out_dir).combined)])
            self._say(f"[{number}/{len(self._known.records)}] {name}: started, tail -f {log}")

    def progressed(self, job: Job, progress: Progress, lines: Sequence[str]) -> None:
        self._known.progress[job.name] = progress
        for line in lines if self._verbose else ():
            self._say(f"{job.name} | {line}")

    def finished(self, record: Record) -> None:
        self._known.records[record.job.name] = record
        self._known.ended += 1
        if not self._brief or record.status != COMPLETED:
            self._say(f"[{self._known.ended}/{len(self._known.records)}] {terminal.headline(record)}")

    def notice(self, text: str) -> None:
        self._say(text)

    def tick(self) -> None:
        if self._brief or time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + HEARTBEAT
        for name, record in self._known.records.items():
            if isinstance(record.state, Running):
                spent = duration(time.monotonic() - self._known.since[name])
                self._say(
                    ", ".join([f"{name}: running for {spent}", *measures(self._known.progress.get(name, Progress()))])
                )

    def ended(self, records: Sequence[Record], stopped: str | None) -> None:
        report = terminal.report(self._known.plan, records, time.monotonic() - self._known.began, stopped)
        self._say("")
        for line in report.splitlines():
            self._say(line)

    def _say(self, text: str) -> None:
        try:
            print(plain(text), file=self._stream, flush=True)
        except (OSError, ValueError):  # `| head` has seen enough, or the terminal is gone: the batch goes on
            silence(self._stream)


def silence(stream: TextIO) -> None:
    """Let a stream that nobody reads any more lead to nowhere; Python would fail at its exit when it flushes it."""
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())
    except (OSError, ValueError):  # no real file, or closed
        pass
