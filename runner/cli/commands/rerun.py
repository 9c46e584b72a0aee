"""`rerun`: run jobs of a batch again, with the same settings or with others."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from runner.cli import batch, other_settings
from runner.cli.batch_words import add_words, batch_and_jobs
from runner.cli.options import ONLY
from runner.cli.parser import add, add_base, base_folder
from runner.core.errors import UserError

HELP = "run jobs of a batch again, as a new attempt"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add_words(parser, "*", "JOB...", "default: the latest batch")
    parser.add_argument("--only", choices=ONLY, help="of these jobs, or of all if none is named, run these only")
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="KEY=VALUE",
        help="change a setting of the jobs, which start from scratch; repeatable",
    )  # fmt: skip
    add(parser, "accept_moved", action="store_true", help="also if the batch was moved or copied since")


def main(given: Namespace) -> int:
    unnamed = "name the jobs that are to be run again, or give --only; see --help"
    if not given.words and given.only is None:
        raise UserError(unnamed)
    plan, names = batch_and_jobs(base_folder(given), given.words)
    if not names and given.only is None:
        raise UserError(unnamed)
    settings = other_settings.read("set", given.settings)
    return batch.rerun(plan.root, frozenset(names) or None, given.only, settings, accept_moved=given.accept_moved)
