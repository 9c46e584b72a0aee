"""Jobs and supervisors that stay although they ended or were killed: a debugger or the kernel holds them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.processes import stuck
from runner.supervisor.messages import KILL
from tests.conftest import Workspace, alive, read, runs, wait_until
from tests.faults import ended, request, supervised
from tests.interrupted_batch import WAITING

pytestmark = pytest.mark.slow

#: Attaches to a process as a debugger does, and never looks at it again.
DEBUGGER = """\
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206
libc.ptrace.argtypes = [ctypes.c_long] * 4
if libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), 0, 0):
    sys.exit(3)
print('attached', flush=True)
time.sleep(600)
"""
#: It has no children, whose ends would be signals that stop it under a debugger.
JOB = """\
import os, time
open('ready.new', 'w').write(str(os.getpid())); os.rename('ready.new', 'ready')
while not os.path.exists('go'): time.sleep(0.02)
os._exit(7)
"""


def attached_to(pid: int) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", DEBUGGER, str(pid)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "attached\n":
        process.wait()
        pytest.skip("a debugger cannot attach here")
    return process


def let_go(debugger: subprocess.Popen[str]) -> None:
    debugger.kill()
    debugger.communicate()


def frozen(pid: int, group: Path) -> None:
    (group / "cgroup.procs").write_text(str(pid))
    (group / "freezer.state").write_text("FROZEN")
    wait_until(lambda: (group / "freezer.state").read_text().strip() == "FROZEN", "it is frozen")


def job_of(folder: Path) -> int:
    path = folder / "ready"
    return int(wait_until(lambda: path.exists() and path.read_text().strip(), "the job runs"))


@pytest.mark.parametrize("how", ["it ends", "it is stopped"])
def test_a_job_whose_end_a_debugger_holds_is_not_waited_for_for_ever(tmp_path: Path, how: str) -> None:
    supervisor = supervised(request(tmp_path / "a", sys.executable, "-c", JOB))
    pid = job_of(tmp_path)
    debugger = attached_to(pid)
    if how == "it ends":
        (tmp_path / "go").touch()
    else:
        assert supervisor.stdin is not None
        supervisor.stdin.write(KILL + b"\n")
        supervisor.stdin.flush()
    ended(supervisor)
    found = read(tmp_path / "a" / "experiment_result.json")
    let_go(debugger)
    assert found["status"] == ("error" if how == "it ends" else "interrupted")
    assert (found["return_code"], found["signal"]) == (None, None)
    assert f"process {pid} has ended, and a debugger (process {debugger.pid}) holds it" in found["error"]


def test_a_debugger_that_lets_go_changes_nothing(tmp_path: Path) -> None:
    supervisor = supervised(request(tmp_path / "a", sys.executable, "-c", JOB))
    pid = job_of(tmp_path)
    debugger = attached_to(pid)
    (tmp_path / "go").touch()
    wait_until(lambda: not alive(pid), "the job has ended")
    let_go(debugger)
    ended(supervisor)
    assert read(tmp_path / "a" / "experiment_result.json")["return_code"] == 7


def test_a_job_that_cannot_be_killed_is_not_said_to_have_been(tmp_path: Path, freezer: Path) -> None:
    supervisor = supervised(
        request(tmp_path / "a", "sh", "-c", "echo $$ > ready.new; mv ready.new ready; exec sleep 60")
    )
    pid = job_of(tmp_path)
    frozen(pid, freezer)
    assert supervisor.stdin is not None
    supervisor.stdin.write(KILL + b"\n")
    supervisor.stdin.flush()
    ended(supervisor)
    found = read(tmp_path / "a" / "experiment_result.json")
    assert alive(pid)
    assert (found["status"], found["return_code"], found["signal"]) == ("interrupted", None, None)
    assert found["error"] == f"interrupted; process {pid} (it waits in the kernel) could not be killed"


def test_a_supervisor_that_cannot_be_killed_does_not_hold_the_batch(work: Workspace, freezer: Path) -> None:
    work.write("c/a.sh", WAITING)
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}", "--grace", "0.1,0.1,0.1")
    wait_until(lambda: runs(work), "the job runs")
    path = work.batch / "a" / "supervisor.json"
    supervisor = int(read(path)["supervisor"][0])
    frozen(supervisor, freezer)
    process.send_signal(signal.SIGUSR2)
    process.communicate(timeout=30)
    assert alive(supervisor) and path.exists()
    result = work.result("a")
    assert result["status"] == "error"
    assert f"(process {supervisor} (it waits in the kernel) could not be killed)" in result["error"]


def test_processes_are_named_once_each() -> None:
    assert stuck.unkillable([os.getpid()]) == f"process {os.getpid()} could not be killed"
    assert stuck.unkillable([4194303, 4194302]) == "processes 4194303, 4194302 could not be killed"
