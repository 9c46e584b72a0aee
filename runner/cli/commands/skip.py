"""`skip`: let a running batch leave out pending jobs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from runner.cli.ask import ask, print_answer
from runner.cli.batch_words import add_words, batch_and_jobs
from runner.cli.parser import add_base, base_folder
from runner.core import program
from runner.core.errors import UserError
from runner.core.requests import SkipJobs
from runner.core.text import shown

HELP = "do not start these pending jobs of a running batch; a resume runs them"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add_words(parser, "+", "JOB...", "default: the latest batch")


def main(given: Namespace) -> int:
    plan, names = batch_and_jobs(base_folder(given), given.words)
    if not names:
        raise UserError("name the jobs that are to be skipped; see --help")
    answer = ask(plan, SkipJobs(tuple(names)))
    if answer is None:
        raise UserError(f"{shown(plan.root)}: is not running, so it starts no job; a resume runs all that are pending")
    return print_answer(answer, program.name())
