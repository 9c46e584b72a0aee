"""`tail`: follow the output of a job."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from runner.cli import inspect
from runner.cli.batch_folders import find, no_such_job
from runner.cli.follow import print_followed
from runner.cli.parser import add_base, base_folder
from runner.core.errors import UserError
from runner.core.job import Job
from runner.core.state import RUNNING
from runner.core.text import shown
from runner.disk.layout import COMBINED
from runner.planners import recorded

HELP = "follow the output of a job"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", nargs="?", default="", metavar="BATCH", help="default: the latest")
    parser.add_argument("job", nargs="?", metavar="JOB", help="default: the one that runs, or the last")


def main(given: Namespace) -> int:
    """Print the output of a job as it grows, until the job has ended."""
    job = _meant(find(base_folder(given), given.batch), given.job)
    return print_followed(job.out_dir / COMBINED, lambda: _runs(job))


def _meant(root: Path, named: str | None) -> Job:
    jobs = {job.name: job for job in recorded.plan(root).jobs}
    if named is not None:
        if named not in jobs:
            raise UserError(no_such_job(named, list(jobs)))
        return jobs[named]
    running = [job for job in jobs.values() if _runs(job)]
    started = [job for job in jobs.values() if (job.out_dir / COMBINED).exists()]
    if not (running or started):
        raise UserError(f"{shown(root)}: no job has started yet")
    return (running or started)[-1]


def _runs(job: Job) -> bool:
    return inspect.job(job).status == RUNNING
