"""Observer of the engine that writes master_log.txt and the views of a batch. It never raises."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import replace

from runner.core import clock, redact
from runner.core.job import Job, Plan
from runner.core.state import Record, Running
from runner.core.text import command, count, plain
from runner.disk import atomic, results
from runner.disk.append_log import Log
from runner.disk.layout import BatchPaths
from runner.engine.progress import Progress
from runner.reports import terminal
from runner.reports.registry import views_of

SHARE = 20  # the summary is written again after this many times what its last writing took: at most a 20th of the time
REFRESH = 1.0  # seconds between two writings of the summary at the least
LINE_WIDTH = 240

#: Lines of a job that belong into a high-level log, and how often (seconds between two, burst).
_TELLING = re.compile(r"\b(step|val|validation|stage|error|exception|warning|saving|saved|traceback)\b", re.IGNORECASE)
_ROUTINE = re.compile(r"\b(iter|iteration|loss|epoch)\b", re.IGNORECASE)
TELLING_EVERY, ROUTINE_EVERY, BURST = 2.0, 15.0, 20


class Bucket:
    """Lets `burst` lines pass, then one in `every` seconds."""

    def __init__(self, every: float, burst: int) -> None:
        self._every = every
        self._burst = burst
        self._tokens = float(burst)
        self._last = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self._tokens + (now - self._last) / self._every, self._burst)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Journal:
    """The files of one batch, beside the folders of its jobs. `earlier` are jobs of it that other plans had before."""

    def __init__(self, earlier: Sequence[Record] = ()) -> None:
        self._earlier = {record.job.name: record for record in earlier}
        self._log: Log | None = None
        self._stamp = clock.Stamp()
        self._records: dict[str, Record] = {}
        self._stale = False
        self._next_refresh = 0.0
        self._buckets: dict[str, tuple[Bucket, Bucket]] = {}
        self._began = time.monotonic()

    def began(self, plan: Plan) -> None:
        self._plan = replace(plan, jobs=(*(record.job for record in self._earlier.values()), *plan.jobs))
        self._paths = BatchPaths(plan.root)
        self._views = views_of(self._plan)
        self._records = {**self._earlier, **{job.name: Record(job) for job in plan.jobs}}
        atomic.end_torn_line(self._paths.master_log)
        self._log = Log(self._paths.master_log)
        self._say(f"Batch {plan.name}: {count(len(plan.jobs), 'job')}, pid {os.getpid()}, in {plan.root}")
        for line in terminal.footprint(plan):
            self._say(line)
        for key, value in plan.overrides.items():
            self._say(f"Override {key} = {value}")
        for notice in plan.notices:
            self._say(f"Note: {notice}")
        self._refresh()

    def started(self, record: Record) -> None:
        self._records[record.job.name] = record
        assert isinstance(record.state, Running)
        number = list(self._records).index(record.job.name) + 1
        self._buckets[record.job.name] = (Bucket(TELLING_EVERY, BURST), Bucket(ROUTINE_EVERY, 3))
        self._say(f"[{number}/{len(self._records)}] {record.job.name}: started, pid {record.state.pid}")
        self._say(f"{record.job.name}: command {command(redact.argv(record.state.argv))}")
        self._stale = self._stale or any(view.on_start for view in self._views)

    def progressed(self, job: Job, progress: Progress, lines: Sequence[str]) -> None:
        telling, routine = self._buckets.setdefault(job.name, (Bucket(TELLING_EVERY, BURST), Bucket(ROUTINE_EVERY, 3)))
        for line in lines:
            bucket = telling if _TELLING.search(line) else routine if _ROUTINE.search(line) else None
            if bucket is not None and bucket.take():
                self._say(f"{job.name}: {plain(line.strip(), LINE_WIDTH)}")

    def finished(self, record: Record) -> None:
        self._records[record.job.name] = record
        self._buckets.pop(record.job.name, None)
        self._say(terminal.headline(record))
        self._stale = True

    def notice(self, text: str) -> None:
        self._say(text)

    def tick(self) -> None:
        if self._stale and time.monotonic() >= self._next_refresh:
            self._refresh()

    def ended(self, records: Sequence[Record], stopped: str | None) -> None:
        self._records |= {record.job.name: record for record in records}
        self._refresh()
        for line in terminal.report(self._plan, records, time.monotonic() - self._began, stopped).splitlines():
            self._say(line)

    def _refresh(self) -> None:
        """Write the summary. Its cost grows with the batch, so it is written the more rarely the longer it takes."""
        began = time.monotonic()
        self._stale = False
        records, now = list(self._records.values()), clock.now()
        for view in self._views:
            try:
                for name, content in view.files(records, now).items():
                    results.write_view(self._plan.root / name, content)
            except OSError as error:
                self._say(f"cannot write {error.filename or self._plan.root}: {error.strerror or error}")
        self._next_refresh = time.monotonic() + max(REFRESH, SHARE * (time.monotonic() - began))

    def _say(self, text: str) -> None:
        assert self._log is not None
        self._log.write(self._stamp() + plain(text).encode(errors="replace") + b"\n")
