"""Observer of the engine that notes what each running job uses of the machine: one sampler for a batch.

A look at a hundred processes takes a few milliseconds of the engine's loop. The time between two looks grows with what
they cost, so that they never take more than `MOST` of one core, and with the age of a job, so that a week of it has
about ten thousand rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TextIO

from runner.core import clock
from runner.core.printing import say
from runner.core.state import Record, Running
from runner.disk import resources
from runner.disk.place import Place
from runner.engine.events import BatchEnded, Event, JobEnded, JobStarted, Tick
from runner.gpus import looker
from runner.gpus.devices import Gpu, Snapshot
from runner.gpus.looker import Looker
from runner.gpus.peaks import is_below
from runner.observers.registry import ObserverContext
from runner.processes import memory_limit, usage
from runner.processes.usage import Process, Usage
from runner.reports import resources as reports

MOST = 0.002  # of one core
FIRST, FREQUENT, USUAL = 1.0, 60.0, 5.0  # seconds: between looks at a job of up to FREQUENT; between later ones
ROWS = 2000  # a job that is older than ROWS * USUAL is looked at once in each 1 / ROWS of its age
EXACT_EVERY = 6  # looks: memory without counting shared pages twice, its limit, and what is free on the disk
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
    looks: int = 0
    before: tuple[float, float] | None = None  # the time and the processor seconds of the last look

    def wait(self, now: float) -> float:
        """Seconds to the next look at it, at the least."""
        age = now - self.began
        return FIRST if age < FREQUENT else max(USUAL, age / ROWS)


class Resources:
    """The sampler. `look` begins and takes looks at the GPUs; None: there is no driver of a GPU here."""

    def __init__(
        self, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic, look: Looker | None = None,
        table: Callable[[], dict[int, Process]] = usage.table,
    ) -> None:  # fmt: skip
        self._stream, self._now, self._table = stream, now, table
        self._look = look or (Looker() if _has_driver() else None)
        self._jobs: dict[str, Watched] = {}
        self._known: set[str] = set()  # jobs with enough looks for a finding
        self._pause_until = 0.0  # looks cost so much that none is made before
        self._gpus_due, self._snapshot = 0.0, Snapshot(error="not looked at")

    def __call__(self, event: Event) -> None:
        match event:
            case JobStarted(record):
                self._started(record)
            case JobEnded(record):
                self._jobs.pop(record.job.name, None)
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
            self._jobs[record.job.name] = Watched(Place.of_job(record.job), state.pid, now, now + FIRST)

    def _tick(self) -> None:
        now = self._now()
        self._look_at_gpus(now)
        if now < self._pause_until or not any(job.due <= now for job in self._jobs.values()):
            return
        found = self._table()
        for name, job in self._jobs.items():
            if job.due <= now + FIRST / 2:  # what is nearly due shares the look
                self._note(name, job, found, now)
                job.due = now + job.wait(now)
        self._pause_until = now + (self._now() - now) / MOST

    def _note(self, name: str, job: Watched, found: dict[int, Process], now: float) -> None:
        if job.supervisor is None and job.pid in found and found[job.pid].parent not in (1, os.getpid()):
            job.supervisor = found[job.pid].parent
        if job.supervisor is None:
            return
        exact = job.looks % EXACT_EVERY == 0
        used = usage.usage(job.supervisor, found, exact=exact)
        if used is None:
            return
        job.looks += 1
        row = _row(used, job, now)
        if gpus := [_gpu(gpu, job.supervisor, found) for gpu in self._snapshot.gpus if self._is_of(gpu, job, found)]:
            row["gpus"] = gpus
        try:
            if exact:
                row |= {"memory_limit": self._limit, "disk_free": resources.free(job.folder)}
            resources.append(job.folder, row)
        except OSError:  # a full disk: the job's own records come first
            return
        job.before = (now, used.cpu_seconds)
        if job.looks >= reports.ENOUGH:
            self._known.add(name)

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


def _has_driver() -> bool:
    return looker.AMD.exists() or looker.NVIDIA.exists() or bool(os.environ.get(looker.PROGRAM))


def _row(used: Usage, job: Watched, now: float) -> dict[str, Any]:
    """A row without what is not known."""
    percent = None
    if job.before is not None and now > job.before[0]:
        percent = round(100 * max(used.cpu_seconds - job.before[1], 0.0) / (now - job.before[0]), 1)
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
