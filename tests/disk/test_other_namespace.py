"""Two pid namespaces on one folder, as two containers have it: a job of the other one is not started here."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.conftest import RUN_EXPERIMENTS, Workspace, alive, kill, read, runs, wait_until
from tests.interrupted_batch import started, statuses, three_jobs

pytestmark = pytest.mark.slow

INSIDE = ("unshare", "--pid", "--fork", "--mount-proc")
WHERE = f"{socket.gethostname()} (another pid namespace)"


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    try:
        subprocess.run([*INSIDE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no pid namespace can be made here")


def inside(work: Workspace, *words: str, code: int) -> str:
    """The command line, run in a pid namespace of its own; what it prints."""
    command = [*INSIDE, sys.executable, str(RUN_EXPERIMENTS), *words]
    done = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def outside(work: Workspace) -> Workspace:
    """a completed; b runs outside, without its engine; c is pending."""
    three_jobs(work)
    kill(started(work, "--keep_running"))
    wait_until(lambda: read(work.batch / "b" / "supervisor.json")["job"], "its supervisor has recorded it")
    return work


def test_a_live_job_of_another_namespace_is_not_run_a_second_time(outside: Workspace) -> None:
    (pid,) = runs(outside)
    shown = inside(outside, "--resume", code=1)
    assert f"b: running on {WHERE}, not started here" in shown and "supervisor.json" in shown
    assert runs(outside) == [pid] and alive(pid) and statuses(outside) == ["completed", "running", "completed"]
    assert f"running on {WHERE}" in inside(outside, "status", code=0)
    assert f"b runs on {WHERE}; stop it there" in inside(outside, "stop", "--now", code=0)
    assert alive(pid)
    (outside / "go").touch()
    outside.run("--resume", code=0)
    assert runs(outside) == [pid]


def test_a_job_whose_supervisor_in_another_namespace_is_gone_runs_again(outside: Workspace) -> None:
    (pid,) = runs(outside)
    os.kill(int(read(outside.batch / "b" / "supervisor.json")["supervisor"][0]), signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the job dies with its supervisor")
    (outside / "go").touch()
    inside(outside, "--resume", code=0)
    assert statuses(outside) == ["completed"] * 3 and outside.result("b")["attempt"] == 2


def test_a_batch_that_runs_in_another_namespace_is_stopped_there(work: Workspace) -> None:
    three_jobs(work)
    process = started(work)
    assert "locked by another runner" in inside(work, "--resume", code=75)
    assert f"runs on {WHERE}; stop it there" in inside(work, "stop", code=2)
    assert json.loads(inside(work, "status", "--json", code=0))["state"] == "running"
    (work / "go").touch()
    process.communicate(timeout=30)
    assert process.returncode == 0
