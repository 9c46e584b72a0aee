"""One allocation of Slurm's that runs the jobs of a batch one after another, as an ordinary runner on this node.

Started as `python -I slurm_pilot.py BATCH NUMBER ROOM INDEX`. It claims each job before it starts it, so that several
pilots share a batch, and ends when no job is left or its time is nearly over. After SIGTERM it lets the jobs save, and
Slurm queue it again; after SIGINT, by which the user stops the batch, it does the first only.
"""

from __future__ import annotations

import os
import sys

# Last on the path: no file of ours may hide the standard library or an installed package.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import contextlib
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core import clock
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.state import INTERRUPTED, Finished, Record
from runner.disk import results, supervisor_file
from runner.disk.place import Place
from runner.engine import loop
from runner.engine.events import Event, JobEnded
from runner.engine.protocols import Wait
from runner.executors.local import Local
from runner.executors.slurm_task import node, own_id
from runner.processes import process_id
from runner.processes.signals import Signals
from runner.slurm import claims, commands, snapshot, submissions
from runner.slurm.claims import Claim
from runner.slurm.request import SlurmRequest
from runner.slurm.submissions import Task

LAST_START = 600.0  # seconds before the end of the allocation after which no further job is started
SHORT = 0.2  # of a time limit that is shorter than an hour, instead


class Claimed(Local):
    """The local executor, whose records name the allocation."""

    def __init__(self, options: RunOptions, tasks: Mapping[str, Task], about: Mapping[str, Any]) -> None:
        super().__init__(options, lambda job: {**tasks[job.name].about, "host": process_id.host(), "slurm": about})


class Claims:
    """A JobSource of the engine, and an Observer. `until` is the moment after which no further job is started."""

    def __init__(self, root: Path, tasks: Mapping[str, Task], index: int, until: float | None) -> None:
        self._root = root
        self._tasks = tasks
        names = list(tasks)
        options = next(iter(tasks.values())).options
        self._most = options.max_workers
        first = index * len(names) // max(1, options.slurm_pilots)
        self._left = names[first:] + names[:first]  # each pilot begins at another place
        self._held: list[str] = []  # by others, which may be gone later
        self._own: dict[str, Claim] = {}
        self._until = until
        self._asked: dict[str, bool | None] = {}

    def next(self, records: Mapping[str, Record]) -> Job | Wait | None:
        """The next job that nobody has; None when all are done, or others have them."""
        if len(self._own) >= self._most:
            return Wait()  # the engine asks for one more than it can run, which another pilot may have room for
        while self._until is None or time.monotonic() < self._until:
            if not self._left:
                if not self._held:
                    return None
                self._left, self._held, self._asked = self._abandoned(), [], {}
                if not self._left:
                    return None
            name = self._left.pop(0)
            before = claims.latest(self._root, name)
            if before is not None and before.ended and self._is_done(name):
                continue
            if before is not None and not before.ended and before.slurm_id != own_id():
                if name not in self._own and self._exists(before.slurm_id) is False:
                    now = claims.latest(self._root, name)  # it may have ended the job before it was gone
                    if now is not None and now.ended and self._is_done(name):
                        continue
                    before = replace(before, ended=True)
                else:
                    self._held.append(name)
                    continue
            task = self._tasks[name]
            claim = claims.take(self._root, name, Claim(own_id(), node(), task.comment), before)
            if claim is not None:
                self._own[name] = claim
                job = snapshot.running(task)
                supervisor_file.remove(Place.of_job(job))
                return job
        return None

    def _abandoned(self) -> list[str]:
        """Jobs whose pilot is gone."""
        self._asked = {}
        found = []
        for name in self._held:
            claim = claims.latest(self._root, name)
            if claim is not None and not claim.ended and self._exists(claim.slurm_id) is False:
                found.append(name)
        return found

    def _exists(self, slurm_id: str) -> bool | None:
        """Asked once in each round."""
        if slurm_id not in self._asked:
            self._asked[slurm_id] = commands.exists(slurm_id)
        return self._asked[slurm_id]

    def _is_done(self, name: str) -> bool:
        result = results.read_result(self._tasks[name].job)
        return result is not None and result.status != INTERRUPTED

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobEnded) and not event.again and isinstance(event.record.state, Finished):
            name = event.record.job.name
            if name in self._own:
                claims.end(self._root, name, self._own.pop(name))

    def release(self) -> bool:
        """Give back what was claimed and not started; whether anything is left to be done."""
        for name, claim in self._own.items():
            with contextlib.suppress(OSError):
                claims.end(self._root, name, claim)
        return bool(self._own or self._left or self._held)


def main(words: list[str]) -> int:
    """Run jobs until none is left."""
    root, number, index = Path(words[0]), int(words[1]), int(words[-1])
    found = {task.job.name: task for task in submissions.read_tasks(root, number)}
    options = replace(next(iter(found.values())).options, executor="local", report=False, notify=(), observers=())
    about = {"job": own_id(), "node": node(), "comment": next(iter(found.values())).comment}
    source = Claims(root, found, index, _until(options))
    plan = Plan(root.name, root, (), PlanKind("files"), clock.now(), options=options)
    with Signals() as signals:
        loop.run(plan, Claimed(options, found, about), [source], signals, source=source)
        left = source.release()
        if left and signals.received and signals.received[0] == signal.SIGTERM:
            commands.requeue(own_id())
            time.sleep(LAST_START)
    return 0


def _until(options: RunOptions) -> float | None:
    seconds = SlurmRequest.of(options).seconds
    return None if seconds is None else time.monotonic() + seconds - min(LAST_START, SHORT * seconds)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
