"""How long to wait for a system that has no room for the start of a job."""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.engine.protocols import Wait
from runner.processes import shortage

LIMIT = 60.0  # seconds in which nothing of ours runs whose end could make room


class Patience:
    """Since when no job could be started. `busy` says whether others of ours run: as long as they do, we wait."""

    def __init__(
        self, busy: Callable[[], bool], limit: float = LIMIT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._busy = busy
        self._limit = limit
        self._clock = clock
        self._since: float | None = None

    def after(self, error: OSError) -> Wait | None:
        """Why to wait after a start that failed so; None if that does not pass, or has lasted for too long."""
        if error.errno not in shortage.PASSING:
            return None
        now = self._clock()
        if self._since is None or self._busy():
            self._since = now
        if now - self._since > self._limit:
            self._since = None
            return None
        return Wait(f"the system has no room for its start ({error.strerror})")

    def over(self) -> None:
        """A job was started."""
        self._since = None
