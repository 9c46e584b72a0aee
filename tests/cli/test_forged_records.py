"""Records that name processes which are not those of the batch: nobody else is signalled."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.disk.lock import runner
from runner.processes import process_id
from tests.conftest import Workspace, alive, kill, read, runs, wait_until
from tests.interrupted_batch import started, statuses, three_jobs

pytestmark = pytest.mark.slow


@pytest.fixture
def victim() -> Iterator[list[str]]:
    """The pid record of a process that has nothing to do with a batch."""
    process = subprocess.Popen(["sleep", "120"])
    yield process_id.of_child(process.pid)
    process.kill()
    process.wait()


@pytest.fixture
def stopped(work: Workspace) -> Workspace:
    """a completed; b has neither a result nor processes; c is pending."""
    three_jobs(work)
    kill(started(work))
    folder = work.batch / "b"
    wait_until((folder / "experiment_result.json").exists, "its supervisor records the end")
    wait_until(lambda: not (folder / "supervisor.json").exists(), "its supervisor has left")
    (folder / "experiment_result.json").unlink()
    return work


def forge(folder: Path, supervisor: list[str], mark: str = "m") -> None:
    record = {
        "schema": 1, "host": socket.gethostname(), "supervisor": supervisor, "job": supervisor, "mark": mark,
        "attempt": 1, "argv": ["sh"], "keep_running": False, "started_at": "2026-01-01T00:00:00.000+00:00",
    }  # fmt: skip
    (folder / "supervisor.json").write_text(json.dumps(record))


@pytest.mark.parametrize("words", [["stop"], ["stop", "--now"], ["stop", "--drain"]])
@pytest.mark.parametrize("pids", ["the victim", "the identity of another"])
def test_a_forged_lock_kills_nobody(stopped: Workspace, victim: list[str], words: list[str], pids: str) -> None:
    identity = victim if pids == "the victim" else process_id.own()
    lock = stopped.batch / ".lock"
    record = {"pid": int(victim[0]), "host": socket.gethostname(), "since": "?", "identity": identity}
    lock.write_text(json.dumps(record))
    with lock.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_EX)
        done = stopped.run(*words, code=2)
    assert f"is locked by process {os.getpid()} of " in done.stderr and "not a runner" in done.stderr
    assert alive(int(victim[0]))


@pytest.mark.parametrize("how", [fcntl.LOCK_SH, fcntl.LOCK_EX], ids=["shared", "exclusive"])
def test_a_lock_that_somebody_else_holds_is_named_as_such(stopped: Workspace, how: int) -> None:
    with (stopped.batch / ".lock").open() as reader:
        fcntl.flock(reader, how)
        done = stopped.run("--resume", code=75)
        state = json.loads(stopped.run("status", "--json", code=0).stdout)
    assert f"is locked by process {os.getpid()} of " in done.stderr and "which is not a runner" in done.stderr
    assert (state["state"], state["runner"]) == ("dead", None)
    (stopped / "go").touch()
    stopped.run("--resume", code=0)


@pytest.mark.parametrize("words", [["wait"], ["attach"], ["tail", "-f"]], ids=lambda words: str(words[0]))
def test_nobody_waits_for_a_lock_that_a_stranger_holds(stopped: Workspace, words: list[str]) -> None:
    with (stopped.batch / ".lock").open() as reader:
        fcntl.flock(reader, fcntl.LOCK_EX)
        stopped.run(*words, code=1 if words == ["wait"] else 0)


def test_a_runner_whose_lock_was_removed_has_it_again(work: Workspace) -> None:
    first = started(three_jobs(work))
    lock = work.batch / ".lock"
    lock.unlink()
    wait_until(lambda: runner(str(lock)) is not None, "the runner has locked the batch again")
    assert "is locked by another runner (pid" in work.run("--resume", code=75).stderr
    (work / "go").touch()
    first.communicate(timeout=60)
    assert first.returncode == 0 and statuses(work) == ["completed"] * 3
    assert (work / "done").read_text().split() == ["a", "c"] and len(runs(work)) == 1


def test_a_forged_record_of_a_supervisor_kills_nobody(stopped: Workspace, victim: list[str]) -> None:
    forge(stopped.batch / "b", victim)
    assert json.loads(stopped.run("status", "--json", code=0).stdout)["jobs"]["b"]["status"] == "lost"
    assert "is not running" in stopped.run("stop", "--now", code=0).stdout
    (stopped / "go").touch()
    done = stopped.run("--resume", "--grace", "0,0,0", code=0)
    assert "runs already" not in done.stdout and statuses(stopped) == ["completed"] * 3
    assert alive(int(victim[0]))


def test_the_record_of_another_batch_stops_nothing_there(stopped: Workspace) -> None:
    mine = stopped.batch
    before = len(runs(stopped))
    other = stopped.start("--configs", "c/*.sh", "--command", "sh {config}", "--keep_running", "--name", "other")
    wait_until(lambda: len(runs(stopped)) > before, "the job of another batch runs")
    job = runs(stopped)[-1]
    path = stopped.batch / "b" / "supervisor.json"
    wait_until(path.exists, "its processes are recorded")
    assert stopped.batch != mine
    (mine / "b" / "supervisor.json").write_text(json.dumps(read(path)))
    stopped.run("stop", mine, "--now", code=0)
    assert alive(job) and other.poll() is None
    resumed = stopped.start("--resume", mine)
    wait_until(lambda: len(runs(stopped)) > before + 1, "the job of this batch runs beside it")
    assert alive(job)
    (stopped / "go").touch()
    for process in (other, resumed):
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_what_a_killed_supervisor_was_writing_beside_a_completed_result_is_removed(stopped: Workspace) -> None:
    process = subprocess.Popen(["sleep", "120"])
    supervisor = process_id.of_child(process.pid)
    process.kill()
    process.wait()
    forge(stopped.batch / "a", supervisor)
    written, own = (stopped.batch / "a" / f".{name}.tmp" for name in ("experiment_result.json.4711", "of_the_job"))
    written.write_text('{"half')
    own.touch()
    (stopped / "go").touch()
    stopped.run("--resume", code=0)
    assert not written.exists() and own.exists()
    assert stopped.result("a")["attempt"] == 1 and statuses(stopped) == ["completed"] * 3
