"""Jobs that outlive their engine are recorded, and taken over by the next."""

from __future__ import annotations

import json
import os
import signal

import pytest

from runner.processes import process_id
from tests.conftest import Workspace, alive, insist, kill, read, runs, wait_until
from tests.interrupted_batch import WAITING, started, statuses, three_jobs

pytestmark = pytest.mark.slow


@pytest.fixture
def three(work: Workspace) -> Workspace:
    return three_jobs(work)


def test_a_job_that_runs_on_is_recorded_and_adopted(three: Workspace) -> None:
    kill(started(three, "--keep_running"))
    (pid,) = runs(three)
    state = json.loads(three.run("status", "--json", code=0).stdout)
    assert state["state"] == "running without a runner" and state["runner"] is None
    assert state["jobs"]["b"] == {"status": "running", "pid": pid, "attempt": 1}
    assert state["jobs"]["c"] == {"status": "pending"}
    process = three.start("--resume")
    wait_until(lambda: "runs already" in three.master_log(), "the job is adopted")
    assert alive(pid) and process.poll() is None
    (three / "go").touch()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert f"b runs already, pid {pid}" in out
    assert runs(three) == [pid] and three.result("b")["attempt"] == 1
    assert statuses(three) == ["completed"] * 3 and not (three.batch / "b" / "attempt_1").exists()


def test_a_job_that_runs_on_is_recorded_by_its_supervisor_alone(three: Workspace) -> None:
    kill(started(three, "--keep_running"))
    (three / "go").touch()
    wait_until((three.batch / "b" / "experiment_result.json").exists, "the end is recorded")
    assert three.result("b")["status"] == "completed"
    wait_until(lambda: not (three.batch / "b" / "supervisor.json").exists(), "the supervisor has left")
    three.run("--resume", code=0)
    assert len(runs(three)) == 1 and (three / "done").read_text() == "a\nc\n"


def test_output_of_a_job_that_runs_on_is_still_read(three: Workspace) -> None:
    three.write("c/b.sh", "echo $$ >> runs; while test ! -e go; do sleep 0.02; done; yes line | head -n 200000")
    kill(started(three, "--keep_running"))
    (three / "go").touch()
    wait_until((three.batch / "b" / "experiment_result.json").exists, "the end is recorded")
    assert three.result("b")["status"] == "completed"
    assert (three.batch / "b" / "stdout.log").read_bytes().count(b"line\n") == 200_000


def test_an_adopted_job_that_fails_is_a_failure_like_any_other(three: Workspace) -> None:
    three.write("c/b.sh", WAITING + "exit 3\n")
    kill(started(three, "--keep_running"))
    process = three.start("--resume")
    wait_until(lambda: "runs already" in three.master_log(), "the job is adopted")
    (three / "go").touch()
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "")
    assert statuses(three) == ["completed", "failed", "completed"] and len(runs(three)) == 1


def test_an_adopted_job_that_fails_is_retried_if_retries_are_left(three: Workspace) -> None:
    three.write("c/b.sh", WAITING + "test -e mended\n")
    kill(started(three, "--keep_running", "--retries", "1", "--retry_delay", "0.1"))
    process = three.start("--resume")
    wait_until(lambda: "runs already" in three.master_log(), "the job is adopted")
    (three / "go").touch()
    wait_until(lambda: "tried again" in three.master_log(), "the first attempt failed")
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "")
    assert len(runs(three)) == 2 and three.result("b")["attempt"] == 2


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_reaches_an_adopted_job(three: Workspace, times: int) -> None:
    if times == 2:
        three.write("c/b.sh", WAITING.replace("trap 'echo saved; exit 0' INT", "trap '' INT TERM"))
    kill(started(three, "--keep_running", "--grace", "1,20,5" if times == 1 else "20,20,5"))
    (pid,) = runs(three)
    process = three.start("--resume")
    wait_until(lambda: "runs already" in three.master_log(), "the job is adopted")
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "Stopping" in three.master_log(), "the first signal is heeded")
    if times == 2:
        insist(process, three)
    process.communicate(timeout=60)
    assert process.returncode == 130 and not alive(pid)
    assert statuses(three) == ["completed", "interrupted", "pending"]


def test_an_adopted_job_whose_supervisor_is_killed_is_an_error_and_leaves_nothing(three: Workspace) -> None:
    kill(started(three, "--keep_running"))
    (pid,) = runs(three)
    process = three.start("--resume")
    wait_until(lambda: "runs already" in three.master_log(), "the job is adopted")
    os.kill(int(read(three.batch / "b" / "supervisor.json")["supervisor"][0]), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 1 and not alive(pid)
    assert statuses(three) == ["completed", "error", "completed"] and "supervisor" in three.result("b")["error"]


@pytest.mark.parametrize("what", ["another start", "another boot", "gone"])
def test_a_process_that_only_has_the_number_is_not_adopted(three: Workspace, what: str) -> None:
    kill(started(three))
    wait_until((three.batch / "b" / "experiment_result.json").exists, "its supervisor records the end")
    wait_until(lambda: not (three.batch / "b" / "supervisor.json").exists(), "its supervisor has left")
    (three.batch / "b" / "experiment_result.json").unlink()
    # As a crash would have left it, but its number now belongs to somebody else: to us, whom nobody may stop.
    pid, start, boot = process_id.own()
    stranger = {"another start": [pid, str(int(start) - 1), boot], "another boot": [pid, start, "other"],
                "gone": ["4194304", start, boot]}[what]  # fmt: skip
    record = {"schema": 1, "supervisor": stranger, "job": [pid, "1", boot], "mark": "m", "attempt": 1,
                 "argv": ["sh"], "started_at": "2026-01-01T00:00:00.000+00:00"}  # fmt: skip
    (three.batch / "b" / "supervisor.json").write_text(json.dumps(record))
    state = json.loads(three.run("status", "--json", code=0).stdout)
    assert state["jobs"]["b"]["status"] == "lost" and state["state"] != "running without a runner"
    (three / "go").touch()
    done = three.run("--resume", code=0)
    assert "runs already" not in done.stdout
    assert three.result("b")["attempt"] == 2 and statuses(three) == ["completed"] * 3
