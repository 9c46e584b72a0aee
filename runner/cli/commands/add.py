"""`add`: more jobs for a batch, planned as its own were. It may be running."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from runner.cli import inspect, preflight
from runner.cli.added import plan_added, with_arguments
from runner.cli.ask import ask, print_answer
from runner.cli.batch_words import add_words, batch_and_configs
from runner.cli.parser import add_base, base_folder
from runner.cli.session import existing_batch
from runner.cli.show import print_plan
from runner.core import program
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.printing import say
from runner.core.requests import AddJobs
from runner.core.state import PENDING
from runner.core.text import listed, plain, shown
from runner.disk import plan_file
from runner.planners import order, recorded

HELP = "add configs to a batch, which may be running; other options are overrides, as with run"
TAKES_OVERRIDES = True  # words that its parser does not know


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add_words(parser, "+", "CONFIG...", "default: the latest batch")
    parser.add_argument("--first", action="store_true", help="start them before all other pending jobs")


def main(given: Namespace) -> int:
    root, configs = batch_and_configs(base_folder(given), given.words)
    if not configs:
        raise UserError("name the configs that are to be added, before the options; see --help")
    before = recorded.plan(root)
    planned = plan_added(before, configs, given.overrides)
    if planned.dry_run:
        print_plan(planned.plan, (), as_json=planned.as_json)
        return 0
    preflight.prepare_datasets(planned.plan)
    for notice in planned.plan.notices:
        say(f"Note: {plain(notice)}")
    jobs = planned.plan.jobs
    answer = ask(before, AddJobs(jobs, first=given.first))
    if answer is not None:
        return print_answer(answer, program.name())
    return _append(root, jobs, first=given.first)


def _append(root: Path, jobs: Sequence[Job], *, first: bool) -> int:
    """Add jobs to a batch that does not run."""
    with existing_batch(root) as session:
        plan = with_arguments(session.recorded())
        known = {job.name: job for job in plan.jobs}
        missing = [job for job in jobs if job.name not in known]  # its runner may have ended when it had added them
        if taken := [job.name for job in jobs if job.name in known and known[job.name] != _as_recorded(plan, job)]:
            raise UserError(*(f"{name}: there is a job of that name already; add it again" for name in taken))
        plan_file.write(order.joined(plan, missing, _pending(plan), first=first))
    names = plain(listed([job.name for job in jobs], 5))
    say(f"added {names} to {shown(root)}, which is not running; start: {program.resume_command(root)}")
    return 0


def _as_recorded(plan: Plan, job: Job) -> Job:
    """The job as a reader of plan.json gets it."""
    return plan_file.from_json(plan_file.to_json(replace(plan, jobs=(job,))), plan.root, recorded.kind_named).jobs[0]


def _pending(plan: Plan) -> list[str]:
    return [job.name for job in plan.jobs if inspect.job(job).status == PENDING]
