"""`move`: change the order of the pending jobs of a batch, whether it runs or not."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from runner.cli import inspect
from runner.cli.ask import ask, print_answer
from runner.cli.batch_words import add_words, batch_and_jobs
from runner.cli.parser import add_base, base_folder
from runner.cli.session import existing_batch
from runner.core import program
from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.printing import say
from runner.core.requests import MoveJobs
from runner.core.state import PENDING
from runner.core.text import listed, plain, shown
from runner.disk import plan_file
from runner.planners import order

HELP = "start pending jobs of a batch before the others, or after them"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add_words(parser, "+", "JOB...", "default: the latest batch")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--first", action="store_true", help="before all other pending jobs")
    where.add_argument("--last", action="store_true", help="after all other jobs")


def main(given: Namespace) -> int:
    plan, names = batch_and_jobs(base_folder(given), given.words)
    if not names:
        raise UserError("name the jobs that are to be moved; see --help")
    answer = ask(plan, MoveJobs(tuple(names), first=given.first))
    if answer is not None:
        return print_answer(answer, program.name())
    return _rearrange(plan, names, first=given.first)


def _rearrange(plan: Plan, names: Sequence[str], *, first: bool) -> int:
    """Change the order of a batch that does not run."""
    with existing_batch(plan.root) as session:
        plan = session.recorded()
        states = {job.name: inspect.job(job).status for job in plan.jobs}
        errors = [f"{name}: is not pending ({states[name]})" for name in names if states[name] != PENDING]
        if errors:
            raise UserError(*errors, counted=False)
        pending = [name for name, state in states.items() if state == PENDING]
        plan_file.write(order.moved(plan, names, pending, first=first))
    where = "before" if first else "after"
    say(f"{plain(listed(names, 5))}: a resume of {shown(plan.root)} starts them {where} all other pending jobs")
    return 0
