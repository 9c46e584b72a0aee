"""`attach`: follow a batch to its end."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from runner.cli.batch_folders import find
from runner.cli.follow import add_lines, print_followed
from runner.cli.parser import add_base, base_folder
from runner.disk.layout import BatchPaths
from runner.disk.lock import runner

HELP = "follow a batch to its end; Ctrl+C leaves it running"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", nargs="?", default="", metavar="BATCH", help="default: the latest")
    add_lines(parser)


def main(given: Namespace) -> int:
    """Print the end of the master log, then what is added to it, until no runner runs the batch any more."""
    paths = BatchPaths(find(base_folder(given), given.batch))
    return print_followed(Path(paths.master_log), given.lines, lambda: runner(paths.lock) is not None)
