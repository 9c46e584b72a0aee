"""Run jobs on this machine, in a fixed number of slots. One slot is sequential."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any

from runner.job import Job
from runner.process import Supervised, Terms


class Local:
    """An Executor of the engine. `facts` go into the metadata of every job."""

    def __init__(self, terms: Terms, facts: Mapping[str, Any], slots: int = 1) -> None:
        self.slots = slots
        self._terms = terms
        self._facts = facts
        self._running: dict[int, Supervised] = {}

    def submit(self, job: Job, attempt: int = 1) -> Supervised:
        """Start a job. Raises OSError when its folder or its supervisor cannot be made."""
        handle = Supervised(job, attempt, self._terms, self._facts)
        self._running[handle.fileno()] = handle
        return handle

    def wait(self, seconds: float, wake: int) -> None:
        """Return when a job has something to say, when the descriptor `wake` becomes readable, or after `seconds`."""
        poll = select.poll()
        for descriptor in (*self._running, wake):
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(seconds * 1000):
            if descriptor in self._running:
                self._running[descriptor].hear()
                if self._running[descriptor].done():
                    del self._running[descriptor]
