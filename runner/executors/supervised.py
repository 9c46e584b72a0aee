"""The engine's side of a supervisor: start one, hear its events, ask it to stop, and speak for it when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from runner.core import clock
from runner.core.job import Attempt, Job
from runner.core.options import RunOptions
from runner.core.state import Record
from runner.disk import atomic, attempts, layout, results
from runner.processes import process_id, process_tree
from runner.processes.signals import Signals

SUPERVISOR = Path(__file__).resolve().parents[1] / "supervisor" / "__main__.py"
SLACK = 5.0  # seconds that a supervisor may take to record an end, beyond the times of the ladder


def latest_end(options: RunOptions, now: float) -> float | None:
    """When a job that starts `now` must have ended, whatever happens; None without a time limit."""
    return None if options.timeout is None else now + options.timeout + patience_after(options, "stop")


def patience_after(options: RunOptions, how: Literal["stop", "kill"]) -> float:
    """Seconds after which a job that was told to stop must have been recorded by its supervisor."""
    return (sum(options.grace) if how == "stop" else options.grace[2]) + SLACK


class Supervised:
    """One job under its supervisor. A Handle of the engine; owns two pipes and a process."""

    def __init__(self, job: Job, options: RunOptions, facts: Mapping[str, Any]) -> None:
        """Begin the job's next attempt. Raises OSError when that cannot be done."""
        self.job = job
        self.attempt = attempts.begin(job, facts)
        self.pid: int | None = None
        self.started_at: str | None = None
        self._options = options
        self._result: dict[str, Any] | None = None
        self._unwritten: str | None = None
        self._text = b""
        self._crash = b""
        self._ended = False
        self._overdue_at = latest_end(options, time.monotonic())
        # A session of its own: Ctrl+C in the terminal reaches the engine only, which then decides.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SUPERVISOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
        self._sign()
        self._tell(json.dumps(self._order(options)))

    def _sign(self) -> None:
        """Name the supervisor in the job's folder before it gets its order.

        If we are killed before the order, it does nothing; after the order, the next engine finds it, however early.
        """
        command = results.entries(self.attempt)["command"]
        signature = {
            "schema": 1,
            "supervisor": process_id.of(self._process.pid) or [str(self._process.pid), "", ""],
            "job": None,  # not started yet
            "mark": self.attempt.env[process_tree.MARK],
            "attempt": self.attempt.number,
            "argv": command,
            "keep_running": self._options.keep_running,
            "started_at": clock.now(),
        }
        try:
            atomic.write_json(self.job.out_dir / layout.SUPERVISOR, signature, durable=False)
        except OSError:  # a full disk: the job runs all the same, it only cannot be adopted
            pass

    def _order(self, options: RunOptions) -> dict[str, Any]:
        return {
            "argv": list(self.attempt.argv),
            "env": dict(self.attempt.env),
            "cwd": str(self.job.cwd),
            "out_dir": str(self.job.out_dir),
            "timeout": options.timeout,
            "stall_timeout": options.stall_timeout,
            "keep_running": options.keep_running,
            "grace": options.grace,
            "log_timestamps": options.log_timestamps,
            "result": results.entries(self.attempt),
        }

    @property
    def supervisor_pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Readable when the supervisor says something, or has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def hear(self) -> None:
        """Read what the supervisor said. Call when `fileno` is readable."""
        block = os.read(self.fileno(), 1 << 16)
        if not block:
            self._process.wait()
            self._ended = True
            return
        *lines, self._text = (self._text + block).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if not line.startswith(b"{"):
            self._crash += line + b"\n"  # a traceback of the supervisor itself
            return
        event = json.loads(line)
        if event["event"] == "started":
            self.pid, self.started_at = event["pid"], event["time"]
        else:
            self._result, self._unwritten = event["result"], event["unwritten"]

    def done(self) -> bool:
        return self._ended

    def record(self) -> Record:
        """How the job ended; call once it is done. A dead supervisor is spoken for, and its job's processes killed."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        if self._result is None:  # it died before it was done: what it looked after must not outlive it
            process_tree.kill_marked(self.attempt.env[process_tree.MARK])
            (self.job.out_dir / layout.SUPERVISOR).unlink(missing_ok=True)
        result = self._result or results.read_result(self.job) or self._speak_for_it()
        if self._unwritten:
            self._unwritten = results.write_result(self.job, result)
        if self._unwritten:
            result = {**result, "error": f"the result could not be written: {self._unwritten}"}
            if result["status"] == "completed":
                result["status"] = "error"
        return results.record(self.job, result)

    def _speak_for_it(self) -> dict[str, Any]:
        code = self._process.returncode
        words = self._crash.decode(errors="replace").strip().rpartition("\n")[2]
        how = f"killed by signal {-code}" if code < 0 else words or f"exit code {code}"
        error = f"the supervisor of this job died ({how}); the job was stopped and its end is not known"
        result = results.lost(self.attempt, error, self.started_at)
        self._unwritten = results.write_result(self.job, result)
        return result

    def stop(self, how: Literal["stop", "kill"]) -> None:
        """Ask the job to save and leave (`stop`), or end its whole tree now (`kill`)."""
        self._overdue_at = time.monotonic() + patience_after(self._options, how)
        self._tell(how)

    def enforce(self) -> None:
        """Kill a supervisor that has not kept its time; `hear` will then notice its end."""
        if self._overdue_at is not None and time.monotonic() > self._overdue_at:
            self._process.kill()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except (BrokenPipeError, ValueError):  # it has ended: `hear` will notice
            pass


class Adopted:
    """A job whose supervisor was started by an engine that is gone. A Handle of the engine; owns a descriptor."""

    def __init__(self, job: Job, found: Mapping[str, Any], options: RunOptions) -> None:
        self.job = job
        self.pid: int | None = int(found["job"][0]) if found["job"] else None  # None: its supervisor has just begun
        self.started_at: str | None = found["started_at"]
        self.attempt = Attempt(job, int(found["attempt"]), tuple(found["argv"]), {process_tree.MARK: found["mark"]})
        self._supervisor: list[str] = found["supervisor"]
        self._options = options
        # Its leash is gone: it is stopping its job, unless it was told to go on.
        self._overdue_at = None if found.get("keep_running") else time.monotonic() + patience_after(options, "stop")
        # A pidfd cannot come to mean another process.
        self._descriptor = os.pidfd_open(int(self._supervisor[0])) if hasattr(os, "pidfd_open") else -1

    def fileno(self) -> int:
        """Readable when the supervisor has ended; -1 where the system cannot tell, and it has to be asked."""
        return self._descriptor

    def hear(self) -> None:
        """Nothing is said; `done` asks."""

    def done(self) -> bool:
        if self.pid is None:
            found = _signature(self.job) or {}
            self.pid = int(found["job"][0]) if found.get("job") else None
        return not process_id.alive(self._supervisor)

    def record(self) -> Record:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        result = results.read_result(self.job)
        process_tree.kill_marked(
            self.attempt.env[process_tree.MARK]
        )  # nothing is left, unless its supervisor was killed
        if result is None:
            error = "the supervisor of this job died while no runner was there; the end of the job is not known"
            result = results.lost(self.attempt, error, self.started_at)
            results.write_result(self.job, result)
        return results.record(self.job, result)

    def stop(self, how: Literal["stop", "kill"]) -> None:
        self._overdue_at = time.monotonic() + patience_after(self._options, how)
        self._signal(signal.SIGTERM if how == "stop" else Signals.AT_ONCE)

    def enforce(self) -> None:
        if self._overdue_at is not None and time.monotonic() > self._overdue_at:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if process_id.alive(self._supervisor):
            process_tree.send([int(self._supervisor[0])], number)


def adopt(job: Job, options: RunOptions) -> Adopted | None:
    """The handle of a job that runs already, under a supervisor that outlived its engine; None if there is none."""
    found = _signature(job)
    try:
        return Adopted(job, found, options) if found and process_id.alive(found["supervisor"]) else None
    except (OSError, ValueError, KeyError):  # the process has just gone
        return None


def _signature(job: Job) -> dict[str, Any] | None:
    try:
        found = json.loads((job.out_dir / layout.SUPERVISOR).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
