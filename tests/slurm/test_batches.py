"""Batches on a cluster, with real processes: against a false Slurm, and against a real one where there is one."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conftest import alive, kill, read, wait_until
from tests.slurm.clusters import PATIENCE, Batch
from tests.slurm.false_slurm import _tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_array_records_each_end(batch: Batch) -> None:
    batch.config("a")
    batch.config("b")
    batch.config("bad", code=7)
    out = batch.run(*batch.words(), code=1)
    assert batch.work.result("bad")["return_code"] == 7 and "2 completed, 1 failed" in out
    about = batch.work.result("a")["slurm"]
    assert about["job"].endswith("_0") and about["node"] in ("n1", "n2") and about["requeues"] == 0
    assert sorted(path.name for path in (batch.work.batch / "slurm").iterdir()) == [
        "claims", "nodes", "submit_1.json", "submit_1.sh", "tasks_1.jsonl",
    ]  # fmt: skip
    assert "[1/3] a: completed earlier" in batch.run("--resume", code=1)
    assert batch.starts.count("bad from 0") == 2 and batch.starts.count("a from 0") == 1


def test_a_runner_that_was_killed_is_missed_by_nobody(batch: Batch) -> None:
    batch.config("a")
    batch.allow(1)
    first = batch.start(*batch.words())
    batch.wait_for_starts(1)
    kill(first)
    again = batch.start("--resume")
    assert again.stdout is not None
    assert any("a runs already" in line for line in again.stdout)
    batch.allow(1000)
    again.communicate(timeout=PATIENCE)
    assert again.returncode == 0 and batch.starts == ["a from 0"]


def test_what_ends_while_nobody_looks_is_decided_by_the_folders(batch: Batch) -> None:
    """A job completes, the task of another one is killed, and Slurm forgets both. A third one reaches its time limit of
    a minute, saves, and is queued again: Slurm sends its signal half a minute before, or up to a minute early."""
    batch.cluster.shorten_minutes(12.0)
    batch.config("a", steps=2)
    batch.config("b", steps=5, save_every=1)
    batch.config("c", steps=5, slurm_time="1")
    batch.allow(2)
    batch.run(*batch.words("--detach"), code=0)
    batch.wait_for_result("a", "completed")
    wait_until(lambda: _text(batch, "experiments/latest/b/ckpt.pt") == "2", "b has saved twice", PATIENCE)
    for pid in _tree(int(read(batch.work.batch / "b/supervisor.json")["supervisor"][0])):
        os.kill(pid, signal.SIGKILL)
    result = batch.wait_for_result("c", "interrupted")
    assert result["cause"] == "time_limit" and result["slurm"]["requeued"]
    (task,) = wait_until(lambda: len(found := batch.cluster.states()) == 1 and found, "c alone is left", PATIENCE)
    batch.cluster.forget(read(batch.work.batch / "slurm/submit_1.json")["slurm_id"])
    assert "1 completed, 1 lost, 1 interrupted" in batch.run("status", code=0)
    batch.cluster.shorten_minutes(600.0)
    batch.allow(1000)
    runner = batch.start("--resume")
    batch.cluster.start_again(task)
    out, _ = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0, out
    assert sorted(batch.starts)[:3] == ["a from 0", "b from 0", "b from 2"] and len(batch.starts) == 5
    result = batch.work.result("c")
    assert batch.work.result("b")["attempt"] == result["attempt"] == 2 and result["slurm"]["requeues"] == 1


def test_a_batch_that_is_preempted_twice_and_loses_a_node_completes(batch: Batch) -> None:
    """Nobody watches: it is submitted and left. Its last job writes the summary."""
    batch.config("a", steps=9)
    batch.allow(2)
    batch.run(*batch.words("--detach", "--slurm_summary", "on"), code=0)
    batch.wait_for_starts(1)
    (task,) = batch.cluster.states()
    for start, steps in enumerate((4, 6), 2):
        before = steps - 2
        wait_until(lambda: (batch.work.batch / "a/metrics.jsonl").read_text().count("\n") >= before, "steps", PATIENCE)  # noqa: B023
        batch.cluster.preempt(task)
        batch.wait_for_result("a", "interrupted")
        batch.allow(steps)
        batch.cluster.start_again(task)
        batch.wait_for_starts(start)
    wait_until(lambda: batch.cluster.states().get(task) == "RUNNING", "it runs", PATIENCE)
    node = batch.cluster.node_of(task)
    batch.cluster.lose(node)
    batch.allow(1000)
    batch.cluster.start_again(task)
    result = batch.wait_for_result("a", "completed")
    assert result["attempt"] == 4 and result["slurm"]["requeues"] == 3 and result["slurm"]["node"] != node
    assert batch.starts == ["a from 0", "a from 2", "a from 4", "a from 4"]
    summary = batch.work.batch / "experiment_summary.json"
    wait_until(lambda: summary.exists() and read(summary)["completed"] == 1, "the summary is written", PATIENCE)
    batch.cluster.restore(node)


def test_stop_lets_running_jobs_save_and_cancels_the_others(batch: Batch) -> None:
    for name in "abc":
        batch.config(name, steps=5)
    batch.allow(2)
    batch.run(*batch.words("--slurm_array_parallelism", "2", "--detach"), code=0)
    batch.wait_for_starts(2)
    out = batch.run("status", code=0)
    assert "as many tasks of the array run as --slurm_array_parallelism allows" in out and "Slurm" in out
    assert "2 interrupted, 1 pending" in batch.run("stop", code=0)
    assert batch.cluster.states() == {}
    batch.allow(1000)
    batch.run("--resume", code=0)
    assert sorted(batch.starts) == ["a from 0", "a from 2", "b from 0", "b from 2", "c from 0"]


def test_scancel_ends_every_process_and_the_job_is_not_queued_again(batch: Batch) -> None:
    batch.config("a", child=True, saves=False)
    batch.allow(1)
    runner = batch.start(*batch.words())
    child = int(wait_until(lambda: _text(batch, "child"), "the job has a child", PATIENCE))
    (task,) = batch.cluster.states()
    wait_until(lambda: "started" in batch.work.master_log(), "the runner has noticed its start", PATIENCE)
    batch.cluster.call("scancel", task)
    out, _ = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 1 and batch.work.result("a")["status"] == "interrupted", out
    wait_until(lambda: not alive(child), "the child of the job has ended", PATIENCE)
    assert batch.cluster.states() == {} and len(batch.starts) == 1


def test_a_runner_that_gets_a_hangup_leaves_its_jobs_alone(batch: Batch) -> None:
    batch.config("a")
    batch.allow(1)
    runner = batch.start(*batch.words())
    batch.wait_for_starts(1)
    wait_until(lambda: "started" in batch.work.master_log(), "the runner has noticed its start", PATIENCE)
    runner.send_signal(signal.SIGHUP)
    out, _ = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 129 and "1 job continue" in out
    batch.allow(1000)
    batch.wait_for_result("a", "completed")


def _text(batch: Batch, name: str) -> str:
    path = batch.work / name
    return path.read_text() if path.exists() else ""
