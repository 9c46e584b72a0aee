"""The batch shell of one task of an array: it claims its job and is its supervisor, and so gets Slurm's signals itself.

Started as `python -I slurm_task.py BATCH NUMBER ROOM INDEX`, where ROOM is a word of spaces. What it needs is in the
folder of the batch; nothing depends on a runner that watches. Knows one job.
"""

from __future__ import annotations

import os
import sys

# Last on the path: no file of ours may hide the standard library or an installed package.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core.causes import NO_PROGRESS, PREEMPTED, TIME_LIMIT
from runner.core.job import Attempt, Job
from runner.core.printing import say
from runner.core.result import Result
from runner.core.state import COMPLETED, FAILED, INTERRUPTED, PRUNED
from runner.disk import attempts, layout, results, supervisor_file
from runner.disk.place import Place
from runner.disk.reading import read_bytes
from runner.executors.supervised import request_of
from runner.processes import command_line, process_id
from runner.processes.signals import Signals, unblock
from runner.slurm import claims, commands, nodes, progress, snapshot, stops, submissions
from runner.slurm.claims import Claim
from runner.slurm.parallel import with_srun
from runner.slurm.request import SlurmRequest, notice
from runner.slurm.submissions import Task
from runner.supervisor import __main__ as supervisor
from runner.supervisor.control_pipe import ControlPipe
from runner.supervisor.out_of_memory import KillCounters

HEARTBEAT = 30.0  # seconds between two signs of life
ASKING = 12  # tries to learn from Slurm whether another task has the job
ASK_AGAIN = 5.0  # seconds between them
NOTICED = 2.0  # seconds in which a signal that ended the job must have reached us
PENDING = "pending execution"  # what scontrol says of a job that Slurm has queued again itself
ENDING = 600.0  # seconds in which Slurm ends us, once it has said so or was asked to
EARLY = 90.0  # seconds that Slurm may send its signal before the moment that was asked for
#: What slurmstepd writes into the log of a task that it ends.
LINE = re.compile(r"\*\*\* \w+ \S+ ON \S+ CANCELLED AT \S+(?: DUE TO (.+?))? \*\*\*")


class TaskSignals(Signals):
    """SIGUSR1: the time limit is near, or the node is needed; SIGTERM: it is needed now. Save, and be queued again.

    SIGUSR2: the user stops the job.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cut_short = False
        self.stopped = False
        self.terminated = False

    def note(self, number: int) -> None:
        """Take note of a signal."""
        self.cut_short = self.cut_short or number in (signal.SIGUSR1, signal.SIGTERM)
        self.stopped = self.stopped or number == signal.SIGUSR2
        self.terminated = self.terminated or number == signal.SIGTERM
        if not self.received:  # a second one is not a request to be quicker: Slurm sends several for one end
            self.received.append(number)


class Control(ControlPipe):
    """The control pipe of a supervisor without an engine. Its first use is after the job's start."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._path = layout.JobPaths(job.out_dir).supervisor

    def early_commands(self) -> list[bytes]:
        """None; from here on signs of life are given, as threads may be started now."""
        threading.Thread(target=self._beat, daemon=True).start()
        return []

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT)
            with contextlib.suppress(OSError):
                os.utime(self._path, follow_symlinks=False)


def main(words: list[str]) -> int:
    """Run one job, unless it is done or another task has it. The exit code is 0 if its end is recorded."""
    unblock()
    root, number, index = Path(words[0]), int(words[1]), int(words[-1])
    with (signals := TaskSignals()):
        task = submissions.read_task(root, number, index)
        claim = claimed(root, task)
        if claim is None:
            return 0
        return Run(root, task, claim, signals).run()


def own_id() -> str:
    """Slurm's id of this task. SLURM_JOB_ID would not do: in one task it equals that of the whole array."""
    return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def wait_for(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)


def node() -> str:
    return os.environ.get("SLURMD_NODENAME") or process_id.host()


def claimed(root: Path, task: Task) -> Claim | None:
    """Our claim of the job; None if it is done, or if another task has it."""
    job, own = task.job, own_id()
    before = claims.latest(root, job.name)
    if _is_done(task, before, own):
        return None
    for _ in range(ASKING):
        free = claims.is_free(before, own, commands.exists)
        if free is not None:
            break
        time.sleep(ASK_AGAIN)
    if not free or _is_done(task, claims.latest(root, job.name), own):  # the other one may just have ended
        return None
    now = progress.measured(job, Claim(own, node(), task.comment), task.options)
    return claims.take(root, job.name, progress.following(now, before, fresh=task.fresh), before)


def _is_done(task: Task, claim: Claim | None, own: str) -> bool:
    """Whether the job has completed, or has ended in another task of its submission: it was submitted twice."""
    if results.finished(task.job) is not None:
        return True
    return claim is not None and claim.ended and claim.comment == task.comment and claim.slurm_id != own


class Run:
    """One start of the job that was claimed."""

    def __init__(self, root: Path, task: Task, claim: Claim, signals: TaskSignals) -> None:
        self._root = root
        self._task = task
        self._job = snapshot.running(task)
        self._options = replace(task.options, keep_running=True)  # no engine: its end means nothing
        self._claim = claim
        self._signals = signals
        self._began = time.monotonic()
        self._log_before = os.fstat(2).st_size  # of earlier starts

    def run(self) -> int:
        supervisor_file.remove(Place.of_job(self._job))  # of a start that has ended, as the claim says
        if (why := progress.refused(self._claim, self._options)) is not None:
            self._refuse(why)
            return 0
        self._supervise()
        result = results.read_result(self._job)
        if result is None:
            return 1
        again, result = self._judged(result)
        self._write(result, requeued=again)
        if again and self._queue_again():
            # Who leaves before Slurm ends it may count as completed, and is not queued again.
            wait_for(lambda: self._signals.terminated, ENDING)
            return 0
        if again:
            self._write(result, requeued=False)
        claims.end(self._root, self._job.name, self._claim)
        self._remove_log()
        return 0

    def _supervise(self) -> None:
        """Begin the attempt, and be its supervisor until its end is recorded."""
        mark = attempts.new_mark()
        words = [sys.executable, supervisor.__file__, mark, str(self._job.out_dir)]
        with contextlib.suppress(OSError):  # so that a runner on this machine knows us
            command_line.replace(words)
        job = with_srun(self._job, self._options)
        attempt = attempts.begin(job, self._provenance(), {}, self._options.checkpoints, mark)
        known = results.entries(attempt).updated(slurm=self._about())
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)  # the events that an engine would read
        request = request_of(attempt, self._options, known)
        supervisor.supervise(request, Control(job), self._signals, KillCounters())

    def _provenance(self) -> Mapping[str, Any]:
        """That of the submission, with the machine that runs it."""
        machine = {"host": process_id.host(), "cpu_count": os.cpu_count()}
        return {**self._task.about, **machine, "slurm": self._about()}

    def _about(self) -> dict[str, Any]:
        return {
            "job": self._claim.slurm_id,
            "comment": self._claim.comment,
            "node": self._claim.node,
            "partition": os.environ.get("SLURM_JOB_PARTITION"),
            "requeues": self._claim.requeues,
            "requeued": False,
        }

    def _judged(self, result: Result) -> tuple[bool, Result]:
        """Whether the job is queued again, and the result as it is recorded."""
        if result.signal == "SIGTERM":  # Slurm sends it to every process, and the job may have been faster than we
            wait_for(lambda: bool(self._signals.received), NOTICED)
        if self._signals.received and result.status != COMPLETED:
            result = result.updated(status=INTERRUPTED)
        if self._signals.stopped and result.status == INTERRUPTED and self._is_pruned():
            return False, result.updated(status=PRUNED, error=None)
        if self._signals.cut_short and not self._signals.stopped and result.status == INTERRUPTED:
            return self._cut_short(result)
        with contextlib.suppress(OSError):
            why = None if self._signals.received else nodes.after(self._root, self._claim.node, result)
            if why is not None:
                commands.exclude(self._claim.slurm_id, [*nodes.bad(self._root)])
                error = f"{why}; it runs again on another node than {self._claim.node}"
                return True, result.updated(error=error)
        return False, result

    def _is_pruned(self) -> bool:
        """Whether its search has seen enough of the job: the signal is that of a stop."""
        stop = stops.requested(self._root, self._task.comment, self._job.name)
        return stop is not None and stop.how == stops.PRUNE

    def _cut_short(self, result: Result) -> tuple[bool, Result]:
        """The same for a job that Slurm ends."""
        cause, words = self._cause()
        if cause is None:
            return False, result
        now = progress.measured(self._job, self._claim, self._options)
        if (why := progress.refused(progress.following(now, self._claim, fresh=False), self._options)) is not None:
            return False, result.updated(status=FAILED, cause=NO_PROGRESS, cause_sure=True, error=why)
        return True, result.updated(cause=cause, cause_sure=True, error=f"cut short on {self._claim.node}: {words}")

    def _cause(self) -> tuple[str | None, str]:
        """Why Slurm ends us: what it wrote into our log with a SIGTERM, else by the time. None: a user cancelled us."""
        if signal.SIGUSR1 not in self._signals.received:
            wait_for(lambda: self._line() is not None, NOTICED)
            line = self._line()
            if line == "":
                return None, ""
            if line == "TIME LIMIT":
                return TIME_LIMIT, "the time limit (--slurm_time)"
            return PREEMPTED, "Slurm needed the node (preemption)" if line == "PREEMPTION" else f"{line or 'SIGTERM'}"
        limit = SlurmRequest.of(self._options, self._job.config).seconds
        if limit is not None and time.monotonic() - self._began > limit - notice(self._options, limit) - EARLY:
            return TIME_LIMIT, "the time limit (--slurm_time)"
        return PREEMPTED, "Slurm needed the node (preemption)"

    def _line(self) -> str | None:
        """What Slurm's line in our log gives as the reason; empty for a cancelled job, None if there is no line yet."""
        path = layout.BatchPaths(self._root).slurm_log(self._claim.slurm_id)
        try:
            text = read_bytes(path).decode(errors="replace")[self._log_before :]
        except OSError:
            return None
        found = LINE.findall(text)
        return found[-1] if found else None

    def _queue_again(self) -> bool:
        """Let Slurm queue the job again; False if it does not."""
        answer = commands.requeue(self._claim.slurm_id)
        if answer.code != 0 and PENDING not in answer.error:
            say(f"scontrol requeue {self._claim.slurm_id}: {answer.why}", file=sys.stderr)
            return False
        return True

    def _refuse(self, why: str) -> None:
        """Record that the job is not started again."""
        attempt = Attempt(self._job, attempts.last(self._job) + 1, self._job.argv, {})
        result = results.lost(attempt, why).updated(status=FAILED, cause=NO_PROGRESS, cause_sure=True)
        self._write(result, requeued=False)
        claims.end(self._root, self._job.name, self._claim)

    def _write(self, result: Result, *, requeued: bool) -> None:
        results.write_result(self._job, result.updated(slurm={**self._about(), "requeued": requeued}))

    def _remove_log(self) -> None:
        """Remove the log of this task if nothing is in it: 10,000 tasks would leave 10,000 empty files."""
        path = submissions.folder(self._root) / f"{self._claim.slurm_id}.log"
        with contextlib.suppress(OSError):
            if os.fstat(2).st_size == 0:
                path.remove()


if __name__ == "__main__":
    sys.stderr.flush()
    code = main(sys.argv[1:])
    os._exit(code)
