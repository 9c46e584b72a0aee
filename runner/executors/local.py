"""Run jobs on this machine, in a fixed number of slots. One slot is sequential."""

from __future__ import annotations

import select
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.state import Record
from runner.core.text import count
from runner.disk import attempts, results
from runner.engine.protocols import Lease, Wait
from runner.executors.guard import Guard
from runner.executors.patience import Patience
from runner.executors.spawner import Spawner
from runner.executors.supervised import Adopted, Room, Supervised, adopt, thread_limits
from runner.executors.warm import Kind, Warm, kind_of
from runner.processes import shortage

if TYPE_CHECKING:
    from runner.executors.gpus import Gpus


def _gpus(options: RunOptions) -> Gpus | None:
    """The GPUs of a batch that divides them."""
    if not options.gpus:
        return None
    from runner.executors.gpus import Gpus  # its imports cost what only such batches need

    return Gpus(options)


class Local:
    """An Executor of the engine. `provenance` returns what goes into the metadata of a job."""

    def __init__(self, options: RunOptions, provenance: Callable[[Job], Mapping[str, Any]]) -> None:
        self._options = options
        self._provenance = provenance
        self._running: list[Supervised | Adopted] = []
        self._leaving: list[Supervised | Adopted] = []  # their jobs have ended, and their supervisors are about to
        self._gpus = _gpus(options)
        self._spawner = Spawner()
        self._warm = Warm(options, self._spawner) if options.warm else None
        self._last_kind: tuple[Job, Kind | str] | None = None  # it is asked for again and again
        self._guard = Guard(self._spawner)
        own = weakref.proxy(self)  # no cycle: the processes that help must end as soon as nobody holds this object
        self._patience = Patience(lambda: own._busy() > 0)
        self._slots = shortage.files_for(options.max_workers, Supervised.FILES)
        self._first_to_wait: Job | None = None  # it waits for open files, not for a worker

    def offer(self, job: Job) -> Lease | Wait:
        """A free slot, and GPUs where the batch divides them."""
        busy = self._busy()
        if busy < self._slots:
            if self._warm is not None and self._warm.importing(self._kind(job)):
                return Wait()
            return Lease() if self._gpus is None else self._gpus.offer(job)
        if busy < self._options.max_workers and self._first_to_wait in (None, job):
            self._first_to_wait = job  # said once, and not of each that follows
            limit = f"{shortage.hard_limit()} open files (ulimit -Hn) have room for {count(self._slots, 'job')} at once"
            return Wait(limit)
        return Wait()

    def _kind(self, job: Job) -> Kind | str:
        """How a job is started, as far as jobs that can be forks of one process have it in common."""
        if self._last_kind is None or self._last_kind[0] is not job:
            self._last_kind = job, kind_of(job, thread_limits(job, self._options))
        return self._last_kind[1]

    def _busy(self) -> int:
        return sum(not handle.done() for handle in self._running)

    def submit(self, job: Job, lease: Lease) -> Supervised | Record | Wait:
        """Start a job under a supervisor of its own."""
        completed = results.finished(job)
        if completed is not None:  # its supervisor outlived its engine, and recorded the end after we had looked
            return completed
        with nullcontext(Room()) if self._gpus is None else self._gpus.room(lease) as room:
            try:
                starter = self._spawner if self._warm is None else self._warm.starter(self._kind(job))
                handle = Supervised(job, self._options, self._provenance, self._patience, self._guard, starter, room)
            except OSError as error:
                return self._patience.after(error) or attempts.not_started(job, error)
            except ValueError as error:  # a name that no file can have
                return attempts.not_started(job, error)
        if self._gpus is not None:
            self._gpus.started(lease, handle)
        self._running.append(handle)
        return handle

    def adopt(self, job: Job) -> Adopted | None:
        """Take over a job that is running already; None if it is not."""
        handle = adopt(job, self._options)
        if handle is not None:
            self._running.append(handle)
            if self._gpus is not None:
                self._gpus.adopted(handle)
            if handle.mark:
                self._guard.watch(handle.supervisor, handle.mark, job.out_dir)
        return handle

    def wait(self, seconds: float, wake: int) -> None:
        """Return when a job sends an event, when the descriptor `wake` becomes readable, or after `seconds`."""
        poll = select.poll()
        senders = {handle.fileno(): handle for handle in self._running if handle.fileno() >= 0}
        imports = () if self._warm is None else self._warm.senders()
        look = -1 if self._gpus is None else self._gpus.fileno()
        for descriptor in (*senders, *imports, wake, *([look] if look >= 0 else [])):
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(seconds * 1000):
            if descriptor in senders:
                senders[descriptor].read_events()
        if self._warm is not None:
            self._warm.read()
        for handle in self._running:
            handle.enforce()
        self._leaving = [handle for handle in self._leaving if not handle.left()]
        self._leaving += [handle for handle in self._running if handle.done()]
        self._running = [handle for handle in self._running if not handle.done()]
        if self._gpus is not None:
            self._gpus.collect()
