"""`tag`: give tags to a batch, remove some, or show them."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace

from runner.cli.batch_folders import find
from runner.cli.parser import add, add_base, base_folder
from runner.core import redact
from runner.core.errors import UserError, did_you_mean
from runner.core.printing import say
from runner.core.text import plain, shown
from runner.disk import labels, plan_file
from runner.disk.labels import Labels

HELP = "give tags to a batch, for list --tag"
LONGEST = 50  # characters


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", metavar="BATCH")
    parser.add_argument("tags", nargs="*", metavar="TAG", help="without any, the tags are printed")
    add(parser, "remove", action="store_true", help="remove these tags")


def main(given: Namespace) -> int:
    root = find(base_folder(given), given.batch)
    if not plan_file.exists(root):
        raise UserError(f"{shown(root)}: is not a batch; name the folder of one")
    if given.remove and not given.tags:
        raise UserError("--remove: name the tags to remove")
    if given.remove:
        after = labels.change(root, lambda before: _without(before, given.tags))
    elif given.tags:
        _check(given.tags)
        if redact.argv(given.tags) != given.tags:
            raise UserError("a tag looks like a secret, and tags are written down; leave it out")
        after = labels.change(root, lambda before: _with(before, given.tags))
    else:
        after = labels.read(root)
    say(f"{shown(root)}: {plain(', '.join(after.tags)) or 'has no tags'}")
    return 0


def _check(tags: Sequence[str]) -> None:
    """Raise UserError for what is not a tag: it must be one word, so that it can be given to --tag."""
    wrong = [tag for tag in tags if not re.fullmatch(r"\w[\w.:/+=@-]*", tag) or len(tag) > LONGEST]
    if wrong:
        cause = f"is not a tag; a tag is one word of at most {LONGEST} letters, digits and -_.:/+=@"
        raise UserError(*(f"{plain(tag, LONGEST)!r}: {cause}" for tag in wrong))


def _with(before: Labels, tags: Sequence[str]) -> Labels:
    return replace(before, tags=tuple(dict.fromkeys((*before.tags, *tags))))


def _without(before: Labels, tags: Sequence[str]) -> Labels:
    if unknown := [tag for tag in tags if tag not in before.tags]:
        there = ", ".join(before.tags) or "none"
        hints = [did_you_mean(tag, before.tags) or f"its tags are: {there}" for tag in unknown]
        raise UserError(*(f"{tag}: no such tag; {hint}" for tag, hint in zip(unknown, hints, strict=True)))
    return replace(before, tags=tuple(tag for tag in before.tags if tag not in tags))
