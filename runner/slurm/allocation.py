"""What an ordinary batch meets inside an allocation of Slurm's: in salloc, below srun, in a script of the user's. Pure.

The names of the variables are those that slurmstepd sets; a shell that salloc starts has only the first.
"""

from __future__ import annotations

from collections.abc import Mapping

JOB, NODE, NODES, TASKS = "SLURM_JOB_ID", "SLURMD_NODENAME", "SLURM_JOB_NUM_NODES", "SLURM_STEP_NUM_TASKS"
BESIDE = "jobs run beside each other with --max_workers"


def problems(environ: Mapping[str, str]) -> list[str]:
    """Why no batch can start here."""
    tasks = environ.get(TASKS, "1")
    if NODE not in environ or tasks == "1":
        return []
    instead = f"write srun --ntasks=1 ({BESIDE}), or --executor slurm --slurm_pilots {tasks}"
    return [f"srun has started {tasks} runners, each of which would run the whole batch; {instead}"]


def notes(environ: Mapping[str, str], host: str) -> list[str]:
    """What a user should know who expects the jobs to use what was allocated."""
    job = environ.get(JOB)
    if job is None:
        return []
    if NODE not in environ:
        fix = "srun --ntasks=1 --pty overnight run … runs them on a node of it"
        return [f"this shell is on {host}, and not in Slurm's job {job}: the jobs use what {host} has; {fix}"]
    if environ.get(NODES, "1") != "1":
        fix = f"--executor slurm --slurm_pilots {environ[NODES]}, given outside of it, uses several nodes"
        return [f"Slurm's job {job} has {environ[NODES]} nodes, and the jobs run on {environ[NODE]} alone; {fix}"]
    return []
