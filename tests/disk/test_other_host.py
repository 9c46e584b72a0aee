"""A batch on a shared disk that runs on another host: it is shown as running, and nothing of it is touched or started.

Another host is simulated by its name in the records that it would have left.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from runner.disk import attempts, results, supervisor_file
from runner.disk.lock import Held, Lock, holder, was_left
from runner.executors.supervised import adopt
from runner.processes import process_id
from tests.conftest import Workspace, alive, kill, read, runs, wait_until
from tests.interrupted_batch import started, statuses, three_jobs
from tests.released import STORED, restore

OTHER = "gpu1"


def move(path: Path, host: str = OTHER) -> dict[str, Any]:
    """Let a record name another host. Its processes were those of that host, so nothing here has their numbers."""
    record = {**read(path), "host": host}
    path.write_text(json.dumps(record))
    return record


@pytest.fixture
def elsewhere(work: Workspace) -> Workspace:
    """a completed, b runs on another host, c is pending; the runner on that host is gone, and its lock was deleted."""
    three_jobs(work)
    kill(started(work))
    wait_until((work.batch / "b" / "experiment_result.json").exists, "its supervisor records the end")
    wait_until(lambda: not (work.batch / "b" / "supervisor.json").exists(), "its supervisor has left")
    (work.batch / "b" / "experiment_result.json").unlink()
    pid, start, _ = process_id.own()
    record = {
        "schema": 1,
        "host": OTHER,
        "supervisor": [pid, start, "other"],
        "job": ["7", "1", "other"],
        "mark": "m",
        "attempt": 1,
        "argv": ["sh"],
        "keep_running": False,
        "started_at": "2026-01-01T00:00:00.000+00:00",
    }
    (work.batch / "b" / "supervisor.json").write_text(json.dumps(record))
    (work.batch / ".lock").unlink()
    (work / "go").touch()
    return work


def test_supervisor_json_names_the_host(work: Workspace) -> None:
    process = started(three_jobs(work))
    path = work.batch / "b" / "supervisor.json"
    record = wait_until(lambda: read(path) if read(path)["job"] else None, "the job is recorded")
    assert record["host"] == socket.gethostname()
    assert set(record) == {
        "schema", "host", "pid_namespace", "supervisor", "job", "mark", "attempt", "argv", "keep_running",
        "started_at",
    }  # fmt: skip
    (work / "go").touch()
    assert process.wait(30) == 0


def test_a_job_of_another_host_is_shown_as_running_there(elsewhere: Workspace) -> None:
    found = json.loads(elsewhere.run("status", "--json", code=0).stdout)
    assert found["state"] == "running without a runner"
    assert found["jobs"]["b"] == {"status": "running", "pid": 7, "attempt": 1, "host": OTHER}
    assert found["jobs"]["c"] == {"status": "pending"}
    assert f"running on {OTHER}" in elsewhere.run("status", code=0).stdout
    assert "1 completed, 1 running, 1 pending" in elsewhere.run("list", code=0).stdout
    table = elsewhere.run("table", elsewhere.batch, code=0).stdout
    assert [line.split()[0] for line in table.splitlines() if f"running on {OTHER}" in line] == ["b"]
    rows = {row["name"]: row for row in json.loads(elsewhere.run("table", elsewhere.batch, "--json", code=0).stdout)}
    assert (rows["b"]["status"], rows["b"]["running_on"]) == ("running", OTHER)
    assert "running_on" not in rows["a"]


def test_a_resume_runs_the_others_and_leaves_a_job_of_another_host_alone(elsewhere: Workspace) -> None:
    half_written = elsewhere.batch / "b" / ".experiment_result.json.4711.tmp"
    half_written.write_text('{"half')  # its writer is on the other host
    before = {path.name: path.read_bytes() for path in (elsewhere.batch / "b").iterdir()}
    done = elsewhere.run("--resume", code=1)
    assert f"b: running on {OTHER}, not started here" in done.stdout and "supervisor.json" in done.stdout
    assert {path.name: path.read_bytes() for path in (elsewhere.batch / "b").iterdir()} == before
    assert statuses(elsewhere) == ["completed", "running", "completed"] and len(runs(elsewhere)) == 1
    done = elsewhere.run("--resume", code=1)  # nothing is left to do here
    assert f"b: running on {OTHER}" in done.stdout and len(runs(elsewhere)) == 1


def test_a_job_of_another_host_is_not_rerun(elsewhere: Workspace) -> None:
    done = elsewhere.run("rerun", elsewhere.batch, "b", code=1)
    assert f"b: running on {OTHER}" in done.stdout and len(runs(elsewhere)) == 1
    assert not (elsewhere.batch / "b" / "attempt_1").exists()


def test_a_job_of_another_host_is_stopped_there(elsewhere: Workspace) -> None:
    assert f"b runs on {OTHER}; stop it there" in elsewhere.run("stop", code=0).stdout


def test_a_job_whose_end_another_host_recorded_has_ended(elsewhere: Workspace) -> None:
    result = {**read(elsewhere.batch / "a" / "experiment_result.json"), "config_name": "b", "status": "failed"}
    result["fingerprint"] = next(
        job["fingerprint"] for job in read(elsewhere.batch / "plan.json")["jobs"] if job["name"] == "b"
    )
    (elsewhere.batch / "b" / "experiment_result.json").write_text(json.dumps(result))
    about = elsewhere.batch / "b" / "experiment_metadata.json"
    digest = read(elsewhere.batch / "a" / "experiment_metadata.json")["nonce_sha256"]
    about.write_text(json.dumps({**read(about), "nonce_sha256": digest}))  # of the supervisor there
    assert json.loads(elsewhere.run("status", "--json", code=0).stdout)["jobs"]["b"]["status"] == "failed"
    elsewhere.run("--resume", code=0)
    assert elsewhere.result("b")["attempt"] == 2 and len(runs(elsewhere)) == 2


def test_a_job_whose_record_was_deleted_is_run_again(elsewhere: Workspace) -> None:
    (elsewhere.batch / "b" / "supervisor.json").unlink()
    elsewhere.run("--resume", code=0)
    assert statuses(elsewhere) == ["completed"] * 3 and elsewhere.result("b")["attempt"] == 2


def test_neither_adoption_nor_a_new_attempt_touches_a_job_of_another_host(elsewhere: Workspace) -> None:
    from runner.core.options import RunOptions
    from runner.planners import recorded

    plan = recorded.plan(elsewhere.batch)
    job = next(job for job in plan.jobs if job.name == "b")
    path = elsewhere.batch / "b" / "supervisor.json"
    assert adopt(job, RunOptions()) is None
    attempts.clean_up_batch(plan)
    with pytest.raises(OSError, match=f"runs on {OTHER}"):
        attempts.begin(job, {}, {})
    lost = results.lost(attempts.Attempt(job, 1, job.argv, {}), "could not be started")
    assert OTHER in (results.write_result(job, lost) or "")
    assert path.exists() and not (elsewhere.batch / "b" / "experiment_result.json").exists()


def test_a_batch_that_runs_on_another_host_is_not_started_here(work: Workspace) -> None:
    three_jobs(work)
    kill(started(work))
    wait_until((work.batch / "b" / "experiment_result.json").exists, "its supervisor records the end")
    record = move(work.batch / ".lock")
    (work / "go").touch()
    found = json.loads(work.run("status", "--json", code=0).stdout)
    assert (found["state"], found["runner"]["host"]) == ("running", OTHER)
    assert f"on {OTHER}" in work.run("status", code=0).stdout
    done = work.run("--resume", code=75)
    assert f"pid {record['pid']} on {OTHER}" in done.stderr and "its last sign of life was" in done.stderr
    assert f"runs on {OTHER}; stop it there" in work.run("stop", code=2).stderr
    assert read(work.batch / ".lock") == record and len(runs(work)) == 1
    (work.batch / ".lock").unlink()  # once that host is known to be dead; else the lock expires
    work.run("--resume", code=0)
    assert statuses(work) == ["completed"] * 3


def test_a_lock_of_another_host_is_held_until_its_record_is_gone(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    Lock(str(path)).release()
    path.write_text(json.dumps({"pid": 7, "host": OTHER, "since": "2026-01-01T00:00:00.000+00:00"}))
    assert (holder(str(path)) or {})["host"] == OTHER and not was_left(str(path))
    with pytest.raises(Held, match=f"pid 7 on {OTHER}.*delete {path}"):
        Lock(str(path), patience=0)
    move(path, socket.gethostname())  # of a holder on this host, which was killed
    assert holder(str(path)) is None and was_left(str(path))
    with Lock(str(path), patience=0), pytest.raises(Held) as held:
        Lock(str(path), patience=0)
    assert "delete" not in str(held.value)  # the kernel knows that it is held


def test_a_record_without_a_host_is_one_of_this_host(tmp_path: Path) -> None:
    restore(STORED / "batches", tmp_path)
    (path,) = tmp_path.glob("experiments/killed_sweep_*/run_002/supervisor.json")
    assert "host" not in read(path)
    found = supervisor_file.read(path.parent)
    assert found is not None and not found.on_other_host and not found.alive
    assert results.unfinished(path.parent).status == "lost"


def test_a_released_batch_that_another_host_runs_is_left_alone(tmp_path: Path) -> None:
    restore(STORED / "batches", tmp_path)
    work = Workspace(tmp_path)
    (batch,) = tmp_path.glob("experiments/killed_sweep_*")
    move(batch / ".lock")
    move(batch / "run_002" / "supervisor.json")
    (tmp_path / "repaired").touch()
    work.run("--resume", batch, code=75)
    (batch / ".lock").unlink()
    done = work.run("--resume", batch, code=1)
    assert f"run_002: running on {OTHER}" in done.stdout
    starts = [line.split()[0] for line in (tmp_path / "starts").read_text().splitlines()]
    assert starts == ["run_001", "run_003"]
    assert not (batch / "run_002" / "attempt_1").exists()


def test_a_process_here_with_the_number_of_one_there_is_left_alone(elsewhere: Workspace) -> None:
    path = elsewhere.batch / "b" / "supervisor.json"
    path.write_text(json.dumps({**read(path), "supervisor": process_id.own(), "job": process_id.own()}))
    elsewhere.run("stop", "--now", code=0)
    elsewhere.run("--resume", code=1)
    assert alive(int(process_id.own()[0])) and path.exists()
