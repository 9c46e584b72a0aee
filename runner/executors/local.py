"""Run jobs on this machine, in a fixed number of slots. One slot is sequential."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.state import Record
from runner.disk import results
from runner.executors.supervised import Adopted, Supervised, adopt


class Local:
    """An Executor of the engine. `facts` go into the metadata of every job."""

    def __init__(self, options: RunOptions, facts: Mapping[str, Any]) -> None:
        self.slots = options.max_workers
        self.grace = options.grace[0]
        self._options = options
        self._facts = facts
        self._running: list[Supervised | Adopted] = []

    def finished(self, job: Job) -> Record | None:
        """The record of a job that is done already."""
        return results.finished(job)

    def submit(self, job: Job) -> Supervised:
        """Start a job. Raises OSError when its folder or its supervisor cannot be made."""
        handle = Supervised(job, self._options, self._facts)
        self._running.append(handle)
        return handle

    def adopt(self, job: Job) -> Adopted | None:
        """Take over a job that runs already; None if it does not."""
        handle = adopt(job, self._options)
        if handle is not None:
            self._running.append(handle)
        return handle

    def wait(self, seconds: float, wake: int) -> None:
        """Return when a job has something to say, when the descriptor `wake` becomes readable, or after `seconds`."""
        poll = select.poll()
        speaking = {handle.fileno(): handle for handle in self._running if handle.fileno() >= 0}
        for descriptor in (*speaking, wake):
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(seconds * 1000):
            if descriptor in speaking:
                speaking[descriptor].read_events()
        for handle in self._running:
            handle.enforce()
        self._running = [handle for handle in self._running if not handle.done()]
