"""An ordinary batch inside an allocation: what it is told, and that it uses what was allocated."""

from __future__ import annotations

import sys

import pytest

from runner.processes import cpus
from runner.slurm import allocation
from tests.conftest import RUN_EXPERIMENTS, Workspace, wait_until
from tests.slurm.clusters import PATIENCE, Batch, RealCluster

STEP = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", "SLURM_JOB_NUM_NODES": "1", "SLURM_STEP_NUM_TASKS": "1"}


def test_one_runner_in_a_step_has_nothing_to_be_told() -> None:
    assert allocation.problems({}) == allocation.notes({}, "h") == []
    assert allocation.problems(STEP) == allocation.notes(STEP, "n1") == []


def test_several_runners_are_refused_and_a_shell_outside_is_told_so() -> None:
    (error,) = allocation.problems({**STEP, "SLURM_STEP_NUM_TASKS": "2"})
    assert error.startswith("srun has started 2 runners") and "srun --ntasks=1" in error
    (outside,) = allocation.notes({"SLURM_JOB_ID": "7"}, "login1")
    assert outside.startswith("this shell is on login1, and not in Slurm's job 7")
    (several,) = allocation.notes({**STEP, "SLURM_JOB_NUM_NODES": "3"}, "n1")
    assert several.startswith("Slurm's job 7 has 3 nodes, and the jobs run on n1 alone")


def test_the_cpus_that_slurm_gave_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    outside = cpus.usable()
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    assert cpus.usable() == min(1.0, outside)
    for odd in ("0", "", "x"):
        monkeypatch.setenv("SLURM_CPUS_ON_NODE", odd)
        assert cpus.usable() == outside


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.timeout(600)
def test_a_batch_inside_salloc_is_an_ordinary_one(work: Workspace, real_slurm: RealCluster) -> None:
    batch = Batch(work, real_slurm)
    for name in "ab":
        work.write(f"s/{name}.sh", "echo $SLURMD_NODENAME")
    run = (sys.executable, str(RUN_EXPERIMENTS), "--configs", "s/*.sh", "--command", "sh {config}")
    allocated = ("salloc", "--quiet", "--partition=low", "--nodelist=n2", "--ntasks=2")
    one = batch.call([*allocated, "srun", "--ntasks=1", *run])
    assert one.returncode == 0 and "2 completed" in one.stdout, one.stdout + one.stderr
    assert (work.batch / "a/stdout.log").read_text().endswith(" n2\n")
    several = batch.call([*allocated, "srun", *run])
    assert several.returncode == 2 and "srun has started 2 runners" in several.stderr
    outside = batch.call([*allocated, *run, "--dry-run"])
    assert outside.returncode == 0 and "and not in Slurm's job" in outside.stdout + outside.stderr


#: Each process says where it is, and saves when it is asked to leave. The first one waits for the other.
PARALLEL = """\
echo "$SLURM_PROCID of $SLURM_NTASKS on $SLURMD_NODENAME, first on $MASTER_ADDR:$MASTER_PORT"
trap 'echo $SLURMD_NODENAME > $1/saved_$SLURM_PROCID; exit 0' INT
touch "$1/ready_$SLURM_PROCID"
while true; do sleep 0.1; done
"""


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.timeout(600)
def test_a_job_of_two_nodes_is_started_on_both_and_stopped_on_both(work: Workspace, real_slurm: RealCluster) -> None:
    batch = Batch(work, real_slurm)
    work.write("s/a.sh", PARALLEL)
    words = ("--configs", "s/*.sh", "--command", "bash {config} {out_dir}", "--executor", "slurm")
    batch.run(*words, "--slurm_partition", "low", "--slurm_nodes", "2", "--detach", code=0)
    folder = batch.work.batch / "a"
    wait_until(lambda: len([*folder.glob("ready_*")]) == 2, "both processes run", PATIENCE)
    batch.run("stop", code=0)
    assert sorted((folder / f"saved_{number}").read_text() for number in (0, 1)) == ["n1\n", "n2\n"]
    text = (folder / "stdout.log").read_text()
    assert "0 of 2 on n1, first on " in text and "1 of 2 on n2, first on " in text
    assert batch.work.result("a")["status"] == "interrupted"
