"""When something began and ended, and how long it took. Imported by every supervisor."""

from __future__ import annotations

import time

from runner.core import clock

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Any


class Stopwatch:
    """Starts when it is made. The wall clock gives the two times, the monotonic clock the duration in seconds."""

    def __init__(self) -> None:
        self.start = clock.now()
        self._began = time.monotonic()
        self._read: dict[str, Any] | None = None

    def read(self) -> dict[str, Any]:
        """`start_time`, `end_time`, `duration_seconds`: until now, or until `stop`."""
        if self._read is not None:
            return dict(self._read)
        seconds = round(time.monotonic() - self._began, 3)
        return {"start_time": self.start, "end_time": clock.now(), "duration_seconds": seconds}

    def stop(self) -> None:
        """Keep the reading of this moment. Later calls change nothing."""
        self._read = self._read or self.read()
