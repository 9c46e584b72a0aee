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
from runner.core.state import FAILED, KILLED, SUCCESSES
from runner.core.text import count
from runner.engine.protocols import Lease, Wait
from runner.executors.sharing import Sharing
from runner.executors.supervised import Adopted, Room, Supervised
from runner.gpus import faults, leases, preallocation, visible
from runner.gpus.devices import MEBIBYTE
from runner.gpus.leases import BY_MEMORY, Holder
from runner.gpus.looker import Looker
from runner.gpus.pool import SAMPLE, Granted, Pool, Rules
from runner.gpus.quarantine import Quarantine

PAUSE = 0.1  # seconds for which the answer to one job holds for others that want as many GPUs
KEY = "gpus_per_job"  # of a config, too


@dataclass(frozen=True)
class GpuLease(Lease):
    """The GPUs of one job; None: it asks for none."""

    granted: Granted | None
    environment: Mapping[str, str] = field(default_factory=dict)  # beside what chooses the GPUs
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
            sample=min(SAMPLE, max(options.gpu_pack_window / 4, PAUSE)),
        )
        uuids = options.gpus.split(",")
        folder = leases.folder(os.environ)
        self._pool = Pool(uuids, rules, folder, Looker())
        self._uuids = uuids
        self._quarantine = Quarantine()
        self._sharing = Sharing(options, folder)
        self._pool.watch = self._sharing.look
        self._adopted: list[Adopted] = []
        self._running: list[tuple[Supervised, Granted]] = []
        self._since: dict[str, float] = {}  # name of a job that waits -> since when
        # A number of GPUs, and the memory of each, that could not be had -> when, and why.
        self._refused: dict[tuple[int, float], tuple[float, Wait]] = {}

    def offer(self, job: Job) -> GpuLease | Wait:
        """GPUs for this job, or why there are none."""
        number = wanted(job, self._options)
        if number == 0:
            return GpuLease(None)
        if reason := self._too_few(number):
            return Wait(reason, over=True)
        moment, need = time.monotonic(), self._sharing.need(job)
        asked = number, float("inf") if need is None else float(need)
        for (less, smaller), (when, answer) in self._refused.items():
            if less <= number and smaller <= asked[1] and moment - when < PAUSE:
                return answer
        about = self._holder(job, need)
        avoided, may_join = self._avoided(job, number), self._sharing.may_join(job)
        found = self._pool.offer(job.name, number, about, avoided, may_join)
        if isinstance(found, Granted):
            self._since.pop(job.name, None)
            return self._lease(job, found)
        answer = self._answer(job, found, moment)
        if not avoided:  # else it holds for this job
            self._refused[asked] = moment, answer
        return answer

    def _holder(self, job: Job, need: int | None) -> Holder:
        """What the lease of a job says to others."""
        places = BY_MEMORY if self._sharing.by_memory else self._options.jobs_per_gpu
        batch = job.out_dir.parent.name
        return Holder(getpass.getuser(), os.getpid(), batch, job.name, now(), places, need)

    def _lease(self, job: Job, granted: Granted) -> GpuLease:
        """The GPUs with what the job is told, and what its result says beside them."""
        bad = self._quarantine.entries()
        entries = {**self._sharing.entries(job), **({QUARANTINE: bad} if bad else {})}
        shares = self._sharing.by_memory or self._options.jobs_per_gpu > 1
        return GpuLease(granted, preallocation.environment({**os.environ, **job.env}) if shares else {}, entries)

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
            return Wait(others=self._pool.fileno() < 0)  # a look that ends between two jobs must not favour the second
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
            entries = {**granted.entries(), **lease.entries}
            yield Room({**granted.environment, **lease.environment}, granted.descriptors, entries)
        finally:
            leases.release(granted.descriptors)

    def started(self, lease: Lease, handle: Supervised) -> None:
        """The job of a lease runs."""
        if isinstance(lease, GpuLease) and lease.granted is not None:
            self._running.append((handle, lease.granted))
            self._pool.started(lease.granted, handle.supervisor_pid)
            self._sharing.started(handle, lease.granted.gpus)

    def adopted(self, handle: Adopted) -> None:
        """A job runs that an earlier engine has started."""
        self._adopted.append(handle)
        self._sharing.adopted(handle)

    def collect(self) -> None:
        """Take notice of jobs that ended, and of a look that has."""
        for handle, granted in self._running:
            if handle.done():
                self._pool.ended(granted, handle.supervisor_pid)
                self._judge(handle, granted)
        handles: list[Supervised | Adopted] = [*(handle for handle, _ in self._running), *self._adopted]
        for one in handles:
            if one.done():
                self._sharing.ended(one.job.name)
        self._running = [entry for entry in self._running if not entry[0].done()]
        self._adopted = [handle for handle in self._adopted if not handle.done()]
        if self._running or self._adopted:
            self._pool.sample()
            self._sharing.tick()
        self._pool.read()

    def _judge(self, handle: Supervised, granted: Granted) -> None:
        """Take notice of what the end of a job says of its GPUs."""
        result, job = handle.ended_with, handle.job
        fault = None if result is None or result.status not in (FAILED, KILLED) else faults.of(result)
        if fault is None:
            if result is not None and result.status in SUCCESSES:
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
