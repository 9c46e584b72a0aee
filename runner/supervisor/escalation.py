"""How a job is stopped, step by step, each with its grace. Only signals; knows nothing of results."""

from __future__ import annotations

import os
import signal
import time

from runner.processes import process_tree
from runner.processes.interrupt import interrupt

INTERRUPT, TERMINATE, KILL = 0, 1, 2  # the steps
KILL_AGAIN = 0.05  # seconds between two looks at a tree that is being killed


class StopEscalation:
    """SIGINT to the job's session, as a terminal sends it, then SIGTERM, then its whole tree is killed.

    The job leads the session, and must not have been waited for: its id would be free for another process. `grace` has
    the seconds after each step until the next one; after the last, until the tree counts as unkillable.
    """

    def __init__(self, pid: int, grace: list[float]) -> None:
        self._pid = pid
        self._steps = [self._interrupt, self._terminate, self._kill]
        self._grace = grace
        self._level = -1
        self.next_at: float | None = None  # when the next step is due; None: not stopping
        self._kill_until = 0.0
        self.exhausted = False

    def escalate(self, level: int) -> None:
        """Go to this step unless a later one was reached."""
        if level > self._level:
            self._level = level
            self._steps[level]()

    def tick(self) -> None:
        """Take the step that is due."""
        if self.next_at is None or time.monotonic() < self.next_at:
            return
        if self._level < KILL:
            self._level += 1
        elif time.monotonic() > self._kill_until:
            self.exhausted = True
            return
        self._steps[self._level]()

    @property
    def begun(self) -> bool:
        """True once the job was asked to stop."""
        return self._level >= INTERRUPT

    def _interrupt(self) -> None:
        interrupt(self._pid)
        self.next_at = time.monotonic() + self._grace[INTERRUPT]

    def _terminate(self) -> None:
        for number in (signal.SIGTERM, signal.SIGCONT):  # SIGCONT: a stopped process receives nothing else
            for group in {self._pid, *(one.group for one in process_tree.session(self._pid))}:
                process_tree.send_group(group, number)
        self.next_at = time.monotonic() + self._grace[TERMINATE]

    def _kill(self) -> None:
        if not self._kill_until:
            self._kill_until = time.monotonic() + self._grace[KILL]
        process_tree.send([self._pid], signal.SIGKILL)
        process_tree.kill_below(os.getpid())
        self.next_at = time.monotonic() + KILL_AGAIN
