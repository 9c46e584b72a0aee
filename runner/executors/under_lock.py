"""An executor around another one: it starts no job once another runner has the batch. Knows nothing of how jobs run."""

from __future__ import annotations

from runner.core.job import Job
from runner.core.state import Record
from runner.disk.lock import Held, Lock
from runner.engine.protocols import Executor, Handle, Lease, Wait


class UnderLock:
    """An Executor. The file of a lock can be removed while a batch runs: it is locked again as soon as that is seen.
    Runners on other hosts get signs of life.

    If another runner was faster, the jobs that run are watched to their end, and no other one is started.
    """

    def __init__(self, inner: Executor, lock: Lock) -> None:
        self._inner = inner
        self._lock = lock
        self._lost = ""
        for name in ("tick", "look", "leaves"):  # what an executor may have beside the methods
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))

    def offer(self, job: Job) -> Lease | Wait:
        self._keep()
        return Wait(self._lost, over=True) if self._lost else self._inner.offer(job)

    def submit(self, job: Job, lease: Lease) -> Handle | Record | Wait:
        return self._inner.submit(job, lease)

    def adopt(self, job: Job) -> Handle | None:
        return self._inner.adopt(job)

    def wait(self, seconds: float, wake: int) -> None:
        self._inner.wait(seconds, wake)
        self._keep()

    def _keep(self) -> None:
        if self._lost:
            return
        what = "was removed while it ran"
        try:
            self._lock.keep()
            what = "gave no sign of life for minutes, as this runner was suspended or its disk was gone"
            self._lock.renew()
        except Held as held:
            by = held if held.stranger else f"another runner ({held})"
            self._lost = f"the lock of the batch {what}, and {by} has it now"
