"""One job in Slurm's queue or on a node, as the runner that watches sees it. Asks Slurm nothing itself."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path

from runner.core import causes
from runner.core.job import Attempt, Job
from runner.core.options import RunOptions
from runner.core.result import Result
from runner.core.state import ERROR, INTERRUPTED, KILLED, TIMEOUT, Record
from runner.disk import attempts, results, supervisor_file
from runner.engine.protocols import How, Wait
from runner.slurm import claims, nodes, states, stops
from runner.slurm.states import Listed, TaskState
from runner.slurm.submissions import Submission

#: Slurm's states of a job that left no result -> its status, and the cause.
_ENDS = {
    "TIMEOUT": (TIMEOUT, causes.TIME_LIMIT),
    "OUT_OF_MEMORY": (KILLED, causes.HOST_OOM),
    "CANCELLED": (INTERRUPTED, None),
    "DEADLINE": (TIMEOUT, causes.TIME_LIMIT),
}
#: States after which the job is submitted again.
_AGAIN = frozenset({"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REQUEUED"})


class Followed:
    """A Handle of the engine. `on_stop` are the lists of its executor in which stop requests are collected."""

    def __init__(self, job: Job, options: RunOptions, patience: float) -> None:
        self.job = job
        self.attempt = Attempt(job, 1, job.argv, {})
        self.pid: int | None = None
        self.started_at: str | None = None
        self.host: str | None = None
        self.slurm_id = ""
        self.on_stop: dict[str, list[Followed]] = {}
        self._options = options
        self._patience = patience
        self.comment = ""
        self._pilots = ""  # Slurm's id of the array of pilots, one of which runs it
        self._line: Listed | None = None
        self._gone_at: float | None = None
        self._stopping = False
        self._end: Record | Wait | None = None

    def bind(self, submission: Submission, index: int) -> None:
        """It was submitted."""
        self.comment = submission.comment
        self.slurm_id = submission.task(index)

    @property
    def array(self) -> str:
        """Slurm's id of the array that has it, or of that of its pilots; empty before it is submitted."""
        return self._pilots or self.slurm_id.partition("_")[0]

    @property
    def runs(self) -> bool:
        return self._line is not None and not self._line.waits

    @property
    def is_overdue(self) -> bool:
        """Gone for so long without a result that Slurm is asked for its end."""
        return self._end is None and self._gone_at is not None and time.monotonic() - self._gone_at >= self._patience

    def bind_to_pilots(self, submission: Submission) -> None:
        """It was submitted for pilots, one of which may claim it."""
        self.comment = submission.comment
        self._pilots = submission.slurm_id

    def look_at_claim(
        self, root: Path, claimed: Collection[str], stopped: Collection[str], *, pilots_run: bool
    ) -> bool:
        """Take over what its claim and its folder say.

        `claimed` and `stopped` are the keys of jobs that were ever claimed, or stopped.
        """
        if self._end is not None or not self._pilots:
            return False
        key = claims.key(self.job.name)
        is_stopped = key in stopped and stops.requested(root, self.comment, self.job.name) is not None
        claim = claims.latest(root, self.job.name) if key in claimed else None
        if claim is None or claim.comment != self.comment:
            if is_stopped:
                self._end = self._stopped_early()
            return is_stopped
        result = results.read_result(self.job)
        waits = pilots_run and not is_stopped and result is not None and result.status == INTERRUPTED
        if claim.ended and result is not None and not waits:
            self._end = results.record(self.job, result)
            return True
        if self.pid is None:
            self._find_process()
            return self.pid is not None
        return False

    def _stopped_early(self) -> Record | Wait:
        """A user has stopped it before a pilot took it."""
        why = "it was stopped before it started"
        return Wait(why) if self._stopping else self._not_started(why, INTERRUPTED)

    def abandon(self, root: Path, *, again: bool) -> None:
        """Its pilots have ended without it."""
        if not self._stopping and stops.requested(root, self.comment, None) is not None:
            self._end = self._stopped_early()
        elif again or self._stopping:
            self._end = Wait("the pilots have ended; others are submitted")
        else:
            self.refuse(f"the pilots ended without starting a job; see slurm/{self._pilots}_0.log")

    def seen(self, line: Listed) -> None:
        """What squeue says of it."""
        self._line = line

    def look(self, listing: Mapping[str, Listed], root: Path) -> bool:
        """Take over what Slurm and the folder say now; returns whether anything changed."""
        if self._end is not None or not self.slurm_id:
            return False
        before, line = self._line, listing.get(self.slurm_id)
        if line is None:
            return self._look_at_gone(listing, root)
        self._line, self._gone_at = line, None
        if line.waits:
            if (before is not None and not before.waits) or self.pid is not None:
                self._end = Wait(self._again() or states.waits(line))
        elif self.pid is None:
            self._find_process()
        return before is None or before.state != line.state

    def _again(self) -> str:
        """Why it waits once more, where the start before said so."""
        result = self._result()
        return f"queued again: {result.error}" if result is not None and result.error else ""

    def _find_process(self) -> None:
        found = supervisor_file.read(self.job.out_dir)
        if found is not None and found.job_pid is not None:
            self.pid, self.started_at = found.job_pid, found.started_at
            self.host = found.where if found.on_other_host else None
            self.attempt = Attempt(self.job, found.attempt, found.argv, {})

    def _look_at_gone(self, listing: Mapping[str, Listed], root: Path) -> bool:
        """It is not in the queue: its result, or another task that has it."""
        result = self._result()
        if result is not None:
            self._end = self._ended(result)
            return True
        if self._stopping and self._line is None:
            self._end = Wait("cancelled before it started")
            return True
        if self._gone_at is None:
            self._gone_at = time.monotonic()
            claim = claims.latest(root, self.job.name)
            if claim is not None and not claim.ended and claim.slurm_id in listing:
                self.slurm_id, self._gone_at = claim.slurm_id, None  # it was submitted twice
        return False

    def _result(self) -> Result | None:
        """The result of a start of this submission; not one that was there before."""
        result = results.read_result(self.job)
        about = None if result is None else result.to_json().get("slurm")
        return result if isinstance(about, dict) and about.get("comment") == self.comment else None

    def _ended(self, result: Result) -> Record | Wait:
        about = result.to_json()["slurm"]
        cut_short = result.cause in (causes.PREEMPTED, causes.TIME_LIMIT) and result.status == INTERRUPTED
        if cut_short and not about.get("requeued") and not self._stopping:
            return Wait(f"submitted again: {result.error}")  # Slurm did not queue it again
        return results.record(self.job, result)

    def settle(self, state: TaskState | None, root: Path) -> None:
        """Gone for long, without a result: decide by what Slurm knows."""
        result = self._result()
        if result is not None:
            self._end = self._ended(result)
        elif (done := results.finished(self.job)) is not None:  # by a start of an earlier submission
            self._end = done
        elif self._stopping:
            self._end = Wait("cancelled before it started")
        elif state is not None and state.state in _AGAIN:
            if state.state == "NODE_FAIL":
                nodes.note(root, state.node, "the node failed")
            self._end = Wait(f"submitted again: {states.sentence(state, self.slurm_id, '')}")
        elif state is not None and state.state in states.LIVE:
            self._gone_at = None  # squeue left it out
        else:
            self._end = self._lost(state)

    def _lost(self, state: TaskState | None) -> Record:
        log = f"slurm/{self.slurm_id}.log"
        status, cause = _ENDS.get(state.state if state is not None else "", (ERROR, None))
        attempts.forget_supervisor(self.job)
        attempt = Attempt(self.job, max(attempts.last(self.job), 1), self.job.argv, {})
        result = results.lost(attempt, states.sentence(state, self.slurm_id, log), self.started_at)
        entries = {"cause": cause, "cause_sure": True} if cause else {}
        result = result.updated(status=status, **entries)
        results.write_result(self.job, result)
        return results.record(self.job, result)

    def refuse(self, why: str) -> None:
        """It could not be submitted."""
        self._end = self._not_started(why, ERROR)

    def _not_started(self, why: str, status: str) -> Record:
        attempt = Attempt(self.job, attempts.last(self.job) + 1, self.job.argv, {})
        result = results.lost(attempt, why).updated(status=status)
        results.write_result(self.job, result)
        return results.record(self.job, result)

    def withdrawn(self) -> None:
        """It is not submitted any more."""
        self._end = Wait("cancelled before it was submitted")

    def done(self) -> bool:
        return self._end is not None

    def record(self) -> Record | Wait:
        """How it ended; Wait: it is in the queue again, or is to be submitted again."""
        assert self._end is not None
        return self._end

    def stop(self, how: How) -> None:
        """Collected; the executor sends them together."""
        self._stopping = True
        self.on_stop[how].append(self)
