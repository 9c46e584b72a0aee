"""What the tests of faults share: jobs, and a supervisor without an engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runner.core.result import Result
from runner.supervisor.messages import Ended, Request, read_event
from tests.conftest import PROJECT, Workspace, alive, wait_until

GRACE = ("--grace", "0.3,0.3,5")
POLITE = """\
import os, sys, time
open('ready', 'w').write(str(os.getpid()))
try:
    time.sleep(60)
except KeyboardInterrupt:
    print('saved'); sys.exit(0)
"""


def request(out_dir: Path, *argv: str, timeout: float | None = None, stall_timeout: float | None = None) -> Request:
    """What an engine would ask of a supervisor."""
    out_dir.mkdir(parents=True, exist_ok=True)
    return Request(
        argv=argv, env={}, cwd=str(out_dir.parent), out_dir=str(out_dir), timeout=timeout, stall_timeout=stall_timeout,
        keep_running=False, grace=[0.3, 0.3, 5], log_timestamps="all",
        formats=[], path=[], metric_patterns=[],
        result=Result({"config_name": "a", "attempt": 1, "command": list(argv), "fingerprint": "f"}),
    )  # fmt: skip


def supervised(request: Request, *program: str) -> subprocess.Popen[bytes]:
    """A supervisor that was given its request; its control pipe is open until the caller closes it."""
    command = [sys.executable, "-I", "-S", *(program or (str(PROJECT / "runner" / "supervisor" / "__main__.py"),))]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    assert process.stdin is not None
    process.stdin.write(request.to_line())
    process.stdin.flush()
    return process


def ended(process: subprocess.Popen[bytes], code: int = 0) -> Ended:
    """The last event of a supervisor, once it is done; its control pipe is open until then."""
    assert process.stdout is not None and process.stdin is not None
    output = process.stdout.read()
    assert process.wait(30) == code, output.decode()
    process.stdin.close()
    process.stdout.close()
    last = read_event(output.splitlines()[-1])
    assert isinstance(last, Ended)
    return last


def ready(work: Workspace) -> int:
    """The process of the first job, once it runs."""
    path = work / "ready"
    return int(wait_until(lambda: path.exists() and path.read_text(), "the job runs"))


def carrying(mark: str) -> list[int]:
    """The processes that inherited `mark` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it ended, or is somebody else's
            continue
    return [pid for pid in found if alive(pid)]


def three(work: Workspace, script: str = POLITE) -> tuple[str, ...]:
    for name in "abc":
        work.write(f"c/{name}.py", "x = 1\n")
    work.write("job.py", script)
    return ("--configs", "c/*.py", "--train_script", "job.py")
