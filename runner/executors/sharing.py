"""How the jobs of a batch share GPUs: what each needs and uses, which may join which, and what that brings."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.disk import gpu_use, results
from runner.disk.place import Place
from runner.engine.progress import Follower
from runner.executors.supervised import Adopted, Supervised
from runner.gpus import leases, mps, peaks
from runner.gpus.devices import MEBIBYTE, Gpu, Snapshot
from runner.gpus.kinds import kind_of
from runner.gpus.leases import BY_MEMORY, Holder
from runner.gpus.packing import Claim, fits
from runner.gpus.peaks import Peak
from runner.gpus.pool import MayJoin
from runner.gpus.throughput import Pace, Throughput
from runner.processes import process_tree
from runner.reports import gpu_memory
from runner.reports.gpu_memory import KIND

FIRST_ITERATIONS = 50  # that end the start phase of a job, together with START windows
START, SILENT = 2, 10  # windows; the second for a job that never says how far it is
MPS = "gpu_mps"  # an entry of a result
RAISED = 1.1  # what a kind needs more than was thought, where it ran out of memory beside others


@dataclass(slots=True)
class _Running:
    """A job on its GPUs."""

    job: Job
    attempt: int
    kind: str
    uuids: tuple[str, ...]
    peak: Peak
    follower: Follower
    began: float
    at_once: int = 1
    written: Mapping[str, Any] | None = None


class Sharing:
    """What a batch knows of its jobs on its GPUs."""

    def __init__(self, options: RunOptions, folder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._folder = folder  # of the locks
        self._clock = clock
        self._declared = options.gpu_memory * MEBIBYTE or None
        self._running: dict[str, _Running] = {}
        self._kinds: dict[str, str] = {}  # name of a job -> its kind
        self._alone: dict[str, bool] = {}  # name of a job -> whether it ran out of memory beside others
        self._speeds: dict[str, float] = {}
        self._gpus: dict[str, Throughput] = {}
        self._known: dict[str, int] | None = None  # kind -> bytes
        self._next_look = 0.0

    @property
    def by_memory(self) -> bool:
        """Whether the memory decides which jobs share a GPU, and not their number alone."""
        return self._options.jobs_per_gpu == BY_MEMORY or self._declared is not None

    def need(self, job: Job) -> int | None:
        """What a job claims of a GPU, in bytes; None: all of it."""
        if not self.by_memory or self._has_to_be_alone(job):
            return None
        known = self._peaks(job).get(self._kind(job)) or 0
        return max(known, self._declared or 0) or None

    def may_join(self, job: Job) -> MayJoin:
        """Whether this job may join those that have a place on a GPU."""
        return lambda gpu, foreign, held: self._obstacle(job, gpu, foreign, held)

    def entries(self, job: Job) -> dict[str, Any]:
        """What the result says of the memory before anything was measured."""
        source = peaks.NONE if self._declared is None else peaks.DECLARED
        marked = {MPS: True} if mps.runs() else {}
        peak = self._options.gpu_memory or None
        return {KIND: self._kind(job), gpu_use.PEAK: peak, gpu_use.SOURCE: source, **marked}

    def started(self, handle: Supervised, gpus: Sequence[Gpu]) -> None:
        """A job runs on these GPUs, as they were before."""
        self._add(handle, handle.supervisor_pid, {gpu.uuid: gpu.memory_used for gpu in gpus})
        self._count_neighbours()

    def adopted(self, handle: Adopted) -> None:
        """A job runs that an earlier engine has started. Its GPUs are known as soon as it is seen there."""
        self._add(handle, int(handle.supervisor[0]), {})

    def ended(self, name: str) -> None:
        """It does not run any more."""
        self._running.pop(name, None)
        self._alone.pop(name, None)

    def look(self, snapshot: Snapshot) -> None:
        """Take over a look at the GPUs."""
        if snapshot.error or not self._running:
            return
        parents = process_tree.parents()
        self._count_neighbours()
        for one in self._running.values():
            one.peak.look(snapshot, parents, exclusive=one.at_once == 1)
            if self.by_memory and one.peak.value and self._is_settled(one):
                self._learn(one.job, one.peak.value)
            self._write(one)

    def tick(self) -> None:
        """Take over how far the jobs are, and what they bring together."""
        now = self._clock()
        if not self.by_memory or now < self._next_look:
            return
        self._next_look = now + min(1.0, self._options.gpu_pack_window / 4)
        for one in self._running.values():
            one.follower.advance()
        for uuid in {uuid for one in self._running.values() for uuid in one.uuids}:
            self._throughput(uuid).look(self._paces(uuid), now)

    def _add(self, handle: Supervised | Adopted, supervisor: int, before: Mapping[str, int]) -> None:
        job = handle.job
        self._running[job.name] = _Running(
            job, handle.attempt.number, self._kind(job), tuple(before), Peak(supervisor, before), Follower(job),
            self._clock(),
        )  # fmt: skip

    def _count_neighbours(self) -> None:
        """Keep for each job how many had a place on its GPU at once, jobs of other batches too."""
        number = {
            uuid: len(leases.holders(self._folder, uuid))
            for uuid in {uuid for one in self._running.values() for uuid in one.uuids}
        }
        for one in self._running.values():
            one.at_once = max([one.at_once, *(number[uuid] for uuid in one.uuids)])

    def _on(self, uuid: str) -> list[_Running]:
        return [one for one in self._running.values() if uuid in one.uuids]

    def _obstacle(self, job: Job, gpu: Gpu, foreign: int, held: Sequence[Holder]) -> str | None:
        """Why a job may not join those on a GPU; empty for a reason of its own batch. None: it may."""
        own = self._on(gpu.uuid)
        names = {one.job.name for one in own}
        others = [one for one in held if one.pid != os.getpid() or one.job not in names]
        if not self.by_memory:
            return self._obstacle_by_number(job, gpu, others)
        if any(one.places not in (None, BY_MEMORY) for one in others):
            return f"{gpu.label} {others[0]}"
        claims = [Claim(self._claim(one), not self._is_settled(one)) for one in own]
        claims += [Claim(one.need) for one in others]
        if any(claim.starting for claim in claims):
            return ""
        if (
            self._options.jobs_per_gpu == BY_MEMORY
            and own
            and not self._throughput(gpu.uuid).may_grow(self._paces(gpu.uuid))
        ):
            return ""
        if fits(self.need(job), claims, gpu.memory_total, foreign):
            return None
        return f"{gpu.label} {others[0]}" if others else ""

    def _obstacle_by_number(self, job: Job, gpu: Gpu, others: Sequence[Holder]) -> str | None:
        """Without a word on memory a GPU is shared by a number of jobs, of batches that say such a number too."""
        if any(one.places in (BY_MEMORY, 1) for one in others):
            return f"{gpu.label} {others[0]}"
        own = self._on(gpu.uuid)
        if self._has_to_be_alone(job):
            return None if not own and not others else f"{gpu.label} {others[0]}" if others else ""
        return "" if any(self._alone.get(one.job.name) for one in own) else None

    def _claim(self, one: _Running) -> int | None:
        """What a job that runs claims: what was known when it began, and what it has used since."""
        need = self.need(one.job)
        return None if need is None else max(need, one.peak.value or 0)

    def _is_settled(self, one: _Running) -> bool:
        """Whether the start phase of a job is over: by then it has allocated what it trains with."""
        passed, window = self._clock() - one.began, self._options.gpu_pack_window
        done = one.follower.progress.iteration
        if done is None:
            return passed >= SILENT * window
        return passed >= START * window and done >= FIRST_ITERATIONS

    def _paces(self, uuid: str) -> dict[str, Pace]:
        return {
            one.job.name: Pace(one.kind, one.follower.progress.iteration, self._is_settled(one))
            for one in self._on(uuid)
        }

    def _throughput(self, uuid: str) -> Throughput:
        return self._gpus.setdefault(uuid, Throughput(self._options.gpu_pack_window, self._speeds))

    def _kind(self, job: Job) -> str:
        if job.name not in self._kinds:
            self._kinds[job.name] = kind_of(job)
        return self._kinds[job.name]

    def _peaks(self, job: Job) -> dict[str, int]:
        """Kind -> bytes, from the records of this batch and of earlier ones beside it."""
        if self._known is None:
            base = str(Path(Place.of_job(job).root).parent)
            self._known = {kind: found.peak for kind, found in gpu_memory.measured(base).items()}
        return self._known

    def _learn(self, job: Job, peak: int) -> None:
        known, kind = self._peaks(job), self._kind(job)
        known[kind] = max(known.get(kind, 0), peak)

    def _has_to_be_alone(self, job: Job) -> bool:
        """Whether the last attempt of a job ran out of memory beside others.

        Then its kind needs more than was thought.
        """
        if job.name not in self._alone:
            result = results.read_result(job)
            alone = result is not None and result.ran_out_beside_others
            self._alone[job.name] = alone
            if alone and self.by_memory:
                thought = max(self._peaks(job).get(self._kind(job), 0), self._declared or 0)
                self._learn(job, int(thought * RAISED))
        return self._alone[job.name]

    def _write(self, one: _Running) -> None:
        """Leave what was seen for the result, if there is more than before."""
        entries: dict[str, Any] = {}
        if one.peak.value is not None:
            entries |= {gpu_use.PEAK: one.peak.value // MEBIBYTE, gpu_use.SOURCE: one.peak.source}
        if one.at_once > 1:
            entries[gpu_use.AT_ONCE] = one.at_once
            if best := next((self._throughput(uuid).best for uuid in one.uuids), None):
                entries[gpu_use.PACKING] = {gpu_use.JOBS: best[0], gpu_use.TIMES: round(best[1], 2)}
        if entries and entries != one.written:
            with contextlib.suppress(OSError):  # a full disk, or a folder that is gone: the next look tries again
                gpu_use.write(Place.of_job(one.job), one.attempt, entries)
                one.written = entries
