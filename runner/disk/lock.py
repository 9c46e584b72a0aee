"""One runner per batch folder: a lock that the kernel lets go when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from runner.core import clock
from runner.processes import process_id

GLANCE = 0.2  # seconds; somebody who only looks whether it is held has it for microseconds


class Held(Exception):
    """Somebody else runs this batch; `holder` is what they wrote about themselves."""

    def __init__(self, holder: dict[str, Any]) -> None:
        super().__init__(f"pid {holder.get('pid', '?')} on {holder.get('host', '?')} since {holder.get('since', '?')}")
        self.holder = holder


class Lock:
    """Held from its making to `release`; a process that is forked meanwhile holds it too. Raises Held or OSError.

    `patience` is for how many seconds it is tried.
    """

    def __init__(self, path: str, patience: float = GLANCE) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(self._descriptor)
                    raise Held(_read(path)) from None
                time.sleep(0.01)
        self._mine = True
        self.sign()

    def sign(self) -> None:
        """Write who holds it: this process. Again after a fork."""
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": clock.now(), "identity": process_id.own()}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(who).encode() + b"\n", 0)

    def hand_over(self) -> None:
        """Another process, forked from this one, holds it from now on and signs it."""
        self._mine = False

    def release(self) -> None:
        if self._mine:
            try:
                os.ftruncate(self._descriptor, 0)  # a signature that stays is that of a holder that was killed
            except OSError:  # the disk was taken away; nobody will read it there
                pass
        os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(path: str) -> dict[str, Any] | None:
    """Who holds the lock now; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(descriptor)
    return None


def was_left(path: str) -> bool:
    """True if nobody holds the lock, and the last holder did not let it go itself: it was killed."""
    signed = bool(_read(path))
    return signed and holder(path) is None  # in this order: somebody may take it meanwhile


def _read(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):  # it is being written at this moment
        return {}
    return found if isinstance(found, dict) else {}
