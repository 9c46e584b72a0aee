"""`rerun`: run one job of a batch again."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from runner.cli import batch
from runner.cli.batch_folders import find
from runner.cli.parser import add_base, base_folder, command_parser

HELP = "run one job of a batch again, as a new attempt"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", metavar="BATCH")
    parser.add_argument("job", metavar="JOB")


def main(words: Sequence[str]) -> int:
    parser = command_parser("rerun", HELP)
    add_arguments(parser)
    given = parser.parse_args(words)
    return batch.rerun(find(base_folder(given), given.batch), given.job)
