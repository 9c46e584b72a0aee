"""Pilots: a few allocations that run many jobs."""

from __future__ import annotations

import pytest

from tests.conftest import read, wait_until
from tests.slurm.clusters import PATIENCE, Batch
from tests.slurm.false_slurm import Controller

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_two_pilots_share_the_jobs_of_a_batch(batch: Batch) -> None:
    for number in range(6):
        batch.config(f"j{number}", code=3 if number == 5 else 0)
    out = batch.run(*batch.words("--slurm_pilots", "2"), code=1)
    assert "5 completed, 1 failed" in out
    assert sorted(batch.starts) == [f"j{number} from 0" for number in range(6)]
    assert len(list((batch.work.batch / "slurm").glob("submit_*.sh"))) == 1


def test_jobs_of_a_pilot_whose_node_is_lost_are_run_all_the_same(controller: Controller, false_batch: Batch) -> None:
    controller.slots = 1
    for name in "abcd":
        false_batch.config(name)
    false_batch.allow(1)
    runner = false_batch.start(*false_batch.words("--slurm_pilots", "2", "--max_workers", "2"))
    false_batch.wait_for_starts(4)
    controller.lose(controller.tasks[0].node)
    false_batch.allow(1000)
    out, _ = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0, out
    assert len(false_batch.starts) == 6


def test_stop_lets_the_jobs_of_pilots_save(controller: Controller, false_batch: Batch) -> None:
    false_batch.config("a", steps=5)
    false_batch.config("b", steps=5)
    false_batch.allow(2)
    false_batch.run(*false_batch.words("--slurm_pilots", "1", "--detach"), code=0)
    false_batch.wait_for_starts(1)
    assert "1 interrupted, 1 pending" in false_batch.run("stop", code=0)
    false_batch.allow(1000)
    false_batch.run("--resume", code=0)
    assert sorted(false_batch.starts) == ["a from 0", "a from 2", "b from 0"]


def test_a_pilot_leaves_a_node_that_fails_its_jobs(controller: Controller, false_batch: Batch) -> None:
    false_batch.config("a", bad_node="n1", says="RuntimeError: CUDA error: uncorrectable ECC error encountered")
    false_batch.config("b")
    out = false_batch.run(*false_batch.words("--slurm_pilots", "1"), code=0)
    assert "2 completed" in out and "n1 was left out (" in out and "uncorrectable ECC" in out
    assert sorted(false_batch.starts) == ["a from 0", "a from 0", "b from 0"] and controller.calls["sbatch"] == 1
    before = read(false_batch.work.batch / "a/attempt_1/experiment_result.json")
    assert before["status"] == "interrupted" and "it runs again on another node than n1" in before["error"]


def test_stopping_one_job_of_a_pilot_leaves_the_others_alone(controller: Controller, false_batch: Batch) -> None:
    for name in "abcd":
        false_batch.config(name, steps=5)
    false_batch.allow(2)
    runner = false_batch.start(*false_batch.words("--slurm_pilots", "1", "--max_workers", "2"))
    false_batch.wait_for_starts(2)
    metrics = false_batch.work.batch / "a/metrics.jsonl"
    wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") == 2, "two steps of a", PATIENCE)
    false_batch.run("stop", "a", "d", code=0)
    assert false_batch.work.result("a")["status"] == "interrupted"
    false_batch.wait_for_starts(3)  # another job has its place
    false_batch.allow(1000)
    out, _ = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 1 and "2 completed, 2 interrupted" in out
    assert sorted(false_batch.starts) == ["a from 0", "b from 0", "c from 0"] and controller.calls["sbatch"] == 1
    assert "it was stopped before it started" in out
    false_batch.run("--resume", code=0)
    assert sorted(false_batch.starts) == ["a from 0", "a from 2", "b from 0", "c from 0", "d from 0"]


def test_a_batch_of_pilots_that_is_stopped_is_not_submitted_again(controller: Controller, false_batch: Batch) -> None:
    """A runner watches, and the request comes from another terminal."""
    for name in "abc":
        false_batch.config(name, steps=5)
    false_batch.allow(2)
    runner = false_batch.start(*false_batch.words("--slurm_pilots", "1"))
    false_batch.wait_for_starts(1)
    wait_until(lambda: "started" in false_batch.work.master_log(), "the runner has noticed its start", PATIENCE)
    assert "no further job is started" in false_batch.run("stop", "--drain", code=0)
    false_batch.allow(1000)
    out, _ = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 1
    assert "1 completed, 2 interrupted" in out and controller.calls["sbatch"] == 1 and len(false_batch.starts) == 1
