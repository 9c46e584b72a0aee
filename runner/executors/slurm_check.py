"""What is wrong with a batch for Slurm, and what would be submitted. Submits nothing."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Sequence
from datetime import datetime

from runner.core import redact
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.state import Finished, Record
from runner.core.text import count, duration
from runner.executors.slurm_submit import ARRAY
from runner.slurm import environment, nodes, script
from runner.slurm.request import SlurmRequest
from runner.slurm.request import problems as request_problems

PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel")
PARALLEL = ("slurm_nodes", "slurm_ntasks_per_node")
SHOWN = 3  # scripts of a dry run
MANY, SHORT, STARTS = 50, 300.0, 10  # jobs of so many seconds, started so often in a minute, are for pilots


def problems(plan: Plan, jobs: Sequence[Job]) -> list[str]:
    """Sentences for the user; none if the batch can be submitted."""
    options = plan.options
    missing = [name for name in PROGRAMS if jobs and shutil.which(name) is None]
    errors = [f"--executor slurm: {', '.join(missing)} cannot be found; run this on a machine of the cluster"] * bool(
        missing
    )
    errors += request_problems(None, options)
    errors += [error for job in jobs for error in request_problems(job, options)]
    if options.gpus:
        errors.append("--gpus divides the GPUs of this machine; ask Slurm for them with --slurm_gres gpu:1")
    errors += [
        f"--slurm_export {name}: is not set here; set it, or leave it out"
        for name in environment.missing(os.environ, options.slurm_export)
    ]
    errors += _of_pilots(jobs, options)
    return errors + _secrets_of_script(options) + _secrets(jobs)


def _of_pilots(jobs: Sequence[Job], options: RunOptions) -> list[str]:
    """A pilot is a runner on one node, and is started once there."""
    if not options.slurm_pilots:
        return []
    cause = "is for jobs of several processes, and a pilot runs its jobs on one node; leave out --slurm_pilots"
    wide = [f"--{name}" for name in PARALLEL if str(getattr(options, name) or 1) != "1"]
    wide += [f"{job.name}: {name}" for job in jobs for name in PARALLEL if str(job.config.get(name) or 1) != "1"]
    return [f"{place} {cause}" for place in wide]


def _secrets_of_script(options: RunOptions) -> list[str]:
    """Lines of the script, which is a file."""
    return [
        f"--{name}: has a secret ({secret or 'by its look'}), which no file may keep; give it with --slurm_export NAME"
        for name, words in (("slurm_setup", options.slurm_setup), ("slurm_extra", options.slurm_extra))
        for secret in redact.hidden_names(words, options.not_secret)
    ]


def _secrets(jobs: Sequence[Job]) -> list[str]:
    """Jobs that cannot be started from a file, which never has a secret."""
    hidden = [
        job.name
        for job in jobs
        if redact.hidden_names((*job.argv, *job.resume_args), job.not_secret)
        or redact.mapping(job.env, job.not_secret) != {**job.env}
    ]
    cause = "its command or its environment has a secret, which no file may keep"
    return [f"{name}: {cause}; give it through the environment, with --slurm_export NAME" for name in hidden]


def groups(plan: Plan) -> dict[SlurmRequest, list[Job]]:
    """The jobs by what they ask of Slurm; pilots run all of them."""
    found: dict[SlurmRequest, list[Job]] = {}
    for job in plan.jobs:
        request = SlurmRequest.of(plan.options, {} if plan.options.slurm_pilots else job.config)
        found.setdefault(request, []).append(job)
    return found


def preview(plan: Plan) -> str:
    """The scripts as they would be submitted; an array of the cluster may take fewer tasks."""
    lines = []
    found = groups(plan)
    for number, (request, jobs) in enumerate(list(found.items())[:SHOWN], 1):
        tasks = plan.options.slurm_pilots or min(len(jobs), ARRAY, plan.options.slurm_max_submit)
        text = script.text(plan.root, number, "ID", plan.options, request, tasks=tasks, cwd=jobs[0].cwd)
        lines += [f"slurm/submit_{number}.sh, for {count(len(jobs), 'job')}:", text]
    if len(found) > SHOWN:
        lines.append(f"… and {count(len(found) - SHOWN, 'script')} more, one for each request")
    return "\n".join(lines)


def advice(plan: Plan, records: Sequence[Record]) -> str | None:
    """At the end of a batch: nodes that were left out, and that Slurm had to start many short jobs."""
    left_out = [f"{node} was left out ({reason})" for node, reason in nodes.bad(plan.root).items()]
    return "; ".join([*left_out, *filter(None, [_short_jobs(plan, records)])]) or None


def _short_jobs(plan: Plan, records: Sequence[Record]) -> str | None:
    """What would spare Slurm many starts."""
    ran = [record.state for record in records if isinstance(record.state, Finished) and not record.cached]
    if plan.options.slurm_pilots or len(ran) < MANY:
        return None
    try:
        times = [datetime.fromisoformat(state.started_at).timestamp() for state in ran if state.started_at]
    except ValueError:  # not a time of ours
        return None
    median = statistics.median(state.seconds for state in ran)
    minutes = max((max(times) - min(times)) / 60, 1.0) if times else 1.0
    if median > SHORT or len(times) / minutes <= STARTS:
        return None
    often = f"Slurm started {len(times) / minutes:.0f} jobs a minute of {duration(median)} each"
    return f"{often}; --slurm_pilots K runs them in K allocations that it starts once"
