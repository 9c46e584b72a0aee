"""`clean`: remove checkpoints of all but the best jobs."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from runner.cli import batch_folders, inspect
from runner.cli.parser import add, add_base, base_folder
from runner.cli.removing import agreed, job_errors, refuse_running
from runner.cli.session import existing_batch
from runner.core.errors import UserError, did_you_mean
from runner.core.job import Plan
from runner.core.printing import say
from runner.core.state import COMPLETED
from runner.core.text import count, listed, plain, shown, size
from runner.disk import removal
from runner.disk.removal import Removable
from runner.planners import recorded
from runner.reports import status

HELP = "remove checkpoints of all but the best jobs of a batch"
DECLINED = 1  # exit code
NAMES = 3  # checkpoints that are named in a line
EPILOG = """\
Jobs are compared by the best value of val/loss, or of --metric. A job that did not complete keeps its newest
checkpoint, so that it can be resumed. Logs, results and metrics stay.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_base(parser)
    parser.add_argument("batch", nargs="*", metavar="BATCH", help="default: the latest")
    keep = "of each batch, keep the checkpoints of so many jobs"
    add(parser, "keep", type=_number, required=True, metavar="K", help=keep)
    add(parser, "metric", metavar="NAME", help="compare the jobs by this metric")
    add(parser, "dry_run", action="store_true", help="show what would be removed, and remove nothing")
    add(parser, "yes", action="store_true", help="do not ask; required without a terminal")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number; write --keep 0 to keep none")
    return int(text)


def main(given: Namespace) -> int:
    plans = [recorded.plan(root) for root in batch_folders.find_several(base_folder(given), given.batch or [""])]
    if not given.dry_run:
        refuse_running(*(plan.root for plan in plans))
    found = [(plan, removable(plan, given.keep, given.metric)) for plan in plans]
    for plan, jobs in found:
        _show(plan, jobs)
    total = sum(job.size for _, jobs in found for job in jobs)
    if given.dry_run or not any(jobs for _, jobs in found):
        return 0
    if not agreed(f"Remove these checkpoints, {size(total)}?", yes=given.yes):
        say("Nothing was removed.")
        return DECLINED
    for plan, jobs in found:
        if jobs:
            clean(plan.root, jobs, given.keep, given.metric)
    say(f"{size(total)} freed")
    return 0


def removable(plan: Plan, keep: int, metric: str | None) -> list[Removable]:
    """What can go of each job that is not among the best. Raises UserError if none of the jobs can be compared."""
    jobs = {job.name: inspect.job(job) for job in plan.jobs}
    known = status.metrics_of(jobs)
    if metric is not None and metric not in known:
        hint = did_you_mean(metric, known) or f"there are {listed(known, 5) or 'none'}"
        raise UserError(f"{shown(plan.root)}: no job has the metric {metric!r}; {hint}")
    ranking = status.ranked(jobs, metric)
    if keep and not ranking:
        raise UserError(f"{shown(plan.root)}: no job has a metric to compare; --keep 0 keeps no job's checkpoints")
    best = {one.job for one in ranking[:keep]}
    found = [
        removal.removable(plan.root, job, plan.options.checkpoints, keep_latest=jobs[job.name].status != COMPLETED)
        for job in plan.jobs
        if job.name not in best
    ]
    return [one for one in found if one.paths]


def clean(root: Path, shown_before: Sequence[Removable], keep: int, metric: str | None) -> None:
    """Remove what was shown, while nobody else can start the batch, and write its views again."""
    with existing_batch(root) as session:
        if errors := list(job_errors(root)):
            raise UserError(*errors)
        plan = session.recorded()
        if removable(plan, keep, metric) != list(shown_before):
            raise UserError(f"{shown(root)}: has changed meanwhile; nothing was removed, give the command again")
        for job in shown_before:
            removal.remove_checkpoints(job)
        session.rebuild_views(plan)


def _show(plan: Plan, jobs: Sequence[Removable]) -> None:
    if not jobs:
        say(f"{shown(plan.root)}: there is no checkpoint to remove")
        return
    say(f"{shown(plan.root)}: checkpoints of {count(len(jobs), 'job')}, {size(sum(job.size for job in jobs))}")
    for found in jobs:
        names = [plain(str(Path(path).relative_to(found.job.out_dir.absolute()))) for path in found.paths]
        say(f"  {plain(found.job.name)}: {listed(names, NAMES)}, {size(found.size)}")
