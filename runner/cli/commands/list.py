"""`list`: every batch of the base folder."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from runner.cli import batch_folders, inspect
from runner.cli.parser import add, add_base, base_folder
from runner.cli.show import print_json
from runner.core.text import plain, shown

HELP = "every batch of the base folder, the latest first"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add(parser, "json", action="store_true", help="print JSON")


def main(given: Namespace) -> int:
    base = base_folder(given)
    found = [inspect.batch_or_error(root) for root in batch_folders.batches(base)]
    if given.json:
        print_json([batch.to_json() for batch in found])
        return 0
    for batch in found:
        print(f"{plain(batch.name):<40} {batch.state:<26} {batch.counts()}")
    if not found:
        print(f"{shown(base)}: there is no batch yet")
    return 0
