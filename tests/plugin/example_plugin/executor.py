"""An executor for programs that need a licence: a job takes a file from a folder and puts it back at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.state import Record
from runner.engine.protocols import Handle, Lease, Wait
from runner.executors.local import Local


@dataclass(frozen=True)
class Licence(Lease):
    """One file of the folder."""

    path: Path


class Licensed(Local):
    """Local, for as many jobs at once as there are licences in the folder $LICENCES."""

    def __init__(self, options: RunOptions, provenance: Callable[[Job], Mapping[str, Any]]) -> None:
        super().__init__(options, provenance)
        self._folder = Path(os.environ["LICENCES"])
        self._taken: dict[Handle, Path] = {}

    def offer(self, job: Job) -> Lease | Wait:
        room = super().offer(job)
        if isinstance(room, Wait):
            return room
        free = sorted(self._folder.glob("*.licence"))
        return Licence(free[0]) if free else Wait(f"no licence is free in {self._folder}")

    def submit(self, job: Job, lease: Lease) -> Handle | Record:
        assert isinstance(lease, Licence)
        taken = lease.path.rename(lease.path.with_suffix(".taken"))
        started = super().submit(job, lease)
        if isinstance(started, Record):
            taken.rename(lease.path)
        else:
            self._taken[started] = taken
        return started

    def wait(self, seconds: float, wake: int) -> None:
        super().wait(seconds, wake)
        for handle, path in list(self._taken.items()):
            if handle.done():
                path.rename(path.with_suffix(".licence"))
                del self._taken[handle]
