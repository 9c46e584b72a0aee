"""`list`: every batch of the base folder."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace

from runner.cli import batch_folders, batch_rows, inspect
from runner.cli.parser import add, add_base, base_folder
from runner.cli.show import print_json
from runner.core import clock
from runner.core.printing import say
from runner.core.text import shown
from runner.reports import listing

HELP = "every batch of the base folder, the latest first"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add(parser, "tag", metavar="TAG", help="only batches with this tag")
    add(parser, "json", action="store_true", help="print JSON")


def main(given: Namespace) -> int:
    base, now = base_folder(given), clock.seconds()
    if given.json:
        found = [inspect.batch_or_error(root) for root in batch_folders.batches(base)]
        print_json([batch.to_json(now) for batch in found if given.tag is None or given.tag in batch.tags])
        return 0
    rows = batch_rows.rows(base, now)
    tagged = [row for row in rows if given.tag is None or given.tag in row.tags]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in listing.lines(tagged, now, width):
        say(line)
    if not rows:
        say(batch_folders.none_yet(base))
    elif not tagged:
        known = ", ".join(sorted({tag for row in rows for tag in row.tags})) or "none"
        say(f"{shown(base)}: no batch has the tag {given.tag!r}; tags are: {known}")
    return 0
