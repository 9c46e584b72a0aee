"""`rerun`: run one job of a batch again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from runner.cli import batch
from runner.cli.batch_folders import find
from runner.cli.parser import add, add_base, base_folder

HELP = "run one job of a batch again, as a new attempt"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", nargs="?", default="", metavar="BATCH", help="default: the latest")
    parser.add_argument("job", metavar="JOB")
    add(parser, "accept_moved", action="store_true", help="also if the batch was moved or copied since")


def main(given: Namespace) -> int:
    return batch.rerun(find(base_folder(given), given.batch), given.job, accept_moved=given.accept_moved)
