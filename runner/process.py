"""The engine's side of a supervisor: start one, hear its events, ask it to stop, and speak for it when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from runner import store, tree
from runner.job import Job
from runner.state import Record

SUPERVISOR = Path(__file__).with_name("supervise.py")
GRACE = (10.0, 5.0, 10.0)  # seconds after SIGINT, after SIGTERM, and for killing the whole tree


@dataclass(frozen=True, slots=True)
class Terms:
    """How every job of a batch is run. Times in seconds."""

    timeout: float | None = None
    grace: tuple[float, float, float] = GRACE
    log_timestamps: Literal["all", "combined", "none"] = "all"


class Supervised:
    """One job under its supervisor. A Handle of the engine; owns two pipes and a process."""

    def __init__(self, job: Job, attempt: int, terms: Terms, facts: Mapping[str, Any]) -> None:
        """Prepare the job's folder and start. Raises OSError when that cannot be done."""
        mark = uuid.uuid4().hex
        self.job = job = store.pinned(replace(job, env={**job.env, tree.MARK: mark}))
        store.prepare(job, facts)
        self.attempt = attempt
        self.pid: int | None = None
        self.started_at: str | None = None
        self._mark = mark
        self._result: dict[str, Any] | None = None
        self._unwritten: str | None = None
        self._text = b""
        self._crash = b""
        self._ended = False
        # A session of its own: Ctrl+C in the terminal reaches the engine only, which then decides.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SUPERVISOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
        self._tell(json.dumps(self._order(terms)))

    def _order(self, terms: Terms) -> dict[str, Any]:
        return {
            "argv": list(self.job.argv),
            "env": dict(self.job.env),
            "cwd": str(self.job.cwd),
            "out_dir": str(self.job.out_dir),
            "timeout": terms.timeout,
            "grace": terms.grace,
            "log_timestamps": terms.log_timestamps,
            "result": store.entries(self.job, self.attempt),
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
        result = self._result or store.read_result(self.job) or self._speak_for_it()
        if self._unwritten:
            self._unwritten = store.write_result(self.job, result)
        if self._unwritten:
            result = {**result, "error": f"the result could not be written: {self._unwritten}"}
            if result["status"] == "completed":
                result["status"] = "error"
        return store.record(self.job, result)

    def _speak_for_it(self) -> dict[str, Any]:
        tree.send(tree.marked(self._mark), signal.SIGKILL)
        code = self._process.returncode
        words = self._crash.decode(errors="replace").strip().rpartition("\n")[2]
        how = f"killed by signal {-code}" if code < 0 else words or f"exit code {code}"
        error = f"the supervisor of this job died ({how}); the job was stopped and its end is not known"
        result = store.lost(self.job, self.attempt, error, self.started_at)
        self._unwritten = store.write_result(self.job, result)
        return result

    def stop(self, how: Literal["stop", "kill"]) -> None:
        """Ask the job to save and leave (`stop`), or end its whole tree now (`kill`)."""
        self._tell(how)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except (BrokenPipeError, ValueError):  # it has ended: `hear` will notice
            pass
