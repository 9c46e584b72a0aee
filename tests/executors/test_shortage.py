"""A machine without room for one more file or process: jobs wait, they do not fail."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.executors.patience import Patience
from runner.processes import process_id, process_tree
from tests.conftest import Workspace, runs, wait_until
from tests.interrupted_batch import WAITING, statuses

WORKERS = 20
#: A job that starts no other process, and waits.
ALONE = """\
import os, time
open('runs', 'a').write(f'{os.getpid()}\\n')
while not os.path.exists('go'): time.sleep(0.02)
"""


@pytest.fixture
def many(work: Workspace) -> Workspace:
    for number in range(WORKERS):
        work.write(f"c/{number:02}.sh", WAITING)
    return work


def limited(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def said(work: Workspace, words: str) -> bool:
    log = work.batch / "master_log.txt"
    return log.exists() and words in log.read_text()


COMMAND = ("--configs", "c/*.sh", "--command", "sh {config}", "--max_workers", WORKERS)


@pytest.mark.slow
def test_the_soft_limit_of_open_files_is_raised_for_all_workers(many: Workspace) -> None:
    process = many.start(*COMMAND, preexec_fn=limited(30, 4096))
    wait_until(lambda: len(runs(many)) == WORKERS, "all jobs run at once", 60)
    (many / "go").touch()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert {many.result(f"{number:02}")["attempt"] for number in range(WORKERS)} == {1}


def test_fewer_jobs_run_at_once_where_the_hard_limit_is_too_low(many: Workspace) -> None:
    process = many.start(*COMMAND, preexec_fn=limited(36, 36))
    wait_until(lambda: said(many, "have room for"), "it is said")
    (many / "go").touch()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.count("36 open files (ulimit -Hn) have room for ") == 1
    assert len(runs(many)) == WORKERS
    assert {many.result(f"{number:02}")["attempt"] for number in range(WORKERS)} == {1}


@pytest.mark.parametrize("room", [-1, 0], ids=["not for a supervisor", "for a supervisor alone"])
def test_a_start_for_which_there_is_no_process_waits(work: Workspace, process_group: Path, room: int) -> None:
    process = second_job_with(work, process_group, room)
    wait_until(lambda: said(work, "has no room for its start"), "the second job waits")
    assert (work.result("a")["status"], process.poll()) == ("completed", None)
    (process_group / "pids.max").write_text("max")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.count("has no room for its start") == 1 and statuses(work) == ["completed"] * 2
    assert work.result("b")["attempt"] == 1 and not (work.batch / "b" / "attempt_1").exists()


@pytest.mark.parametrize("room", [2, 3, 4])
def test_a_job_waits_for_the_threads_of_its_supervisor(work: Workspace, process_group: Path, room: int) -> None:
    process = second_job_with(work, process_group, room)
    wait_until(lambda: len(runs(work)) == 2, "the second job runs")
    (process_group / "pids.max").write_text("max")
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "") and statuses(work) == ["completed"] * 2


def second_job_with(work: Workspace, group: Path, room: int) -> subprocess.Popen[str]:
    """A batch in a group of processes, where the second of two jobs has room for so many processes and threads."""
    for name in "ab":
        work.write(f"c/{name}.py", ALONE)
    procs = os.open(group / "cgroup.procs", os.O_WRONLY)
    process = work.start(
        "--configs", "c/*.py", "--command", f"{sys.executable} {{config}}", pass_fds=(procs,),
        preexec_fn=lambda: os.write(procs, b"0"),
    )  # fmt: skip
    os.close(procs)
    wait_until(lambda: runs(work), "the first job runs")
    ahead = wait_until(lambda: _forked_ahead(process.pid), "the next supervisor is forked ahead")
    others = _without(group, work.batch / "a" / "supervisor.json")
    (group / "pids.max").write_text(str(others + room))
    if room < 0:
        os.kill(ahead, signal.SIGKILL)  # its place is free then, and cannot be taken again
    (work / "go").touch()
    return process


def _forked_ahead(engine: int) -> int | None:
    """The process of a batch that waits for the next job."""
    spawners = [pid for pid in process_tree.descendants(engine) if "spawner.py" in str(process_id.command(pid))]
    return spawners[1] if len(spawners) == 2 else None


def _without(group: Path, supervisor: Path) -> int:
    """How many processes of the group are neither of the first job nor of its supervisor."""
    record = supervisor.read_text()
    return sum(f'"{pid}"' not in record for pid in (group / "cgroup.procs").read_text().split())


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
def test_the_patience_ends_unless_another_job_runs(number: int) -> None:
    now, busy = 0.0, False
    patience = Patience(lambda: busy, limit=60, clock=lambda: now)
    error = OSError(number, "no room")
    assert patience.after(OSError(errno.EACCES, "forbidden")) is None
    for moment in (0.0, 30.0, 60.0):
        now = moment
        found = patience.after(error)
        assert found is not None and "no room" in found.reason
    busy = True  # its end will make room
    now = 1000.0
    assert patience.after(error) is not None
    busy = False
    now = 1061.0
    assert patience.after(error) is None
    assert patience.after(error) is not None, "the next job has its own time"
    now = 1100.0
    patience.over()
    now = 1130.0
    assert patience.after(error) is not None
