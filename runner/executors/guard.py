"""The engine's side of the guard, which ends what is left of jobs when engine and supervisors were killed."""

from __future__ import annotations

import contextlib
import json
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.executors.spawner import Child, Spawner

LEAVES_WITHIN = 2.0  # seconds for which its end is waited for, once nothing is left to be guarded


class Guard:
    """Starts the guard with the first job (Linux: elsewhere marks cannot be found). It ends with this object.

    Without it, because it cannot be started or was killed, jobs run all the same; the next job starts it again.
    """

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._process: Child | None = None
        self._jobs: dict[str, list[Any]] = {}

    def watch(self, supervisor: Sequence[str], mark: str, folder: Path) -> None:
        """A supervisor is about to start its job."""
        self._jobs[mark] = [mark, list(supervisor), str(folder)]
        if self._process is not None and not self._process.gone():
            self._send(self._jobs[mark])
        elif sys.platform.startswith("linux"):
            self._start()

    def forget(self, mark: str) -> None:
        """Nothing is left of the job."""
        self._jobs.pop(mark, None)
        self._send([mark])

    def _start(self) -> None:
        with contextlib.suppress(OSError):
            self._process = self._spawner.start("guard", ())
            weakref.finalize(self, _end, self._process)
            for message in self._jobs.values():
                self._send(message)

    def _send(self, message: list[Any]) -> None:
        if self._process is not None:
            self._process.send(json.dumps(message).encode() + b"\n")


def _end(process: Child) -> None:
    """Let it end by itself; it stays as long as a supervisor lives."""
    process.close()
    process.gone(LEAVES_WITHIN)
    process.forget()
