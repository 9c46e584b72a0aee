"""What is stopped stays stopped, and nothing else is: without a cluster, and with a false one."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.core import clock
from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.result import Result
from runner.core.state import Finished, Outcome, Record
from runner.disk import results
from runner.engine.events import JobEnded
from runner.engine.protocols import Lease
from runner.executors import slurm_pilot, slurm_stop
from runner.executors.slurm import Slurm
from runner.slurm import claims, commands, nodes, stops, submissions
from runner.slurm.claims import Claim
from runner.slurm.states import Listed
from runner.slurm.submissions import Submission, Task
from tests.conftest import read, wait_until
from tests.slurm.clusters import PATIENCE, Batch
from tests.slurm.false_slurm import Controller

PILOTS = RunOptions(slurm_pilots=1, max_workers=2)


def jobs(root: Path, names: str) -> list[Job]:
    found = [Job(name, ("true",), root / name, cwd=root) for name in names]
    for job in found:
        job.out_dir.mkdir()
    return found


def test_a_job_that_is_stopped_twice_leaves_the_other_jobs_of_its_pilot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(slurm_stop, "stop", lambda root, names, how: asked.append(names))
    monkeypatch.setattr(commands, "cancel", lambda *_: None)
    slurm = Slurm(PILOTS, lambda job: {})
    one, _ = [slurm.submit(job, Lease()) for job in jobs(tmp_path, "ab")]
    one.stop("stop")
    one.stop("stop")
    slurm._carry_out_stops()
    assert asked == [{"a"}]


def test_a_job_that_ended_in_an_earlier_submission_is_stopped_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submissions.folder(tmp_path).make()
    submissions.write(tmp_path, Submission(2, ("a",), "2", pilots=1, comment="now"))
    before = claims.take(tmp_path, "a", Claim("1_0", "n1", "before"), None)
    assert before is not None
    claims.end(tmp_path, "a", before)
    listing = {"2_0": Listed("2_0", "RUNNING", "now", "None", "n1")}
    monkeypatch.setattr(slurm_stop, "queue", lambda root: listing)
    monkeypatch.setattr(commands, "cancel", lambda *_: None)
    assert slurm_stop.stop(tmp_path, ["a"], stops.STOP) == ["2: a"]
    assert stops.requested(tmp_path, "now", "a") is not None


def test_each_job_that_a_bad_node_failed_runs_on_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    both = jobs(tmp_path, "ab")
    source = slurm_pilot.Claims(tmp_path, {job.name: Task(job, {}, PILOTS, "c", fresh=True) for job in both}, 0, None)
    assert [source.next({}) for _ in both] == both
    began = clock.iso(clock.seconds() - 60)
    broken = {"status": "failed", "cause": "device", "cause_sure": True, "error": "CUDA error: ECC"}
    for job in both:
        results.write_result(job, Result({**broken, "start_time": began}))
        source(JobEnded(Record(job, Finished(None, "", 1.0, Outcome("failed")))))
    found = [results.read_result(job) for job in both]
    assert [one and one.status for one in found] == ["interrupted", "interrupted"] and source.release()
    later = Result({**broken, "start_time": clock.iso(clock.seconds() + 60)})
    assert nodes.after(tmp_path, "n1", later) is None, "leaving it out did not help: this is not repeated"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["array_parallelism", "pilots"])
def test_a_batch_that_is_watched_again_and_stopped_is_not_submitted_again(
    controller: Controller, false_batch: Batch, how: str
) -> None:
    for name in "ab":
        false_batch.config(name, steps=5)
    false_batch.allow(2)
    false_batch.run(*false_batch.words("--detach", f"--slurm_{how}", "1"), code=0)
    false_batch.wait_for_starts(1)
    watcher = false_batch.start("--resume")
    assert watcher.stdout is not None
    assert any("b runs already" in line for line in watcher.stdout)
    wait_until(lambda: "a: started" in false_batch.work.master_log(), "the watcher has noticed the start", PATIENCE)
    false_batch.run("stop")
    false_batch.allow(1000)
    out, _ = watcher.communicate(timeout=PATIENCE)
    assert watcher.returncode == 1 and controller.calls["sbatch"] == 1, out
    assert false_batch.starts == ["a from 0"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_batch_that_is_submitted_and_left_again_has_one_last_job(controller: Controller, false_batch: Batch) -> None:
    """Two would send each notification twice."""
    controller.faults["hold"] = "Resources"
    false_batch.config("a")
    false_batch.run(*false_batch.words("--detach", "--slurm_summary", "on"), code=0)
    false_batch.run("--resume", "--detach", code=0)
    assert [task.name.endswith(".summary") for task in controller.tasks if task.state == "PENDING"] == [False, True]
    controller.faults.clear()
    summary = false_batch.work.batch / "experiment_summary.json"
    wait_until(lambda: summary.exists() and read(summary)["completed"] == 1, "the summary is written", PATIENCE)
