"""`note`: write a sentence about a batch into its folder, or show it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from runner.cli.batch_folders import find
from runner.cli.parser import add, add_base, base_folder
from runner.core import redact
from runner.core.errors import UserError
from runner.core.printing import say
from runner.core.text import plain, shown
from runner.disk import labels, plan_file

HELP = "write a note about a batch, which list and status show"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", metavar="BATCH")
    parser.add_argument("text", nargs="*", metavar="TEXT", help="without it, the note is printed")
    add(parser, "remove", action="store_true", help="remove the note")


def main(given: Namespace) -> int:
    root = find(base_folder(given), given.batch)
    if not plan_file.exists(root):
        raise UserError(f"{shown(root)}: is not a batch; name the folder of one")
    text = redact.text(" ".join(plain(" ".join(given.text)).split()))
    if given.text and given.remove:
        raise UserError("--remove takes no TEXT; give one of them")
    if given.text and not text:
        raise UserError("the note is empty; --remove removes a note")
    if given.text or given.remove:
        labels.change(root, lambda before: replace(before, note=text or None))
    elif note := labels.read(root).note:
        say(note)
    else:
        say(f"{shown(root)}: has no note")
    return 0
