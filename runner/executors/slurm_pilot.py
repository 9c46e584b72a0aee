"""One allocation of Slurm's that runs the jobs of a batch one after another, as an ordinary runner on this node.

Started as `python -I slurm_pilot.py BATCH NUMBER ROOM INDEX`. It claims each job before it starts it, so that several
pilots share a batch, and ends when no job is left or its time is nearly over. After SIGTERM it lets the jobs save, and
Slurm queue it again; after SIGINT, by which the user stops the batch, it does the first only. On a node that fails jobs
it starts no further one, and is queued again for another node.
"""

from __future__ import annotations

import os
import sys

# Last on the path: no file of ours may hide the standard library or an installed package.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import contextlib
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core import clock
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.requests import Answer, Incoming, StopJobs
from runner.core.state import INTERRUPTED, Finished, Record
from runner.disk import results, supervisor_file
from runner.disk.place import Place
from runner.engine import loop
from runner.engine.events import Event, JobEnded
from runner.engine.protocols import Promoted, Wait
from runner.executors.local import Local
from runner.executors.slurm_task import node, own_id
from runner.processes import process_id
from runner.processes.signals import Signals
from runner.slurm import claims, commands, environment, nodes, snapshot, stops, submissions
from runner.slurm.claims import Claim
from runner.slurm.request import SlurmRequest
from runner.slurm.stops import Stop
from runner.slurm.submissions import Task

LAST_START = 600.0  # seconds before the end of the allocation after which no further job is started
SHORT = 0.2  # of a time limit that is shorter than an hour, instead
LOOK = 10.0  # seconds between two looks for jobs that are to be stopped


class Claimed(Local):
    """The local executor, whose records name the allocation."""

    def __init__(self, options: RunOptions, tasks: Mapping[str, Task], about: Mapping[str, Any]) -> None:
        super().__init__(options, lambda job: {**tasks[job.name].about, "host": process_id.host(), "slurm": about})


class Claims:
    """A PruningSource of the engine, and an Observer. `until` is the moment after which no further job is started.

    `own` are the claims of the jobs that this pilot has, and `pruned` the names of those that are to save and leave.
    `node_fails`: a job failed because of this node.
    """

    def __init__(self, root: Path, tasks: Mapping[str, Task], index: int, until: float | None) -> None:
        self._root = root
        self._tasks = tasks
        names = list(tasks)
        options = next(iter(tasks.values())).options
        self._most = options.max_workers
        first = index * len(names) // max(1, options.slurm_pilots)
        self._left = names[first:] + names[:first]  # each pilot begins at another place
        self._held: list[str] = []  # by others, which may be gone later; stopped, which may be taken back
        self.own: dict[str, Claim] = {}
        self.pruned: set[str] = set()
        self.node_fails = False
        self._returned: set[str] = set()
        self._until = until
        self._asked: dict[str, bool | None] = {}

    def next(self, records: Mapping[str, Record]) -> Job | Promoted | Wait | None:
        """The next job that nobody has; None when all are done, or others have them."""
        if len(self.own) >= self._most:
            return Wait()  # the engine asks for one more than it can run, which another pilot may have room for
        while not self.node_fails and (self._until is None or time.monotonic() < self._until):
            if not self._left:
                if not self._held:
                    return None
                self._left, self._held, self._asked = self._abandoned(), [], {}
                if not self._left:
                    return None
            if (job := self._taken(self._left.pop(0))) is not None:
                return job
        return None

    def _taken(self, name: str) -> Job | Promoted | None:
        """This job, claimed; None if it is done, stopped, or another pilot has it."""
        before = claims.latest(self._root, name)
        if before is not None and self._is_done(name, before):
            return None
        if before is not None and not before.ended and before.slurm_id != own_id():
            if name in self.own or self._exists(before.slurm_id) is not False:
                self._held.append(name)
                return None
            now = claims.latest(self._root, name)  # it may have ended the job before it was gone
            if now is not None and self._is_done(name, now):
                return None
            before = replace(before, ended=True)
        if self._is_stopped(name):
            self._held.append(name)
            return None
        task = self._tasks[name]
        claim = claims.take(self._root, name, Claim(own_id(), node(), task.comment), before)
        if claim is None:
            return None
        self.own[name] = claim
        job = snapshot.running(task)
        supervisor_file.remove(Place.of_job(job))
        again = name in self._returned
        self._returned.add(name)
        return Promoted(job) if again else job

    def prunes(self, job: Job) -> str:
        """Why a job is to save and leave."""
        return "its search has seen enough of it" if job.name in self.pruned else ""

    def _abandoned(self) -> list[str]:
        """Jobs whose pilot is gone, or that may run again."""
        self._asked = {}
        found = []
        for name in self._held:
            claim = claims.latest(self._root, name)
            free = claim is None or claim.ended or self._exists(claim.slurm_id) is False
            if free and not self._is_stopped(name):
                found.append(name)
        return found

    def _is_stopped(self, name: str) -> bool:
        """Whether a user has stopped this job since it was submitted."""
        return stops.requested(self._root, self._tasks[name].comment, name) is not None

    def _exists(self, slurm_id: str) -> bool | None:
        """Asked once in each round."""
        if slurm_id not in self._asked:
            self._asked[slurm_id] = commands.exists(slurm_id)
        return self._asked[slurm_id]

    def _is_done(self, name: str, claim: Claim) -> bool:
        """Whether the job has completed, or has ended in this submission."""
        task = self._tasks[name]
        if not claim.ended:
            return False
        result = results.read_result(task.job)
        ended = result is not None and result.status != INTERRUPTED and claim.comment == task.comment
        return ended or results.finished(task.job) is not None

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobEnded) and not event.again and isinstance(event.record.state, Finished):
            name = event.record.job.name
            is_left = event.record.status == INTERRUPTED or self._is_left_by_node(name)
            if name in self.own:
                claims.end(self._root, name, self.own.pop(name))
            self.pruned.discard(name)
            if is_left:
                self._held.append(name)

    def _is_left_by_node(self, name: str) -> bool:
        """Whether a job that ended is to run again, as it failed because of this node."""
        result = results.read_result(self._tasks[name].job)
        with contextlib.suppress(OSError):
            if result is not None and (why := nodes.after(self._root, node(), result)) is not None:
                again = result.updated(status=INTERRUPTED, error=f"{why}; it runs again on another node than {node()}")
                results.write_result(self._tasks[name].job, again)
                self.node_fails = True
                return True
        return False

    def release(self) -> bool:
        """Give back what was claimed and not started; whether anything is left to be done."""
        for name, claim in self.own.items():
            with contextlib.suppress(OSError):
                claims.end(self._root, name, claim)
        return bool(self.own or self._left or [name for name in self._held if not self._is_stopped(name)])


class Stops:
    """Requests of the engine: the jobs of this pilot that are stopped. Those to be pruned are noted in the source."""

    def __init__(self, root: Path, source: Claims) -> None:
        self._root = root
        self._source = source
        self._taken: dict[str, Stop] = {}
        self._next_look = 0.0

    def take(self) -> Sequence[Incoming]:
        """The requests that are new."""
        if time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + min(LOOK, environment.poll(LOOK))
        keys, found = stops.keys(self._root), []
        for name, claim in self._source.own.items():
            stop = stops.requested(self._root, claim.comment, name) if claims.key(name) in keys else None
            if stop is None or self._taken.get(name) == stop:
                continue
            self._taken[name] = stop
            if stop.how == stops.PRUNE:
                self._source.pruned.add(name)
            else:
                found.append(Incoming(name, StopJobs((name,), kill=stop.how == stops.KILL)))
        return found

    def answer(self, incoming: Incoming, answer: Answer) -> None:
        """A job that was claimed and has not started is asked again."""
        if answer.refused:
            self._taken.pop(incoming.ticket, None)


def main(words: list[str]) -> int:
    """Run jobs until none is left."""
    root, number, index = Path(words[0]), int(words[1]), int(words[-1])
    found = {task.job.name: task for task in submissions.read_tasks(root, number)}
    options = replace(next(iter(found.values())).options, executor="local", report=False, notify=(), observers=())
    about = {"job": own_id(), "node": node(), "comment": next(iter(found.values())).comment}
    comment = next(iter(found.values())).comment
    if stops.requested(root, comment, None) is not None:
        return 0
    source = Claims(root, found, index, _until(options))
    plan = Plan(root.name, root, (), PlanKind("files"), clock.now(), options=options)
    with Signals() as signals:
        executor, requests = Claimed(options, found, about), Stops(root, source)
        loop.run(plan, executor, [source], signals, source=source, requests=requests)
        left = source.release()
        if left and (source.node_fails or (signals.received and signals.received[0] == signal.SIGTERM)):
            if source.node_fails:
                commands.exclude(own_id(), [*nodes.bad(root)])
            commands.requeue(own_id())
            time.sleep(LAST_START)
    return 0


def _until(options: RunOptions) -> float | None:
    seconds = SlurmRequest.of(options).seconds
    return None if seconds is None else time.monotonic() + seconds - min(LAST_START, SHORT * seconds)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
