"""`overnight count FOLDER`: how many jobs a batch has."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import runner
from runner.core.errors import UserError

HELP = "how many jobs a batch has"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder")


def main(given: Namespace) -> int:
    try:
        print(f"{given.folder}: {len(runner.load_results(given.folder))} jobs")
    except NotADirectoryError:
        raise UserError(f"{given.folder}: is not a folder; name that of a batch") from None
    return 0
