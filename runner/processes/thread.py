"""A thread, as threading.Thread is one. A module that has imported `threading` pays for it in each fork.

Python repairs the locks and the list of threads of `threading` in every child, also where there is one thread only:
that touches a hundred pages of memory, in each supervisor and once more in each job before its exec.
"""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread


class Thread:
    """Runs `run` once. Does not keep its process alive."""

    def __init__(self) -> None:
        self._runs = allocate_lock()

    def run(self) -> None:
        """What it does; an exception is printed."""

    def start(self) -> None:
        """Raises RuntimeError if there is no room for another thread."""
        self._runs.acquire()
        try:
            start_new_thread(self._run, ())
        except RuntimeError:
            self._runs.release()
            raise

    def _run(self) -> None:
        try:
            self.run()
        finally:
            self._runs.release()

    def is_alive(self) -> bool:
        return self._runs.locked()

    def join(self, seconds: float) -> None:
        """Wait for its end, for so long at most."""
        if self._runs.acquire(timeout=seconds):
            self._runs.release()
