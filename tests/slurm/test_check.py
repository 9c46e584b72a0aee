"""What is checked before anything is submitted, how Slurm's programs are called, who may start a job. Each alone."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.result import Result
from runner.core.state import Finished, Outcome, Record
from runner.disk import results
from runner.engine.events import JobEnded
from runner.engine.protocols import Wait
from runner.executors import slurm_check, slurm_pilot, slurm_submit, slurm_task
from runner.slurm import claims, commands
from runner.slurm.claims import Claim
from runner.slurm.submissions import Task

NOWHERE = Path("/nonexistent/b")


def problems(**options: tuple[str, ...] | int) -> str:
    plan = Plan("b", NOWHERE, (), PlanKind("files"), "", options=RunOptions(**options))  # type: ignore[arg-type]
    return "\n".join(slurm_check.problems(plan, plan.jobs))


def test_a_line_of_the_script_must_have_no_secret() -> None:
    token = "export WANDB_API_KEY=8f3a9c2b7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a"
    found = problems(slurm_setup=("module load cuda/12.4", "export WANDB_API_KEY=$(cat ~/.key)", token))
    assert "--slurm_setup: has a secret (WANDB_API_KEY)" in found and "8f3a9c" not in found
    assert "secret" not in problems(slurm_setup=("module load cuda/12.4", "export WANDB_API_KEY=$KEY"))
    assert "secret" not in problems(slurm_setup=(token,), not_secret=("WANDB_API_KEY",))
    assert "--slurm_extra: has a secret" in problems(slurm_extra=(f"--export=ALL,{token[7:]}",))


def test_a_pilot_runs_on_one_node() -> None:
    assert problems(slurm_pilots=2) == problems(slurm_pilots=2, slurm_nodes=1) == problems(slurm_nodes=2)
    found = problems(slurm_pilots=2, slurm_nodes=2, slurm_ntasks_per_node=4)
    assert "--slurm_nodes is for jobs of several processes" in found and "--slurm_ntasks_per_node is for" in found


def test_ctrl_c_in_the_terminal_does_not_end_a_program_of_slurm() -> None:
    """A sbatch that is ended so may have submitted all the same."""
    own = [sys.executable, "-c", "import os; print(os.getsid(0), os.getpgid(0))"]
    session, group = commands.call(own, 60.0).out.split()
    assert session == group and int(session) != os.getsid(0)


def test_a_sbatch_that_was_killed_may_have_submitted() -> None:
    answers = {0: False, 1: False, -2: True, None: True}
    assert {code: slurm_submit._is_unclear(commands.Answer(code, "", "")) for code in answers} == answers


@pytest.mark.parametrize("status", ["completed", "failed"])
@pytest.mark.parametrize("by", ["task", "pilot"])
def test_a_job_that_ends_while_slurm_is_asked_for_its_task_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, by: str
) -> None:
    """It was submitted twice: the first task ends between the look at its claim and the answer of squeue."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    job = Job("a", ("true",), tmp_path / "a", cwd=tmp_path)
    job.out_dir.mkdir()
    task = Task(job, {}, RunOptions(slurm_pilots=int(by == "pilot")), "c", fresh=True)
    first = claims.take(tmp_path, "a", Claim("1_0", "n1", "c"), None)
    assert first is not None

    def ends(slurm_id: str) -> bool:
        assert slurm_id == "1_0"
        results.write_result(job, Result({"status": status, "fingerprint": job.fingerprint}))
        claims.end(tmp_path, "a", first)
        return False

    monkeypatch.setattr(commands, "exists", ends)
    if by == "task":
        assert slurm_task.claimed(tmp_path, task) is None
    else:
        assert slurm_pilot.Claims(tmp_path, {"a": task}, 0, None).next({}) is None
    assert claims.latest(tmp_path, "a") == replace(first, ended=True)


def test_a_pilot_claims_no_more_jobs_than_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    options = RunOptions(slurm_pilots=1, max_workers=2)
    jobs = [Job(name, ("true",), tmp_path / name, cwd=tmp_path) for name in "abc"]
    for job in jobs:
        job.out_dir.mkdir()
    source = slurm_pilot.Claims(tmp_path, {job.name: Task(job, {}, options, "c", fresh=True) for job in jobs}, 0, None)
    assert [source.next({}) for _ in range(3)] == [jobs[0], jobs[1], Wait()]
    assert claims.latest(tmp_path, "c") is None
    source(JobEnded(Record(jobs[0], Finished(None, "", 1.0, Outcome("failed")))))
    assert [source.next({}) for _ in range(2)] == [jobs[2], Wait()]
