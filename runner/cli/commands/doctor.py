"""`doctor`: what a report of an error needs to say about this machine, without secrets."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from runner.cli import checkup
from runner.cli.parser import add, add_base, base_folder
from runner.cli.show import print_json
from runner.core.printing import say

HELP = "versions, GPUs, limits and the file system, for a report of an error"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add(parser, "json", action="store_true", help="print JSON")


def main(given: Namespace) -> int:
    """Exit code 1 if something here would disturb a batch."""
    found = checkup.checked(base_folder(given))
    if given.json:
        print_json({title: {one.name: one.value for one in lines} for title, lines in found.items()})
    else:
        for title, lines in found.items():
            say(title)
            width = max((len(one.name) for one in lines), default=0)
            for one in lines:
                say(f"  {'!' if one.bad else ' '} {one.name:<{width}}  {one.value}")
    return 1 if any(one.bad for lines in found.values() for one in lines) else 0
