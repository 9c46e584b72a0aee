"""Jobs as tasks of Slurm's job arrays. This process submits them and watches: the folders of the jobs are the truth.

An Executor of the engine. How a job runs is what slurm_task.py does on its node; what is asked of Slurm is in
runner/slurm. The process may end at any time; another one adopts what it submitted.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.printing import say
from runner.core.state import Record
from runner.disk.place import Place
from runner.engine.protocols import Lease, Wait
from runner.executors import slurm_check, slurm_stop
from runner.executors.slurm_handle import Followed
from runner.executors.slurm_submit import Submitter
from runner.processes.ready import ready
from runner.slurm import claims, commands, environment, script, stops, submissions
from runner.slurm.states import Listed
from runner.slurm.submissions import Submission

POLL = 30.0  # seconds between two questions to Slurm, at least
LONGEST = 4  # times as long, at most
GROWTH = 1.25  # of that time, while nothing changes
TICK = 5.0  # seconds between two looks of the engine at requests
SEARCH = 60.0  # seconds in which a submission without an answer may still appear in the queue


class Slurm:
    """An Executor of the engine. `provenance` returns what goes into the metadata of a job."""

    ELSEWHERE = True  # jobs that run on other hosts are adopted
    leaves = (signal.SIGTERM, signal.SIGHUP)  # signals after which this process ends and the jobs continue

    def __init__(self, options: RunOptions, provenance: Callable[[Job], Mapping[str, Any]]) -> None:
        self._options = options
        self._least = environment.poll(POLL)
        self._interval = self._least
        self.tick, self.look = min(TICK, self._least), self._least
        self._submitter = Submitter(options, provenance, self._least)
        self._active: dict[Followed, None] = {}
        self._found: dict[str, tuple[Submission, int]] | None = None  # of earlier processes, by the name of the job
        self._listing: dict[str, Listed] | None = None
        self._next_poll = 0.0
        self._pilots_gone: float | None = None  # since when
        self._claimed_before = 0  # jobs that earlier pilots claimed
        self._stops: dict[str, list[Followed]] = {stops.STOP: [], stops.PRUNE: [], stops.KILL: []}

    def offer(self, job: Job) -> Lease | Wait:
        """Room in Slurm's queue, as far as --slurm_max_submit goes."""
        if len(self._active) < self._options.slurm_max_submit or self._options.slurm_pilots:
            return self._submitter.waits() or Lease()
        return Wait(f"{self._options.slurm_max_submit} jobs are in Slurm's queue (--slurm_max_submit)")

    def submit(self, job: Job, lease: Lease) -> Followed:
        """The job is submitted together with those that follow, in the next `wait`."""
        handle = Followed(job, self._options, self._patience)
        known = self._queued(job)
        if known is not None:
            self._bind(handle, *known)
        else:
            self._submitter.add(handle)
        self._active[handle] = None
        handle.on_stop = self._stops
        return handle

    def adopt(self, job: Job) -> Followed | None:
        """Follow a job that an earlier process submitted; None if Slurm does not have it any more."""
        known = self._queued(job)
        if known is None:
            return None
        handle = Followed(job, self._options, self._patience)
        self._bind(handle, *known)
        if self._listing is not None and (line := self._listing.get(handle.slurm_id)) is not None:
            handle.seen(line)
        self._active[handle] = None
        handle.on_stop = self._stops
        return handle

    @staticmethod
    def _bind(handle: Followed, submission: Submission, index: int) -> None:
        if submission.pilots:
            handle.bind_to_pilots(submission)
        else:
            handle.bind(submission, index)

    def wait(self, seconds: float, wake: int) -> None:
        """Submit what was collected, ask Slurm if that is due; return after `seconds`, or when `wake` is readable."""
        self._submitter.flush()
        self._carry_out_stops()
        due = max(0.0, self._next_poll - time.monotonic())
        if due == 0.0 and self._active:
            self._poll()
        else:
            ready(wake, min(seconds, due if self._active else seconds))
        for handle in [handle for handle in self._active if handle.done()]:
            del self._active[handle]

    def leave(self) -> Sequence[Submission]:
        """Submit what was collected and watch no further: what --detach does."""
        while self._submitter.flush() or self._submitter.waits():
            time.sleep(min(1.0, self._least))
        arrays = sorted({handle.array for handle in self._active} - {""}, key=int)
        if arrays and self._options.slurm_summary == "on":
            root = self._root(next(iter(self._active)).job)
            if why := self._submitter.conclude(root, arrays):
                say(f"Note: the summary is not written at the end: {why}")
        return self._submitter.made

    @staticmethod
    def problems(plan: Plan, jobs: Sequence[Job]) -> list[str]:
        """What is wrong with the plan, before anything is submitted."""
        return slurm_check.problems(plan, jobs)

    @staticmethod
    def preview(plan: Plan) -> str:
        """What --dry-run shows beside the jobs."""
        return slurm_check.preview(plan)

    @staticmethod
    def advice(plan: Plan, records: Sequence[Record]) -> str | None:
        """What to do otherwise the next time; None if nothing."""
        return slurm_check.advice(plan, records)

    @staticmethod
    def stop(plan: Plan, names: Collection[str] | None, how: str) -> list[str] | None:
        """Stop a batch without a runner; what was asked to end, None if Slurm does not answer."""
        return slurm_stop.stop(plan.root, names, how)

    @staticmethod
    def gone(plan: Plan, ids: Sequence[str], patience: float) -> list[str]:
        """What is left of it after so many seconds."""
        return slurm_stop.gone(plan.root, ids, patience)

    @staticmethod
    def notes(plan: Plan) -> dict[str, str]:
        """What Slurm says of the jobs that it has."""
        return slurm_stop.notes(plan.root)

    @property
    def _patience(self) -> float:
        """Seconds in which the result of a job that is gone may still become visible on a shared disk."""
        return 3 * self._least

    def _poll(self) -> None:
        """One question to Slurm about all jobs of the batch."""
        root = self._root(next(iter(self._active)).job)
        lines = commands.queue(script.job_name(root.name))
        changed = False
        if lines is not None:
            self._listing = {line.slurm_id: line for line in lines}
            for handle in self._active:
                changed = handle.look(self._listing, root) or changed
            self._settle(root)
            if self._options.slurm_pilots:
                changed = self._look_at_pilots(root, lines) or changed
        self._interval = self._least if changed else min(self._interval * GROWTH, LONGEST * self._least)
        self._next_poll = time.monotonic() + self._interval

    def _look_at_pilots(self, root: Path, lines: Sequence[Listed]) -> bool:
        """What the pilots did; when they are gone, the jobs that they left are submitted again."""
        claimed, stopped = claims.claimed(root), stops.keys(root)
        changed = False
        for handle in self._active:
            changed = handle.look_at_claim(root, claimed, stopped, pilots_run=bool(lines)) or changed
        self._pilots_gone = None if lines else self._pilots_gone or time.monotonic()
        if self._pilots_gone and time.monotonic() - self._pilots_gone > self._patience and not self._submitter.waiting:
            for handle in self._active:
                if not handle.done():
                    handle.abandon(root, again=len(claimed) > self._claimed_before)
            self._claimed_before, self._pilots_gone = len(claimed), None
        return changed

    def _settle(self, root: Path) -> None:
        """Ask for the end of jobs that have been gone for long, and left no result: once for each array."""
        gone = [handle for handle in self._active if handle.is_overdue]
        for array in dict.fromkeys(handle.slurm_id.partition("_")[0] for handle in gone):
            known = commands.shown(array)
            if known is None:  # Slurm does not answer, for other arrays either
                return
            ended = {**(commands.accounted(array) if not known else {}), **known}
            for handle in gone:
                if handle.slurm_id.partition("_")[0] == array:
                    handle.settle(ended.get(handle.slurm_id), root)

    def _carry_out_stops(self) -> None:
        """Cancel what waits, and let what runs save and leave, with few calls."""
        for how, handles in self._stops.items():
            if not handles:
                continue
            root = self._root(handles[0].job)
            if self._options.slurm_pilots:
                whole = self._active.keys() <= {*handles} and how != stops.PRUNE
                slurm_stop.stop(root, None if whole else {handle.job.name for handle in handles}, how)
            self._submitter.withdraw(handles)
            waiting = [handle.slurm_id for handle in handles if handle.slurm_id and not handle.runs]
            running = [handle for handle in handles if handle.slurm_id and handle.runs]
            if how == stops.KILL:
                commands.cancel([*waiting, *(handle.slurm_id for handle in running)])
            else:
                commands.cancel(waiting)
                slurm_stop.let_save(root, running, how)
            handles.clear()
            self._next_poll = 0.0

    def _queued(self, job: Job) -> tuple[Submission, int] | None:
        """The submission that has this job in Slurm's queue, and its index there; None if there is none."""
        root = self._root(job)
        if self._found is None:
            self._found = self._search(root)
        found = self._submitter.known.get(job.name) or self._found.get(job.name)
        if found is None:
            return None
        if self._listing is None:  # Slurm does not answer: never an end
            return found
        if found[0].pilots:
            return found if any(one.startswith(f"{found[0].slurm_id}_") for one in self._listing) else None
        if found[0].task(found[1]) in self._listing:
            return found
        claim = claims.latest(root, job.name)
        return found if claim is not None and not claim.ended and claim.slurm_id in self._listing else None

    def _search(self, root: Path) -> dict[str, tuple[Submission, int]]:
        """What earlier processes submitted, by name. A submission whose answer was lost is looked for in the queue."""
        earlier = submissions.read_all(root)
        if not earlier:
            return {}
        stops.withdraw(root)
        deadline = time.monotonic() + min(SEARCH, 2 * self._least)
        while True:
            lines = commands.queue(script.job_name(root.name))
            comments = {line.comment: line.slurm_id.partition("_")[0] for line in lines or ()}
            lost = [one for one in earlier if not one.slurm_id and one.comment not in comments]
            if (lines is not None and not lost) or time.monotonic() > deadline:
                break
            time.sleep(min(5.0, self._least))
        self._listing = None if lines is None else {line.slurm_id: line for line in lines}
        found: dict[str, tuple[Submission, int]] = {}
        for one in earlier:
            known = self._submitter.with_id(root, one, comments.get(one.comment))
            if known is not None:
                found |= {name: (known, index) for index, name in enumerate(known.names)}
        return found

    @staticmethod
    def _root(job: Job) -> Path:
        return Path(Place.of_job(job).root)
