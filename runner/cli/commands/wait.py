"""`wait`: wait until a batch has ended, and return its exit code."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace

from runner.cli import inspect
from runner.cli.batch_folders import find
from runner.cli.parser import add_base, base_folder
from runner.cli.session import ALL_COMPLETED, SOME_DID_NOT
from runner.core.printing import say
from runner.core.state import RUNNING, SUCCESSES
from runner.core.text import plain
from runner.disk import results
from runner.disk.layout import BatchPaths
from runner.disk.lock import runner
from runner.planners import recorded
from runner.reports.status import WITHOUT_RUNNER, BatchStatus

HELP = "wait until a batch has ended, and return its exit code"
POLL = 0.2  # seconds between two looks


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", nargs="?", default="", metavar="BATCH", help="default: the latest")


def main(given: Namespace) -> int:
    """Print nothing, unless somebody looks; Ctrl+C ends the waiting, not the batch."""
    root = find(base_folder(given), given.batch)
    recorded.plan(root, contents=False)  # the waiting for a folder that is not a batch would end at once
    lock = BatchPaths(root).lock
    if sys.stdout.isatty() and runner(lock) is not None:
        say(f"{plain(root.name)}: waiting for its end; Ctrl+C leaves it running", flush=True)
    while True:
        while runner(lock) is not None:
            time.sleep(POLL)
        found = inspect.batch(root)
        if found.state not in (RUNNING, WITHOUT_RUNNER):  # the first: another runner has taken it
            break
        time.sleep(POLL)
    if sys.stdout.isatty():
        say(f"{plain(found.name)}: {found.state}; {found.counts()}")
    return _exit_code(found, results.read_end(root))


def _exit_code(found: BatchStatus, recorded_code: int | None) -> int:
    """The exit code of the run that ended last; if it was killed and left none, it follows from the jobs."""
    if recorded_code is not None:
        return recorded_code
    completed = all(job.status in SUCCESSES for job in found.jobs.values())
    return ALL_COMPLETED if completed else SOME_DID_NOT
