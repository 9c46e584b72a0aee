"""`notify`: show the channels of notifications, or send a test to each."""

from __future__ import annotations

import socket
from argparse import ArgumentParser, Namespace
from pathlib import Path

from runner.cli.notices import delivered
from runner.cli.parser import add
from runner.core.errors import UserError
from runner.core.printing import say
from runner.notify import choices, settings
from runner.notify.message import TEST, Event, compose

HELP = "show the channels of notifications, or send a test to each"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("channels", nargs="*", metavar="CHANNEL", help="default: all that have settings")
    add(parser, "test", action="store_true", help="send a message by each")


def main(given: Namespace) -> int:
    """Exit code 1 if a message could not be sent."""
    choices.read()  # its errors first
    names = given.channels or settings.configured()
    if not names:
        cause = "no channel has settings; write them into"
        raise UserError(f"{cause} {settings.path()} (see docs/notifications.md), or name one: bell, desktop")
    if not given.test:
        return _show(names)
    host = socket.gethostname()
    event = Event(TEST, TEST, f"This is a test from {host}. Messages about your batches will arrive here.", bad=False)
    failed = 0
    for name, error in delivered(settings.channels(names), compose("overnight", str(Path.cwd()), [event])):
        failed += error is not None
        say(f"{name}: " + (f"not sent: {error}" if error else "sent"))
    return 1 if failed else 0


def _show(names: list[str]) -> int:
    """A line for each channel. Its settings are secrets, and are not shown."""
    for name in names:
        errors = settings.problems([name])
        say(f"{name}: {'; '.join(errors) if errors else 'ready'}")
    return 0
