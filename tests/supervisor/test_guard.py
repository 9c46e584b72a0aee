"""What jobs leave when their supervisors were killed together with their engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid

import pytest

from runner.processes import process_id
from tests.conftest import Workspace, alive, kill, read, wait_until
from tests.faults import carrying

pytestmark = pytest.mark.slow

#: As torchrun has it: a shell with children, one of them in a session of its own.
LAUNCHER = """\
trap '' INT TERM
sleep 120 & echo $! >> pids
setsid sh -c 'trap "" INT TERM; echo $$ >> pids; sleep 120' &
echo $$ >> pids
wait
"""
GRACE = ("--grace", "0.2,0.2,5")


def started(work: Workspace, *options: str, mark: str = "") -> tuple[subprocess.Popen[str], list[int]]:
    """A batch, and the processes of its job."""
    work.write("c/a.sh", LAUNCHER)
    command = ("--configs", "c/*.sh", "--command", "sh {config}")
    process = work.start(*command, *GRACE, *options, env={"RUNNER_TEST": mark})
    path = work / "pids"
    pids = wait_until(lambda: path.exists() and len(found := path.read_text().split()) == 3 and found, "the job runs")
    wait_until(lambda: read(work.batch / "a" / "supervisor.json")["job"], "its processes are recorded")
    return process, [int(pid) for pid in pids]


def supervisor_of(work: Workspace) -> int:
    return int(read(work.batch / "a" / "supervisor.json")["supervisor"][0])


def guards(mark: str) -> list[int]:
    return [pid for pid in carrying(mark) if any("guard.py" in word for word in process_id.command(pid) or ())]


@pytest.mark.linux
@pytest.mark.parametrize("first", ["the engine", "the supervisor"])
def test_what_both_leave_is_ended_without_a_resume(work: Workspace, first: str) -> None:
    mark = uuid.uuid4().hex
    process, pids = started(work, mark=mark)
    supervisor = supervisor_of(work)
    victims = [process.pid, supervisor] if first == "the engine" else [supervisor, process.pid]
    process.send_signal(signal.SIGSTOP)  # so that it does not see the end of its supervisor
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not any(alive(pid) for pid in pids), "nothing of the job is left")
    wait_until(lambda: not carrying(mark), "nor is a guard")
    state = json.loads(work.run("status", "--json", code=0).stdout)["jobs"]["a"]
    assert (state["status"], state.get("note")) == ("lost", None)


@pytest.mark.linux
def test_a_job_that_outlives_its_engine_is_guarded_as_long_as_it_runs(work: Workspace) -> None:
    mark = uuid.uuid4().hex
    process, pids = started(work, "--keep_running", mark=mark)
    kill(process)
    assert len(guards(mark)) == 1 and all(alive(pid) for pid in pids)
    os.kill(supervisor_of(work), signal.SIGKILL)
    wait_until(lambda: not carrying(mark), "nothing is left")


@pytest.mark.linux
def test_an_adopted_job_is_guarded_too(work: Workspace) -> None:
    mark = uuid.uuid4().hex
    process, pids = started(work, "--keep_running", mark=mark)
    (first,) = guards(mark)
    kill(process)
    os.kill(first, signal.SIGKILL)
    resumed = work.start("--resume", env={"RUNNER_TEST": mark})
    wait_until(lambda: "runs already" in work.master_log() and guards(mark), "the job is adopted")
    resumed.send_signal(signal.SIGSTOP)
    os.kill(supervisor_of(work), signal.SIGKILL)
    kill(resumed)
    wait_until(lambda: not any(alive(pid) for pid in pids), "nothing is left")


def test_the_guard_ends_with_the_batch(work: Workspace) -> None:
    mark = uuid.uuid4().hex
    work.write("c/a.sh", "exit 0")
    work.write("c/b.sh", "exit 1")
    work.run("--configs", "c/*.sh", "--command", "sh {config}", code=1, env={"RUNNER_TEST": mark})
    assert not carrying(mark)


@pytest.mark.linux
def test_a_guard_that_was_killed_is_started_again_and_knows_all_jobs(work: Workspace) -> None:
    mark = uuid.uuid4().hex
    for name in "bc":
        work.write(f"c/{name}.sh", f"until test -e go_{name}; do sleep 0.02; done")
    process, pids = started(work, "--max_workers", "2", mark=mark)
    (guard,) = guards(mark)
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: not alive(guard), "the guard is gone")
    (work / "go_b").touch()
    wait_until(lambda: len(guards(mark)) == 1, "the start of c starts a guard")
    wait_until((work.batch / "c" / "supervisor.json").exists, "c has started")
    supervisors = [int(read(work.batch / name / "supervisor.json")["supervisor"][0]) for name in "ac"]
    process.send_signal(signal.SIGSTOP)
    for pid in (*supervisors, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not any(alive(pid) for pid in pids), "nothing of the first job is left")


@pytest.mark.linux
@pytest.mark.parametrize("words", [("stop",), ("stop", "--now")], ids=" ".join)
def test_without_a_guard_status_names_what_is_left_and_stop_ends_it(work: Workspace, words: tuple[str, ...]) -> None:
    mark = uuid.uuid4().hex
    process, pids = started(work, mark=mark)
    supervisor = supervisor_of(work)
    (guard,) = guards(mark)
    process.send_signal(signal.SIGSTOP)
    for pid in (guard, supervisor, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not alive(pids[-1]) or not alive(pids[0]) or not alive(pids[1]), "the job dies with its parent")
    left = [pid for pid in pids if alive(pid)]
    assert len(left) == 2
    shown = work.run("status", code=0).stdout
    assert "lost (" in shown and " processes of it live: pid " in shown and all(str(pid) in shown for pid in left)
    done = work.run(*words, code=0)
    assert "ending what a left" in done.stdout and "of it live" not in done.stdout
    assert not any(alive(pid) for pid in pids)
    assert "is not running" in work.run("stop", code=0).stdout


@pytest.mark.linux
def test_a_mark_of_another_job_in_a_forged_record_ends_nothing(work: Workspace) -> None:
    process, pids = started(work)
    forged = read(work.batch / "a" / "supervisor.json")
    forged["supervisor"][1] = "1"  # not alive
    work.write("d/a.sh", "exit 0")
    work.run("--configs", "d/a.sh", "--command", "sh {config}", "--name", "other", code=0)
    folder = work.batch / "a"
    (folder / "experiment_result.json").unlink()
    (folder / "supervisor.json").write_text(json.dumps(forged))
    metadata = read(folder / "experiment_metadata.json")
    metadata["environment"]["RUNNER_JOB_ID"] = forged["mark"]
    (folder / "experiment_metadata.json").write_text(json.dumps(metadata))
    assert "is not running" in work.run("stop", work.batch, "--now", code=0).stdout
    work.run("--resume", work.batch, code=0)
    assert all(alive(pid) for pid in pids) and process.poll() is None
    process.send_signal(signal.SIGUSR2)
    process.communicate(timeout=30)
