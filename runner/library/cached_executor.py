"""An executor around another one that computes each config once, whoever asks: lock, look, run, load the result."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from runner.core.job import Attempt, Job
from runner.core.options import RunOptions
from runner.core.state import COMPLETED, ERROR, FAILED, INTERRUPTED, Finished, Outcome, Record
from runner.disk import atomic, attempts, layout
from runner.disk.lock import Held
from runner.disk.place import Place
from runner.engine.protocols import Executor, Handle, How, Lease, Wait
from runner.executors.supervised import Adopted, adopt
from runner.library import cache
from runner.library.cache import CachePolicy, Hit, Key, Miss
from runner.library.config_lock import ConfigLock, WaitsForItself, used_by_another
from runner.library.duplicates import Duplicates
from runner.processes.ready import ready

POLL = 0.05  # seconds between two tries to get a lock that another process holds


class CachedJob:
    """One config: it waits for its lock, then it is computed. A Handle of the engine; owns the lock."""

    def __init__(self, job: Job, key: Key) -> None:
        self.job, self.key = job, key
        self.attempt = Attempt(job, 1, job.argv, job.env)
        self.lock: ConfigLock | None = None
        self.orphan: Adopted | None = None  # what an --isolate that was killed left running
        self.inner: Handle | None = None
        self.announced_wait = False
        self._record: Record | None = None

    @property
    def pid(self) -> int | None:
        return self.inner.pid if self.inner else None

    @property
    def started_at(self) -> str | None:
        return self.inner.started_at if self.inner else None

    def done(self) -> bool:
        return self._record is not None

    def record(self) -> Record:
        assert self._record is not None
        return self._record

    def end(self, record: Record) -> None:
        """It has ended so; others may have the lock."""
        self._record = record
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def stop(self, how: How) -> None:
        if self.inner is not None:
            self.inner.stop(how)
        elif not self.done():
            self.end(_ended(self.job, Outcome(INTERRUPTED, error="interrupted")))


class CachedExecutor:
    """An Executor around `inner`, for `slots` configs at once.

    `found` gets what was computed or, meanwhile, loaded: name of the job -> Hit. `notify` shows a sentence to the user.
    """

    def __init__(
        self,
        root: Path,
        inner: Executor,
        slots: int,
        keys: Mapping[str, Key],
        policy: CachePolicy,
        notify: Callable[[str], None],
    ) -> None:
        self.found: dict[str, Hit] = {}
        self._inner = inner
        self._slots = slots
        self._keys = keys
        self._policy = policy
        self._notify = notify
        self._jobs: list[CachedJob] = []
        self._duplicates = Duplicates(root)

    def offer(self, job: Job) -> Lease | Wait:
        """A free slot; one that waits for a lock is not free."""
        return Lease() if len(self._jobs) < self._slots else Wait()

    def submit(self, job: Job, lease: Lease) -> CachedJob:
        """What is in the folder is looked at when its lock is held."""
        cached_job = CachedJob(job, self._keys[job.name])
        self._jobs.append(cached_job)
        return cached_job

    def adopt(self, job: Job) -> None:
        """None: a job that runs without its engine is waited for when its turn comes."""

    def wait(self, seconds: float, wake: int) -> None:
        """Start what has its lock, and let the inner executor run what has started."""
        for one in self._jobs:
            self._guarded(self._start, one)
        running = [one for one in self._jobs if one.inner is not None and not one.done()]
        waiting = [one for one in self._jobs if one.inner is None and not one.done()]
        if running:
            self._inner.wait(min(seconds, POLL) if waiting else seconds, wake)
        elif len(waiting) == len(self._jobs):
            ready(wake, POLL)
        for one in running:
            if one.inner is not None and one.inner.done():
                self._guarded(self._finish, one)
        self._jobs = [one for one in self._jobs if not one.done()]

    def _guarded(self, step: Callable[[CachedJob], None], one: CachedJob) -> None:
        """A disk that is full, or that we may not write, ends one config and not all."""
        try:
            step(one)
        except OSError as error:
            cause = f"{error.strerror or error} ({error.filename or one.job.out_dir})"
            one.end(_ended(one.job, Outcome(ERROR, error=cause)))

    def _start(self, one: CachedJob) -> None:
        if one.done() or one.inner is not None or not self._locked(one):
            return
        found = self._look(one)
        if isinstance(found, Hit):
            self.found[one.job.name] = found
            one.end(cached(one.job, found))
        elif found.foreign:
            one.end(_ended(one.job, Outcome(ERROR, error=found.why)))
        else:
            self._compute(one, found)

    def _look(self, one: CachedJob) -> Hit | Miss:
        """What is in the folder, or was copied there from that of an equal config."""
        folder, key = one.job.out_dir, one.key
        cache.recover(folder)
        found = cache.look(folder, key, self._policy)
        if isinstance(found, Hit) or one.lock is None:
            return found
        names = self._duplicates.of(key, one.lock)
        copied = cache.copy_duplicate(folder, key, self._policy, names)
        self._duplicates.add(folder.name, key)
        return cache.look(folder, key, self._policy) if copied else found

    def _compute(self, one: CachedJob, found: Miss) -> None:
        lease = self._inner.offer(one.job)
        if isinstance(lease, Wait):
            return
        if found.why and not found.outdated:
            self._notify(f"{one.job.name}: {found.why}; the folder's content is archived, and it is computed again.")
        if os.path.lexists(one.job.out_dir):
            attempts.clean_up(one.job)  # processes of an earlier attempt, before its records are moved
        cache.make_room(one.job.out_dir, found)
        started = self._inner.submit(one.job, lease)
        if isinstance(started, Record):
            self._keep(one, started)
        elif not isinstance(started, Wait):
            one.inner = started

    def _locked(self, one: CachedJob) -> bool:
        """True once nobody else computes this config."""
        if one.lock is None:
            try:
                one.lock = ConfigLock(one.job.out_dir, one.key)
            except WaitsForItself:
                cause = f"{one.key.function.function} calls itself with an equal config, and would wait for itself"
                one.end(_ended(one.job, Outcome(ERROR, error=f"{cause}; change a key, or give run(output_dir=…)")))
                return False
            except Held as held:
                if not one.announced_wait:
                    computes = "" if held.stranger else ", which computes it"
                    self._notify(f"{one.job.name}: waiting for {held}{computes}.")
                    one.announced_wait = True
                return False
            if not os.path.lexists(one.job.out_dir):  # most folders: nobody can be at work there
                return True
            if used_by_another(one.job.out_dir, one.key):  # before its processes are taken for left ones of ours
                cause = f"{one.job.out_dir} is in use by another function with an equal config"
                one.end(_ended(one.job, Outcome(ERROR, error=f"{cause}; give each its own output_dir")))
                return False
            one.orphan = adopt(one.job, RunOptions())
        if one.orphan is not None:
            one.orphan.enforce()
            if not one.orphan.done():
                return False
            one.orphan.record()
            one.orphan = None
        return True

    def _finish(self, one: CachedJob) -> None:
        assert one.inner is not None
        record = one.inner.record()
        if isinstance(record, Record):
            self._keep(one, record)
        else:  # it could not be started now
            one.inner = None

    def _keep(self, one: CachedJob, record: Record) -> None:
        """Load what was computed, so that the first run sees exactly what all later ones will see."""
        folder = one.job.out_dir
        if record.status == COMPLETED:
            found = cache.look(folder, one.key, CachePolicy(code="ignore"))
            if isinstance(found, Hit):
                self.found[one.job.name] = found
            else:
                cause = f"there is no usable result: {found.why or 'the script did not come to this config'}"
                record = _ended(one.job, Outcome(FAILED, error=cause))
        if record.status not in (COMPLETED, INTERRUPTED) and not (folder / layout.JOB_ERROR).exists():
            _explain(record)
        cache.recover(folder)
        one.end(record)


def cached(job: Job, found: Hit) -> Record:
    """The record of a config that has a result already."""
    meta = found.meta
    seconds = float(meta.get("duration_seconds") or 0.0)
    state = Finished(meta.get("start_time"), meta.get("end_time") or "", seconds, Outcome(COMPLETED, 0))
    return Record(job, state, cached=True)


def _ended(job: Job, outcome: Outcome) -> Record:
    return Record(job, Finished(None, "", 0.0, outcome))


def _explain(record: Record) -> None:
    """error.json on behalf of a process that could not write it: it was killed, or ran too long."""
    assert isinstance(record.state, Finished)
    report = {"schema": 1, "type": record.status, "message": record.state.outcome.error, "traceback": ""}
    atomic.write_json(Place.of_job(record.job) / layout.JOB_ERROR, report)
