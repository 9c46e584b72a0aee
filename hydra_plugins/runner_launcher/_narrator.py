"""Observer of the engine that speaks through Hydra's log, so that `hydra/hydra_logging` decides where and whether."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from runner.core.job import Job, Plan
from runner.core.state import COMPLETED, Record, Running
from runner.core.text import count, duration, plain, shown
from runner.engine.progress import Progress
from runner.observers.plain import HEARTBEAT, measures
from runner.reports import terminal

log = logging.getLogger(__name__)


class Narrator:
    """A line when a job starts and when it ends, and a sign of life a minute. `overrides`: name of a job -> words."""

    def __init__(self, overrides: Mapping[str, Sequence[str]], workers: int) -> None:
        self._overrides = overrides
        self._workers = workers
        self._running: dict[str, tuple[float, Progress]] = {}
        self._next_beat = time.monotonic() + HEARTBEAT

    def began(self, plan: Plan) -> None:
        self._plan = plan
        log.info(f"Launching {count(len(plan.jobs), 'job')}, {self._workers} at once, in {shown(plan.root)}")

    def started(self, record: Record) -> None:
        assert isinstance(record.state, Running)
        name = record.job.name
        self._running[name] = (time.monotonic(), Progress())
        log.info(f"\t#{plain(name)} : {plain(' '.join(self._overrides[name]))}")

    def progressed(self, job: Job, progress: Progress, lines: Sequence[str]) -> None:
        if job.name in self._running:
            self._running[job.name] = (self._running[job.name][0], progress)

    def finished(self, record: Record) -> None:
        self._running.pop(record.job.name, None)
        if record.status == COMPLETED:
            log.info(f"\t#{terminal.headline(record)}")
        else:
            log.error(f"\t#{terminal.headline(record)}; its logs: {shown(record.job.out_dir)}")

    def notice(self, text: str) -> None:
        log.info(plain(text))

    def tick(self) -> None:
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + HEARTBEAT
        for name, (since, progress) in self._running.items():
            said = [f"\t#{plain(name)}: running for {duration(time.monotonic() - since)}", *measures(progress)]
            log.info(", ".join(said))

    def ended(self, records: Sequence[Record], stopped: str | None) -> None:
        left = [record for record in records if record.status != COMPLETED]
        if left:
            names = ", ".join(f"#{plain(record.job.name)}" for record in left[:10]) + (" …" if len(left) > 10 else "")
            why = f" ({stopped})" if stopped else ""
            log.error(f"{count(len(left), 'job')} of {len(records)} did not complete{why}: {names}")
            again = f"hydra.sweep.dir={shown(self._plan.root)} hydra.launcher.resume=true"
            log.info(f"To run these again: the same command with {again}")
