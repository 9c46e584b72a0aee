"""The engine's side of a supervisor: start one, read its events, stop it, and record the end if it dies."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runner.core import clock
from runner.core.gpu_labels import labels
from runner.core.job import Attempt, Job
from runner.core.options import STOP, RunOptions
from runner.core.result import Result
from runner.core.state import COMPLETED, ERROR, Record
from runner.disk import attempts, results, supervisor_file
from runner.disk.place import Place
from runner.disk.supervisor_file import SupervisorRecord
from runner.engine.protocols import How, Wait
from runner.executors.guard import Guard
from runner.executors.patience import Patience
from runner.executors.spawner import Starter
from runner.output.registry import FORMATS
from runner.planners.environment import threads
from runner.processes import cpus, process_id, process_tree, stuck
from runner.processes.signals import Signals
from runner.supervisor import messages
from runner.supervisor.messages import Ended, Refused, Request, Started

LEAVES_WITHIN = 5.0  # seconds that a supervisor may take to be gone after its last word, or after SIGKILL
SLACK = 5.0  # seconds that a supervisor may take to record an end, beyond the times of the stop escalation


def latest_end(options: RunOptions, now: float) -> float | None:
    """When a job that starts `now` must have ended, whatever happens; None without a time limit."""
    return None if options.timeout is None else now + options.timeout + patience_after(options, "stop")


def patience_after(options: RunOptions, how: How) -> float:
    """Seconds after which the end of a job that got a stop request must have been recorded by its supervisor."""
    return (options.grace[2] if how == "kill" else sum(options.grace)) + SLACK


def thread_limits(job: Job, options: RunOptions) -> dict[str, str]:
    """What the environment of a job gets beside what was planned."""
    allowed = cpus.usable() if options.max_workers > 1 else 1.0  # a look at many files
    return threads(ChainMap({**job.env}, os.environ), options.max_workers, allowed)


@dataclass(frozen=True, slots=True)
class Room:
    """What a job gets to run with: more of the environment, open files that it inherits, entries of its result."""

    env: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    entries: Mapping[str, Any] = field(default_factory=dict)


class Supervised:
    """One job under its supervisor. A Handle of the engine; owns a process, and the pipes to it."""

    FILES = 3  # that are open for each

    def __init__(
        self,
        job: Job,
        options: RunOptions,
        provenance: Callable[[Job], Mapping[str, Any]],
        patience: Patience,
        guard: Guard,
        starter: Starter,
        room: Room,
    ) -> None:
        """Begin the job's next attempt. Raises OSError if that fails."""
        self.job = job
        self._options = options
        self._patience = patience
        self._guard = guard
        mark = attempts.new_mark()

        @functools.cache
        def known_before() -> tuple[dict[str, str], dict[str, Any]]:
            added = {**thread_limits(job, options), **room.env}
            return added, {**provenance(job), **results.gpus_of(room.entries)}

        def meanwhile() -> None:
            with contextlib.suppress(Exception):  # it will be raised below
                known_before()

        # First: where there is no room for it, the folder stays as it is.
        # Mark and folder are in its command: so it can be recognized as the supervisor that the records name.
        self._process = starter.start("supervisor", (mark, str(job.out_dir)), room.descriptors, meanwhile)
        try:
            added, about = known_before()
            self.attempt = attempts.begin(job, about, added, options.checkpoints, mark)
            self.attempt = replace(self.attempt, gpus=labels(room.entries.get("gpus")))
        except BaseException:
            self._process.kill()
            self._process.gone(LEAVES_WITHIN)
            self._process.close()
            self._process.forget()
            raise
        if remark := starter.remark():
            self.attempt = replace(self.attempt, note="; ".join(filter(None, (self.attempt.note, remark))))
        self.pid: int | None = None
        self.started_at: str | None = None
        self._refused: Refused | None = None
        self._result: Result | None = None
        self.more: Mapping[str, Any] = {}  # entries of the result that are known only when the job has ended
        self._unwritten: str | None = None
        self._text = b""
        self._crash = b""
        self._ended = False
        self._holds = bool(room.descriptors)
        self._overdue_at = latest_end(options, time.monotonic())
        known = results.entries(self.attempt).updated(**room.entries, **self._process.about)
        identity = process_id.of_child(self._process.pid)
        self._write_pid_record(identity, known)
        guard.watch(identity, mark, job.out_dir)
        warm = self._process.about.get("start") == "warm"
        self._process.send(request_of(self.attempt, options, known, warm=warm).to_line())

    def _write_pid_record(self, supervisor: list[str], known: Result) -> None:
        """Record the supervisor in the job's folder before it gets its request.

        If we are killed before the request, it does nothing; after it, the next engine finds it, however early.
        """
        record = SupervisorRecord(
            supervisor=supervisor,
            job=None,  # not started yet
            mark=self.attempt.env[process_tree.MARK],
            attempt=self.attempt.number,
            argv=known.command,
            keep_running=self._options.keep_running,
            started_at=clock.now(),
            pid_namespace=process_id.namespace(),
        )
        supervisor_file.write(Place.of_job(self.job), record)

    @property
    def ended_with(self) -> Result | None:
        """What its supervisor sent last."""
        return self._result

    @property
    def supervisor_pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Readable when the supervisor sent an event, or has ended."""
        return self._process.fileno()

    def read_events(self) -> None:
        """Read what the supervisor sent. Call when `fileno` is readable."""
        block = os.read(self.fileno(), 1 << 16)
        if not block:
            self._process.gone(LEAVES_WITHIN)  # not if a debugger holds it: the job has its result
            self._ended = True
            return
        *lines, self._text = (self._text + block).split(b"\n")
        for line in lines:
            self._read_line(line)

    def _read_line(self, line: bytes) -> None:
        if not line.startswith(b"{"):
            self._crash += line + b"\n"  # a traceback of the supervisor itself
            return
        match messages.read_event(line):
            case Started(pid=pid, time=started_at):
                self._patience.over()
                self.pid, self.started_at = pid, started_at
            case Refused() as refused:
                self._refused = refused
            case Ended(result=result, unwritten=unwritten) if result.nonce == self.attempt.nonce:
                self._result, self._unwritten = result, unwritten
                # That was its last word: the next job need not wait for its end, unless it holds a lock until then.
                self._ended = not (unwritten or self._holds)

    def done(self) -> bool:
        return self._ended

    def record(self) -> Record | Wait:
        """How the job ended; call once it is done. If the supervisor died, its job's processes are killed."""
        self._process.close()
        return self._recorded()

    def left(self) -> bool:
        """True once its supervisor is gone, after which nothing is asked of it. Call when the record was taken."""
        if not self._process.gone():
            return False
        self._guard.forget(self.attempt.env[process_tree.MARK])
        self._process.forget()
        return True

    def _recorded(self) -> Record | Wait:
        if self._refused is not None:
            return self._not_started(self._refused)
        if self._result is None:  # it died before the job's end: no process of the job must outlive it
            process_tree.kill_marked(self.attempt.env[process_tree.MARK], self.job.out_dir)
            if self._process.gone():  # else it may live, as its record says
                attempts.forget_supervisor(self.job)
        result = self._result or self._written() or self._record_lost()
        result = result.updated(**self.more)
        if self._unwritten or self.more:
            self._unwritten = results.write_result(self.job, result)
        if self._unwritten:
            result = result.updated(
                error=f"the result could not be written: {self._unwritten}",
                status=ERROR if result.status == COMPLETED else result.status,
            )
        return results.record(self.job, result)

    def _written(self) -> Result | None:
        """The result that the supervisor wrote before it was killed; not one that the job wrote."""
        found = results.read_result(self.job)
        return found if found is not None and found.nonce == self.attempt.nonce else None

    def _not_started(self, refused: Refused) -> Record | Wait:
        """Wait for room, and then begin this attempt once more; if that has lasted for too long, an error."""
        supervisor_file.remove(Place.of_job(self.job))
        wait = self._patience.after(OSError(refused.number, os.strerror(refused.number)))
        if wait is not None:
            attempts.take_back(self.attempt)
            return wait
        result = results.lost(self.attempt, refused.cause)
        results.write_result(self.job, result)
        return results.record(self.job, result)

    def _record_lost(self) -> Result:
        code = self._process.exit_code()
        words = self._crash.decode(errors="replace").strip().rpartition("\n")[2]
        if not self._process.gone():
            how = f"was lost ({stuck.unkillable([self._process.pid])})"
        elif code is None:
            how = f"died ({words or 'its exit code is not known'})"
        else:
            how = f"died ({f'killed by signal {-code}' if code < 0 else words or f'exit code {code}'})"
        error = f"the supervisor of this job {how}; the job was stopped and its end is not known"
        result = results.lost(self.attempt, error, self.started_at)
        self._unwritten = results.write_result(self.job, result)
        return result

    def stop(self, how: How) -> None:
        """Request that the job saves and leaves (`stop`, `prune`), or end its whole tree now (`kill`)."""
        self._overdue_at = time.monotonic() + patience_after(self._options, how)
        self._process.send(messages.COMMANDS[how] + b"\n")

    def enforce(self) -> None:
        """Kill a supervisor that is late; `read_events` will then notice its end. One that stays is given up."""
        if self._overdue_at is not None and time.monotonic() > self._overdue_at:
            self._process.kill()
            self._ended = self._ended or time.monotonic() > self._overdue_at + LEAVES_WITHIN


def request_of(attempt: Attempt, options: RunOptions, known: Result, *, warm: bool = False) -> Request:
    """What a supervisor of this attempt is sent. `known` are the entries of its result that are known now."""
    job = attempt.job
    return Request(
        argv=attempt.argv,
        env=attempt.env,
        cwd=str(job.cwd),
        out_dir=str(job.out_dir),
        root=str(Place.of_job(job).root),
        timeout=options.timeout,
        stall_timeout=options.stall_timeout,
        keep_running=options.keep_running,
        grace=options.grace,
        log_timestamps=options.log_timestamps,
        max_log_mb=options.max_log_mb,
        formats=FORMATS.targets(),
        path=[path for path in sys.path if path] if FORMATS.beyond() else [],
        metric_patterns=options.metric_patterns,
        result=known,
        checkpoints=options.checkpoints,
        config=attempts.config_argument(attempt),
        own=(job.name, str(job.out_dir)),
        script=None if job.script is None else str(job.script),
        not_secret=job.not_secret,
        nonce=attempt.nonce,
        nan_patience=options.nan_patience if options.on_nan == STOP else 0,
        causes=options.causes,
        warm=warm,
    )


class Adopted:
    """A job whose supervisor was started by an engine that is gone. A Handle of the engine; owns a descriptor."""

    def __init__(self, job: Job, found: SupervisorRecord, options: RunOptions) -> None:
        self.job = job
        self.pid = found.job_pid  # None: its supervisor has just started
        self.started_at = found.started_at
        mark = {process_tree.MARK: found.mark} if found.mark else {}
        self.attempt = Attempt(job, found.attempt, found.argv, mark, gpus=results.assigned_gpus(job.out_dir))
        self._supervisor = found
        self._options = options
        self._given_up = False  # it was killed, and stays
        # Its control pipe is closed: it is stopping its job, unless that is to keep running.
        self._overdue_at = None if found.keep_running else time.monotonic() + patience_after(options, "stop")
        # A pidfd never refers to another process.
        self._descriptor = os.pidfd_open(found.supervisor_pid) if hasattr(os, "pidfd_open") else -1

    @property
    def supervisor(self) -> list[str]:
        """Its pid record."""
        return self._supervisor.supervisor

    @property
    def mark(self) -> str | None:
        return self._supervisor.mark

    def fileno(self) -> int:
        """Readable when the supervisor has ended; -1 on a system without pidfds, where `done` has to be polled."""
        return self._descriptor

    def read_events(self) -> None:
        """It sends none; `done` looks for the process."""

    def done(self) -> bool:
        if self.pid is None and (found := supervisor_file.read(self.job.out_dir)) is not None:
            self.pid = found.job_pid
        return self._given_up or not self._supervisor.alive

    def record(self) -> Record:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        result = results.read_result(self.job)
        if self._supervisor.mark:
            # Finds nothing, unless the supervisor was killed.
            process_tree.kill_marked(self._supervisor.mark, self.job.out_dir)
        if result is None:
            error = "the supervisor of this job died while no runner was there; the end of the job is not known"
            result = results.lost(self.attempt, error, self.started_at)
            results.write_result(self.job, result)
        return results.record(self.job, result)

    def left(self) -> bool:
        """True: nothing of it is left here."""
        return True

    def stop(self, how: How) -> None:
        self._overdue_at = time.monotonic() + patience_after(self._options, how)
        self._signal(Signals.AT_ONCE if how == "kill" else signal.SIGTERM)

    def enforce(self) -> None:
        if self._overdue_at is not None and time.monotonic() > self._overdue_at:
            self._signal(signal.SIGKILL)
            self._given_up = time.monotonic() > self._overdue_at + LEAVES_WITHIN

    def _signal(self, number: int) -> None:
        if self._supervisor.alive:
            process_tree.send([self._supervisor.supervisor_pid], number)


def adopt(job: Job, options: RunOptions) -> Adopted | None:
    """The handle of a job that runs already on this host, under a supervisor that outlived its engine; else None."""
    found = supervisor_file.read(job.out_dir)
    try:
        return Adopted(job, found, options) if found is not None and found.runs(job.out_dir) else None
    except OSError:  # the process has just ended
        return None
