"""What a real Slurm cannot be made to do: lost answers, limits, a controller that is away, doubles."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import kill, read, wait_until
from tests.slurm.clusters import PATIENCE, Batch
from tests.slurm.false_slurm import Controller

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def submitted(controller: Controller) -> int:
    return controller.calls["sbatch"]


def test_an_answer_of_sbatch_that_is_lost_submits_nothing_twice(controller: Controller, false_batch: Batch) -> None:
    controller.faults |= {"lost_answers": 1, "hold": "Priority"}
    false_batch.config("a")
    runner = false_batch.start(*false_batch.words())
    wait_until(lambda: '"slurm_id": "1"' in _record(false_batch), "it was found in the queue", PATIENCE)
    del controller.faults["hold"]
    runner.communicate(timeout=PATIENCE)
    assert submitted(controller) == 1 and false_batch.starts == ["a from 0"]


def test_a_job_that_was_submitted_twice_runs_once(controller: Controller, false_batch: Batch) -> None:
    false_batch.config("a")
    false_batch.config("b")
    false_batch.allow(1)
    runner = false_batch.start(*false_batch.words())
    false_batch.wait_for_starts(2)
    script = false_batch.work.batch / "slurm/submit_1.sh"
    false_batch.cluster.call("sbatch", "--parsable", str(script))
    doubles = controller.tasks[2:]
    assert len(doubles) == 2
    wait_until(lambda: all(task.state == "COMPLETED" for task in doubles), "the doubles leave", PATIENCE)
    false_batch.allow(1000)
    runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0 and sorted(false_batch.starts) == ["a from 0", "b from 0"]
    false_batch.cluster.call("sbatch", "--parsable", str(script))
    wait_until(lambda: all(task.state == "COMPLETED" for task in controller.tasks), "the doubles leave", PATIENCE)
    assert len(false_batch.starts) == 2


def test_large_batches_are_cut_and_limits_are_waited_for(controller: Controller, false_batch: Batch) -> None:
    """MaxArraySize is 3, and at most 4 jobs may be in the queue; Slurm refuses the second array for a moment."""
    controller.largest_array = 3
    limit = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    for number in range(7):
        false_batch.config(f"j{number}", **({"slurm_mem": "9G"} if number == 6 else {}))
    controller.faults["refuse"] = [limit]
    out = false_batch.run(*false_batch.words("--slurm_max_submit", "4", "--slurm_exclude", "n2"), code=0)
    assert "waiting: 4 jobs are in Slurm's queue" in out and controller.faults["refuse"] == []
    scripts = [path.read_text() for path in sorted((false_batch.work.batch / "slurm").glob("submit_*.sh"))]
    assert all("--exclude=n2" in text for text in scripts)
    assert sum("--mem=9G" in text for text in scripts) == 1 and len(false_batch.starts) == 7
    records = [json.loads(path.read_text()) for path in (false_batch.work.batch / "slurm").glob("submit_*.json")]
    assert max(len(record["jobs"]) for record in records) <= 3
    assert all(record["slurm_id"] for record in records), "nothing is left of the one that was refused"


def test_a_submission_that_is_refused_for_good_leaves_no_files(controller: Controller, false_batch: Batch) -> None:
    false_batch.config("a")
    controller.faults["refuse"] = ["Invalid partition name specified"]
    out = false_batch.run(*false_batch.words(), code=1)
    assert "sbatch refused it: Batch job submission failed: Invalid partition" in out
    assert [path.name for path in (false_batch.work.batch / "slurm").iterdir()] == []
    false_batch.run("--resume", code=0)
    assert false_batch.starts == ["a from 0"] and (false_batch.work.batch / "slurm/submit_1.sh").exists()


BROKEN = "RuntimeError: CUDA error: uncorrectable ECC error encountered"
ABSENT = "ModuleNotFoundError: No module named 'yaml'"


@pytest.mark.parametrize("says", [BROKEN, ABSENT], ids=["device", "import"])
def test_a_node_that_fails_jobs_is_left_out(controller: Controller, false_batch: Batch, says: str) -> None:
    """A module is missing on one node only if a job on another one has completed."""
    controller.slots = 1
    false_batch.config("a")
    false_batch.config("b", bad_node="n2", says=says, awaits="slurm/nodes/n1.worked")
    out = false_batch.run(*false_batch.words(), code=0)
    result = false_batch.work.result("b")
    assert result["attempt"] == 2 and result["slurm"]["node"] == "n1"
    assert sorted(false_batch.starts) == ["a from 0", "b from 0", "b from 0"]
    before = read(false_batch.work.batch / "b/attempt_1/experiment_result.json")
    assert "runs again on another node than n2" in before["error"] and before["slurm"]["requeued"]
    assert "n2 was left out (" in out and says.partition(": ")[2] in out
    names = {path.name for path in (false_batch.work.batch / "slurm/nodes").iterdir()}
    assert names == {"n1.worked", "n2"}


def test_a_controller_that_is_away_ends_nothing(controller: Controller, false_batch: Batch) -> None:
    controller.faults["compressed"] = True  # as an older squeue prints arrays
    false_batch.config("a")
    false_batch.config("b")
    false_batch.allow(1)
    runner = false_batch.start(*false_batch.words("--slurm_array_parallelism", "1"))
    false_batch.wait_for_starts(1)
    controller.faults["down"] = True
    asked = controller.calls["squeue"]
    false_batch.allow(1000)
    false_batch.wait_for_result("a", "completed")
    wait_until(lambda: controller.calls["squeue"] > asked + 3, "it was asked in vain", PATIENCE)
    assert runner.poll() is None
    controller.faults["down"] = False
    runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0 and submitted(controller) == 1


def test_a_job_is_submitted_again_where_nothing_is_requeued(controller: Controller, false_batch: Batch) -> None:
    """scontrol requeue is disabled, and a node that is lost ends its jobs for good."""
    controller.faults["no_requeue"] = True
    false_batch.config("a", steps=5)
    false_batch.allow(2)
    runner = false_batch.start(*false_batch.words())
    false_batch.wait_for_starts(1)
    false_batch.cluster.call("scancel", "--batch", "--signal=USR1", controller.tasks[0].id)
    wait_until(lambda: len(controller.tasks) == 2, "it is submitted again", PATIENCE)
    false_batch.wait_for_starts(2)
    node = wait_until(lambda: controller.tasks[1].node, "it runs")
    controller.lose(node, requeue=False)
    false_batch.allow(1000)
    out, _ = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0, out
    assert len(controller.tasks) == 3 and controller.tasks[2].options["exclude"] == node
    assert "the node" in out and false_batch.work.result("a")["attempt"] == 3


def test_a_job_without_progress_is_not_queued_for_ever(controller: Controller, false_batch: Batch) -> None:
    false_batch.config("a", saves=False)
    false_batch.allow(1)
    runner = false_batch.start(*false_batch.words())
    for start in (1, 2):
        false_batch.wait_for_starts(start)
        wait_until(lambda: controller.tasks[0].state == "RUNNING", "it runs", PATIENCE)
        false_batch.cluster.call("scancel", "--batch", "--signal=USR1", controller.tasks[0].id)
    runner.communicate(timeout=PATIENCE)
    result = false_batch.work.result("a")
    assert (result["status"], result["cause"]) == ("failed", "no_progress") and "without progress" in result["error"]
    assert len(false_batch.starts) == 2 and runner.returncode == 1


def test_a_script_that_fails_before_the_job_says_so(controller: Controller, false_batch: Batch) -> None:
    controller.faults["accounting"] = True
    controller.keeps = 0  # the controller has forgotten it: the accounting knows
    false_batch.config("a")
    out = false_batch.run(*false_batch.words("--slurm_setup", "module load cuda"), code=1)
    assert "ended as FAILED" in out and "slurm/1_0.log" in out
    assert "--slurm_setup failed" in (false_batch.work.batch / "slurm/1_0.log").read_text()


def test_the_environment_of_an_outer_job_does_not_reach_the_jobs(controller: Controller, false_batch: Batch) -> None:
    false_batch.config("a")
    outer = {"SLURM_CPU_BIND": "x", "SBATCH_PARTITION": "y", "OWN": "1", "TOKEN": "2", **false_batch.cluster.env}
    false_batch.work.run(*false_batch.words("--slurm_export", "OWN"), env=outer, code=0)
    env = controller.tasks[0].env
    assert env["OWN"] == "1" and not {"SLURM_CPU_BIND", "SBATCH_PARTITION", "TOKEN"} & set(env)


def test_jobs_run_the_code_as_it_was_submitted(controller: Controller, false_batch: Batch) -> None:
    controller.faults["hold"] = "Priority"
    work = false_batch.work
    work.write(".gitignore", "experiments\nallowed*\n")
    false_batch.config("a")
    for words in (("init", "-q"), ("add", "."), ("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x")):
        subprocess.run(["git", *words], cwd=work.folder, check=True)
    false_batch.run(*false_batch.words("--detach"), code=0)
    assert "others have a higher priority" in false_batch.run("status", code=0)
    work.write("job.py", "raise SystemExit('edited')\n")
    del controller.faults["hold"]
    false_batch.wait_for_result("a", "completed")
    (code,) = (work.batch / "slurm/code").iterdir()
    assert (code / "allowed").is_symlink() and "edited" not in (code / "job.py").read_text()


def test_a_submission_whose_answer_no_runner_saw_is_found(controller: Controller, false_batch: Batch) -> None:
    controller.faults["hold"] = "Resources"
    false_batch.config("a")
    runner = false_batch.start(*false_batch.words())
    wait_until(lambda: controller.tasks, "it is submitted", PATIENCE)
    kill(runner)
    record = false_batch.work.batch / "slurm/submit_1.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "slurm_id": None}))
    again = false_batch.start("--resume")
    assert again.stdout is not None
    assert any("a runs already" in line for line in again.stdout)
    del controller.faults["hold"]  # not before: what completes meanwhile may be submitted again, for nothing
    again.communicate(timeout=PATIENCE)
    assert again.returncode == 0 and submitted(controller) == 1 and false_batch.starts == ["a from 0"]


def _record(batch: Batch) -> str:
    """That of the first submission."""
    path = batch.work.batch / "slurm/submit_1.json"
    return path.read_text() if path.exists() else ""
