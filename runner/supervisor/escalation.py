"""How a job is stopped, step by step, each with its grace. Only signals; knows nothing of results."""

from __future__ import annotations

import os
import signal
import time

from runner.processes import process_tree

KILL_AGAIN = 0.05  # seconds between two looks at a tree that is being killed


class Ladder:
    """How a job is stopped: SIGINT to it, SIGTERM and SIGCONT to its group, then its whole tree is killed."""

    def __init__(self, pid: int, grace: list[float]) -> None:
        self._pid = pid
        self._steps = [self._ask, self._tell, self._kill]
        self._grace = grace
        self._level = -1
        self.next_at: float | None = None  # when the next step is due; None: not stopping
        self._kill_until = 0.0
        self.exhausted = False

    def climb(self, level: int) -> None:
        """Go to this step unless a higher one was reached."""
        if level > self._level:
            self._level = level
            self._step()

    def tick(self) -> None:
        """Take the step that is due."""
        if self.next_at is None or time.monotonic() < self.next_at:
            return
        if self._level < len(self._steps) - 1:
            self._level += 1
        elif time.monotonic() > self._kill_until:
            self.exhausted = True
            return
        self._step()

    def _step(self) -> None:
        self._steps[self._level]()

    def _ask(self) -> None:
        for number in (signal.SIGINT, signal.SIGCONT):  # a stopped process would take its SIGINT only when continued
            process_tree.send([self._pid], number)
        self.next_at = time.monotonic() + self._grace[0]

    def _tell(self) -> None:
        for number in (signal.SIGTERM, signal.SIGCONT):  # SIGCONT: a stopped process receives nothing else
            try:
                os.killpg(self._pid, number)
            except (ProcessLookupError, PermissionError):
                pass
        self.next_at = time.monotonic() + self._grace[1]

    def _kill(self) -> None:
        if not self._kill_until:
            self._kill_until = time.monotonic() + self._grace[2]
        process_tree.send([self._pid], signal.SIGKILL)
        process_tree.kill_below(os.getpid())
        self.next_at = time.monotonic() + KILL_AGAIN
