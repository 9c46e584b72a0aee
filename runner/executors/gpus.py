"""The GPUs of a batch on this machine: which job gets which, for as long as it runs."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runner.core.clock import now
from runner.core.gpu_labels import label
from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.result import MOVES, QUARANTINE
from runner.core.state import COMPLETED, FAILED, KILLED
from runner.core.text import count
from runner.engine.protocols import Lease, Wait
from runner.executors.supervised import Room, Supervised
from runner.gpus import faults, leases, visible
from runner.gpus.devices import MEBIBYTE
from runner.gpus.leases import Holder
from runner.gpus.looker import Looker
from runner.gpus.pool import Granted, Pool, Rules
from runner.gpus.quarantine import Quarantine

PAUSE = 0.1  # seconds for which the answer to one job holds for others that want as many GPUs
KEY = "gpus_per_job"  # of a config, too


@dataclass(frozen=True)
class GpuLease(Lease):
    """The GPUs of one job; None: it asks for none."""

    granted: Granted | None
    entries: Mapping[str, Any] = field(default_factory=dict)  # of the result, beside those on the GPUs


def wanted(job: Job, options: RunOptions) -> int:
    """How many GPUs a job asks for."""
    number = job.config.get(KEY, options.gpus_per_job)
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else options.gpus_per_job


class Gpus:
    """Leases GPUs to the jobs of a batch. A job that needs fewer may overtake one that waits for more."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        rules = Rules(
            places=options.jobs_per_gpu,
            free_bytes=options.gpu_free_mb * MEBIBYTE,
            settle=options.gpu_settle,
            ignored_users=options.gpu_ignore_user,
            ignored_pids=options.gpu_ignore_pid,
            passes=options.gpu_backfill,
            ids=options.gpu_ids,
        )
        uuids = options.gpus.split(",")
        self._pool = Pool(uuids, rules, leases.folder(os.environ), Looker())
        self._uuids = uuids
        self._quarantine = Quarantine()
        self._running: list[tuple[Supervised, Granted]] = []
        self._since: dict[str, float] = {}  # name of a job that waits -> since when
        self._refused: dict[int, tuple[float, Wait]] = {}  # a number of GPUs that could not be had -> when, and why

    def offer(self, job: Job) -> GpuLease | Wait:
        """GPUs for this job, or why there are none."""
        number = wanted(job, self._options)
        if number == 0:
            return GpuLease(None)
        if reason := self._too_few(number):
            return Wait(reason, over=True)
        moment = time.monotonic()
        for less, (when, answer) in self._refused.items():
            if less <= number and moment - when < PAUSE:
                return answer
        about = Holder(getpass.getuser(), os.getpid(), job.out_dir.parent.name, job.name, now())
        found = self._pool.offer(job.name, number, about, avoided := self._avoided(job, number))
        if isinstance(found, Granted):
            self._since.pop(job.name, None)
            bad = self._quarantine.entries()
            return GpuLease(found, {QUARANTINE: bad} if bad else {})
        answer = self._answer(job, found, moment)
        if not avoided:  # else it holds for this job
            self._refused[number] = moment, answer
        return answer

    def _too_few(self, number: int) -> str:
        """Why the batch can never give a job so many GPUs any more."""
        reasons = self._quarantine.reasons()
        if not reasons or len(self._uuids) - len(reasons) >= number:
            return ""
        bad = "; ".join(f"{label(one)}: {one['reason']:.100}" for one in self._quarantine.entries())
        what = "no GPU works" if len(reasons) == len(self._uuids) else f"fewer than {count(number, 'GPU')} work"
        return f"{what} ({bad}); repair or reset them, then --resume tries them again"

    def _avoided(self, job: Job, number: int) -> dict[str, str]:
        """The GPUs that this job is not to get: those in quarantine and, as long as there are others, those it left."""
        reasons = self._quarantine.reasons()
        left = dict.fromkeys(self._quarantine.left_by(job.name), "failed with this job")
        both = {**left, **reasons}
        return both if len(self._uuids) - len(both) >= number else reasons

    def _answer(self, job: Job, found: str, moment: float) -> Wait:
        """A wait for the reason that the pool gave."""
        if not found:  # its own batch has them all: then it does not wait for others
            self._since.pop(job.name, None)
            return Wait(others=True)
        waited = moment - self._since.setdefault(job.name, moment)
        limit = self._options.gpu_wait
        if limit is not None and waited >= limit:
            return Wait(f"{found} (--gpu_wait {limit:g})", over=True)
        return Wait(found, others=True)

    @contextmanager
    def room(self, lease: Lease) -> Iterator[Room]:
        """What the job of this lease runs with. The locks are the job's at the end, if it has started."""
        assert isinstance(lease, GpuLease)  # as `offer` returned it
        granted = lease.granted
        if granted is None:
            yield Room(env=visible.HIDDEN)
            return
        try:
            yield Room(granted.environment, granted.descriptors, {**granted.entries(), **lease.entries})
        finally:
            leases.release(granted.descriptors)

    def started(self, lease: Lease, handle: Supervised) -> None:
        """The job of a lease runs."""
        if isinstance(lease, GpuLease) and lease.granted is not None:
            self._running.append((handle, lease.granted))
            self._pool.started(lease.granted, handle.supervisor_pid)

    def collect(self) -> None:
        """Take notice of jobs that ended, and of a look that has."""
        for handle, granted in self._running:
            if handle.done():
                self._pool.ended(granted, handle.supervisor_pid)
                self._judge(handle, granted)
        self._running = [entry for entry in self._running if not entry[0].done()]
        self._pool.read()

    def _judge(self, handle: Supervised, granted: Granted) -> None:
        """Take notice of what the end of a job says of its GPUs."""
        result, job = handle.ended_with, handle.job
        fault = None if result is None or result.status not in (FAILED, KILLED) else faults.of(result)
        if fault is None:
            if result is not None and result.status == COMPLETED:
                self._quarantine.worked(granted.gpus)
            return
        self._quarantine.failed(job.name, granted.gpus, *fault)
        others = len(set(self._uuids) - {*self._quarantine.left_by(job.name), *self._quarantine.reasons()})
        moves = self._quarantine.may_move(job.name, others, len(granted.gpus))
        entries = self._quarantine.entries()
        handle.more = {**({MOVES: True} if moves else {}), **({QUARANTINE: entries} if entries else {})}

    def fileno(self) -> int:
        """Readable when the pool has to be read; -1 while it has not."""
        return self._pool.fileno()
