"""`tail`: the end of a job's output, and what it prints next; then that of the jobs that follow it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from runner.cli.batch_words import add_words, batch_and_jobs
from runner.cli.follow import add_lines
from runner.cli.follow_jobs import STREAMS, FollowedBatch, follow
from runner.cli.parser import add_base, base_folder
from runner.core.errors import UserError

HELP = "the end of a job's output, and what it prints next"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    words = "default: the latest batch, and in it the job that runs and those after it"
    add_words(parser, "*", "[JOB]", words)
    add_lines(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-f", "--follow", action="store_true", default=True, help="follow it; this is the default")
    how.add_argument("--no_follow", "--no-follow", dest="follow", action="store_false", help="print the end only")
    parser.add_argument("--stream", choices=tuple(STREAMS), default="combined", help="which log (default: combined)")


def main(given: Namespace) -> int:
    """Follow a job over its retries, or, if none is named, one job after the other to the end of the batch."""
    plan, names = batch_and_jobs(base_folder(given), given.words)
    if len(names) > 1:
        raise UserError(f"{names[1]!r}: name one job; without a name all are followed, one after another")
    followed = FollowedBatch(plan, names[0] if names else None, STREAMS[given.stream], given.lines)
    if given.follow:
        return follow(followed)
    followed.print_end()
    return 0
