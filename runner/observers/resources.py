"""Observer of the engine that notes what each running job uses of the machine: one sampler for a batch.

A look at a hundred processes takes a few milliseconds of the engine's loop. The time between two looks grows with what
they cost, so that they never take more than `MOST` of one core. Of these looks so many are written that a week of a job
has about ten thousand rows; those of the last minute are kept, and written if the job fails.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TextIO

from runner.core import clock
from runner.core.printing import say
from runner.core.state import COMPLETED, Record, Running
from runner.disk import resources
from runner.disk.place import Place
from runner.engine.events import BatchEnded, Event, JobEnded, JobStarted, Tick
from runner.gpus import looker
from runner.gpus.devices import Gpu, Snapshot
from runner.gpus.looker import Looker
from runner.gpus.peaks import is_below
from runner.observers.registry import ObserverContext
from runner.processes import memory_limit, usage
from runner.processes.rapl import Meter
from runner.processes.usage import Process, Usage
from runner.reports import resources as reports

MOST = 0.0015  # of one core; the bar is 0.002
EACH = 1.0  # seconds between looks, if they cost little
FREQUENT, USUAL = 60.0, 5.0  # seconds: the age up to which every look is written; between later rows
ROWS = 2000  # of a job that is older than ROWS * USUAL a row is written in each 1 / ROWS of its age
KEPT = 60.0  # seconds before its end of which a job that fails has every look
EXACT_EVERY = 6  # rows: memory without counting shared pages twice, its limit, and what is free on the disk
SHOWN = 5  # findings at the end of a batch
GPUS_EVERY = 30.0  # seconds between looks at the GPUs, each a process of its own


def make(context: ObserverContext) -> Resources:
    """The entry of the registry."""
    return Resources(context.stream)


@dataclass(slots=True)
class Watched:
    """A job that runs. Times are monotonic."""

    folder: Place
    pid: int
    began: float
    due: float
    supervisor: int | None = None  # the parent of the job's process, once that was seen
    written: float = 0.0  # when the next row is due
    rows: int = 0
    last: deque[tuple[float, dict[str, Any]]] = field(default_factory=deque)  # looks that were not written
    before: tuple[float, float] | None = None  # the time and the processor seconds of the last row
    seen: tuple[float, float] | None = None  # and of the last look

    def wait(self, now: float) -> float:
        """Seconds to its next row, at the least."""
        age = now - self.began
        return EACH if age < FREQUENT else max(USUAL, age / ROWS)


class Resources:
    """The sampler. `look` begins and takes looks at the GPUs; None: there is no driver of a GPU here."""

    def __init__(
        self, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic, look: Looker | None = None,
        table: Callable[[], dict[int, Process]] = usage.table, cpu: Callable[[], float] = time.thread_time,
    ) -> None:  # fmt: skip
        self._stream, self._now, self._table, self._cpu = stream, now, table, cpu
        self._look = look or (Looker() if _has_driver() else None)
        self._jobs: dict[str, Watched] = {}
        self._known: set[str] = set()  # jobs with enough looks for a finding
        self._meter = Meter()
        self._pause_until = 0.0  # looks cost so much that none is made before
        self._gpus_due, self._snapshot = 0.0, Snapshot(error="not looked at")

    def __call__(self, event: Event) -> None:
        match event:
            case JobStarted(record):
                self._started(record)
            case JobEnded(record):
                self._ended(record)
            case Tick() if self._jobs:
                self._tick()
            case BatchEnded(records):
                self._end(records)

    @property
    def watched(self) -> list[Watched]:
        """The jobs that run."""
        return list(self._jobs.values())

    @cached_property
    def _limit(self) -> int:
        return memory_limit.limit()

    def _started(self, record: Record) -> None:
        state, now = record.state, self._now()
        if isinstance(state, Running) and state.host is None and state.pid not in (0, os.getpid()):
            self._jobs[record.job.name] = Watched(Place.of_job(record.job), state.pid, now, now + EACH)

    def _tick(self) -> None:
        now = self._now()
        self._look_at_gpus(now)
        if now < self._pause_until or not any(job.due <= now for job in self._jobs.values()):
            return
        begun = self._cpu()
        found = self._table()
        for name, job in self._jobs.items():
            if job.due <= now + EACH / 2:  # what is nearly due shares the look
                self._note(name, job, found, now)
                job.due = now + EACH
        self._pause_until = now + (self._cpu() - begun) / MOST

    def _note(self, name: str, job: Watched, found: dict[int, Process], now: float) -> None:
        if job.supervisor is None and job.pid in found and found[job.pid].parent not in (1, os.getpid()):
            job.supervisor = found[job.pid].parent
        if job.supervisor is None:
            return
        is_row = now >= job.written - EACH / 2
        exact = is_row and job.rows % EXACT_EVERY == 0
        used = usage.usage(job.supervisor, found, exact=exact)
        if used is None:
            return
        row = _row(used, job, now, job.before if is_row else job.seen)
        if gpus := [_gpu(gpu, job.supervisor, found) for gpu in self._snapshot.gpus if self._is_of(gpu, job, found)]:
            row["gpus"] = gpus
        if (joules := self._meter.joules()) is not None:
            row["cpu_energy_j"] = round(joules, 1)
        job.seen = (now, used.cpu_seconds)
        if not is_row:
            _keep(job, row, now)
            return
        job.before, job.written = job.seen, now + job.wait(now)
        job.rows += 1
        try:
            if exact:
                row |= {"memory_limit": self._limit, "disk_free": resources.free(job.folder)}
            resources.append(job.folder, row)
        except OSError:  # a full disk: the job's own records come first
            return
        if job.rows >= reports.ENOUGH:
            self._known.add(name)

    def _ended(self, record: Record) -> None:
        """Write what was kept of a job that failed. Its rows are read in the order of their times."""
        job = self._jobs.pop(record.job.name, None)
        if job is None or record.status == COMPLETED:
            return
        now = self._now()
        try:
            for at, row in job.last:
                if now - at <= KEPT:
                    resources.append(job.folder, row)
        except OSError:
            pass

    def _end(self, records: Sequence[Record]) -> None:
        """Tell what stands out."""
        found = [
            f"{record.job.name}: {sentence}" for record in records if record.job.name in self._known
            for sentence in reports.findings(record)
        ]  # fmt: skip
        for line in found[:SHOWN] if self._stream is not None else ():
            say(f"Note: {line}", file=self._stream, flush=True)
        if len(found) > SHOWN and self._stream is not None:
            say(f"Note: {len(found) - SHOWN} more such findings: status --resources", file=self._stream, flush=True)
        self._jobs.clear()

    def _is_of(self, gpu: Gpu, job: Watched, found: dict[int, Process]) -> bool:
        """Whether a process of the job computes on the GPU, as the last look saw it."""
        parents = {pid: process.parent for pid, process in found.items()}
        assert job.supervisor is not None
        return any(is_below(one.pid, job.supervisor, parents) for one in gpu.processes)

    def _look_at_gpus(self, now: float) -> None:
        if self._look is None:
            return
        if self._look.fileno() != -1:
            if taken := self._look.take():
                self._snapshot = taken
                spent = now - taken.taken_at
                self._gpus_due = now + max(GPUS_EVERY, min(spent, looker.LIMIT) / MOST)
                if taken.error:  # a driver that hangs would hang again
                    self._look = None
        elif now >= self._gpus_due and (failed := self._look.begin()):
            self._snapshot, self._look = failed, None


def _keep(job: Watched, row: dict[str, Any], now: float) -> None:
    job.last.append((now, row))
    while job.last[0][0] < now - KEPT:
        job.last.popleft()


def _has_driver() -> bool:
    return looker.AMD.exists() or looker.NVIDIA.exists() or bool(os.environ.get(looker.PROGRAM))


def _row(used: Usage, job: Watched, now: float, before: tuple[float, float] | None) -> dict[str, Any]:
    """A row without what is not known. `before`: since when the processor time is counted for its percentage."""
    percent = None
    if before is not None and now > before[0]:
        percent = round(100 * max(used.cpu_seconds - before[1], 0.0) / (now - before[0]), 1)
    row = {
        "time": clock.now(), "elapsed": round(now - job.began, 1), "cpu_percent": percent,
        "cpu_seconds": round(used.cpu_seconds, 2), "rss": used.rss, "pss": used.pss, "swap": used.swap,
        "read_bytes": used.read_bytes, "write_bytes": used.write_bytes, "processes": used.processes,
        "threads": used.threads,
    }  # fmt: skip
    return {key: value for key, value in row.items() if value is not None}


def _gpu(gpu: Gpu, supervisor: int, found: dict[int, Process]) -> dict[str, Any]:
    """What the job uses of a GPU. `others`: so many processes of others compute there too, so that utilization, watts
    and joules are those of all."""
    parents = {pid: process.parent for pid, process in found.items()}
    ours = [one for one in gpu.processes if is_below(one.pid, supervisor, parents)]
    known = [one.memory for one in ours if one.memory is not None]
    entry: dict[str, Any] = {"uuid": gpu.uuid, "index": gpu.index, "memory_total": gpu.memory_total}
    if known:
        entry["memory"] = sum(known)
    if len(gpu.processes) > len(ours):
        entry["others"] = len(gpu.processes) - len(ours)
    return entry | dict(gpu.activity)
