"""The GPUs of this machine now: their use, and who holds them. One look for all browsers."""

from __future__ import annotations

import os
import pwd
import threading
import time
from typing import Any

from runner.gpus import leases
from runner.gpus.devices import Gpu, Snapshot
from runner.gpus.looker import Looker

EVERY = 1.0  # seconds between two looks; the page asks as often, so that nothing is older than 2 s
RARELY = 60.0  # seconds until the next one where no GPU was found: each is a process


class Gpus:
    """For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looker = Looker()
        self._next_look = 0.0
        self._answer: dict[str, Any] = {}

    def look(self) -> dict[str, Any]:
        """`error`: why nothing is known of them, as on a machine without GPUs."""
        with self._lock:
            if time.monotonic() >= self._next_look:
                found = self._looker.look()
                self._answer = _answer(found)
                self._next_look = time.monotonic() + (EVERY if found.gpus else RARELY)
            return self._answer


def _answer(found: Snapshot) -> dict[str, Any]:
    path = leases.path_of(os.environ)
    return {"error": found.error, "driver": found.driver, "gpus": [_gpu(gpu, path) for gpu in found.gpus]}


def _gpu(gpu: Gpu, path: str) -> dict[str, Any]:
    return {
        "label": gpu.label,
        "name": gpu.name,
        "memory_used": gpu.memory_used,
        "memory_total": gpu.memory_total,
        "error": gpu.error,
        **gpu.activity,
        "held_by": [{"user": one.user, "batch": one.batch, "job": one.job} for one in leases.holders(path, gpu.uuid)],
        "processes": [{"pid": one.pid, "memory": one.memory, **_user(one.pid)} for one in gpu.processes],
    }


def _user(pid: int) -> dict[str, Any]:
    """The user that a process belongs to, by name where it has one, and whether that is us."""
    try:
        number = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - of the kernel
    except OSError:
        return {"user": None, "own": False}
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    return {"user": name, "own": number == os.getuid()}
