"""A job of several processes or nodes: srun starts them, and each knows where the first one is."""

from __future__ import annotations

import os
from dataclasses import replace

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.slurm.commands import PATIENCE, call
from runner.slurm.request import SlurmRequest

#: With --disable-status a SIGINT reaches the processes at once; with --cpu-bind=none each may use all CPUs of the job.
SRUN = ("srun", "--disable-status", "--cpu-bind=none")
PORTS = 10_000


def with_srun(job: Job, options: RunOptions) -> Job:
    """The job as srun starts it, where the request has several processes; else the job itself."""
    if SlurmRequest.of(options, job.config).tasks == 1:
        return job
    number = int(os.environ.get("SLURM_JOB_ID", "0"))
    env = {"MASTER_ADDR": first_host(), "MASTER_PORT": str(20_000 + number % PORTS), **job.env}
    return replace(job, argv=(*SRUN, *job.argv), env=env).with_fingerprint(job.fingerprint)


def first_host() -> str:
    """The first node of this allocation."""
    answer = call(["scontrol", "show", "hostnames", os.environ.get("SLURM_JOB_NODELIST", "")], PATIENCE, os.environ)
    return answer.out.split()[0] if answer.code == 0 and answer.out.split() else os.uname().nodename
