"""Observer of the engine that writes to Hydra's log, so that `hydra/hydra_logging` decides where and whether."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from runner.core import redact
from runner.core.job import Plan
from runner.core.state import COMPLETED, Record
from runner.core.text import count, plain, shown
from runner.engine.events import BatchEnded, BatchStarted, Event, JobEnded, JobStarted, JobWaiting, Notice, Tick
from runner.observers.batch_state import BatchState
from runner.observers.plain import HEARTBEAT, heartbeats
from runner.reports import terminal

log = logging.getLogger(__name__)


class LogObserver:
    """A line when a job starts and when it ends, and a sign of life a minute. `overrides`: name of a job -> words."""

    def __init__(self, overrides: Mapping[str, Sequence[str]], workers: int) -> None:
        self.state = BatchState()
        self._overrides = overrides
        self._workers = workers
        self._next_heartbeat = time.monotonic() + HEARTBEAT

    def __call__(self, event: Event) -> None:
        self.state.apply(event)
        match event:
            case Tick():
                self._tick()
            case JobStarted(record):
                name = record.job.name
                words = redact.argv(self._overrides[name], record.job.not_secret)
                log.info(f"\t#{plain(name)} : {plain(' '.join(words))}")
            case JobEnded(record):
                _log_end(record)
            case JobWaiting(job, reason) if reason:
                log.info(f"\t#{plain(job.name)}: waiting: {plain(reason)}")
            case Notice(text):
                log.info(plain(text))
            case BatchStarted(plan):
                log.info(f"Launching {count(len(plan.jobs), 'job')}, {self._workers} at once, in {shown(plan.root)}")
            case BatchEnded():
                _log_report(self.state.plan, event)

    def _tick(self) -> None:
        if time.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = time.monotonic() + HEARTBEAT
            for line in heartbeats(self.state):
                log.info(f"\t#{plain(line)}")


def _log_end(record: Record) -> None:
    if record.status == COMPLETED:
        log.log(logging.WARNING if record.warnings else logging.INFO, f"\t#{terminal.headline(record)}")
    else:
        log.error(f"\t#{terminal.headline(record)}; its logs: {shown(record.job.out_dir)}")


def _log_report(plan: Plan, event: BatchEnded) -> None:
    left = [record for record in event.records if record.status != COMPLETED]
    if left:
        names = ", ".join(f"#{plain(record.job.name)}" for record in left[:10]) + (" …" if len(left) > 10 else "")
        cause = f" ({event.stopped})" if event.stopped else ""
        log.error(f"{count(len(left), 'job')} of {len(event.records)} did not complete{cause}: {names}")
        again = f"hydra.sweep.dir={shown(plan.root)} hydra.launcher.resume=true"
        log.info(f"To run these again: the same command with {again}")
