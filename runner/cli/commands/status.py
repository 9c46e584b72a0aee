"""`status`: the jobs of a batch, as they are now."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from runner.cli import inspect
from runner.cli.batch_folders import find
from runner.cli.parser import add, add_base, base_folder
from runner.cli.show import print_json
from runner.core import clock
from runner.core.printing import say

HELP = "the jobs of a batch and their states now"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", nargs="?", default="", metavar="BATCH", help="default: the latest")
    add(parser, "json", action="store_true", help="print JSON")


def main(given: Namespace) -> int:
    return show(find(base_folder(given), given.batch), as_json=given.json)


def show(root: Path, *, as_json: bool = False) -> int:
    """Print the state of a batch; returns the exit code."""
    found = inspect.batch(root)
    if as_json:
        print_json(found.to_json(clock.seconds()))
    else:
        for line in found.lines():
            say(line)
    return 0
