"""`serve`: a page in the browser with every batch of the base folder."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from importlib import import_module
from pathlib import Path

from runner.cli import batch_folders, batch_rows, inspect
from runner.cli.option_types import natural
from runner.cli.parser import add, add_base, base_folder
from runner.core import clock
from runner.core.checkout import PROJECT
from runner.core.errors import UserError
from runner.core.program import SCRIPT

HELP = "a live page of all batches, for a browser on this machine or through SSH"
PORT = 8080
LARGEST_PORT = 65535


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add(parser, "port", type=natural, metavar="N", help=f"port on 127.0.0.1, 0: a free one ({PORT})")
    add(parser, "host", metavar="NAME", help="127.0.0.1 or ::1; other addresses are refused")
    add(parser, "socket", metavar="PATH", help="listen on this socket, which no other user can open, and on no port")
    add(parser, "keep_token", action="store_true", help="the same token at each start: open pages go on")
    add(parser, "read_only", action="store_true", help="the page cannot stop or start anything")


def main(given: Namespace) -> int:
    port = PORT if given.port is None else given.port
    if port > LARGEST_PORT:
        raise UserError(f"--port {port}: is larger than {LARGEST_PORT}; choose a smaller one")
    if given.socket is not None and (given.port, given.host) != (None, None):
        raise UserError("--socket listens on no port; leave out --port and --host, or --socket")
    base = base_folder(given)
    try:
        page = import_module("runner.page.server")
        source = import_module("runner.page.source")
    except ModuleNotFoundError as error:
        raise UserError(f"serve needs {error.name}; pip install 'overnight[page]'") from None
    seen = inspect.Seen()
    found = source.Source(
        base,
        batches=lambda: list(batch_folders.batches(base)),
        rows=lambda: batch_rows.rows(base, clock.seconds()),
        status=lambda root, plan: inspect.of_plan(root, plan, seen.job),
        order_words=_own_words(),
        read_only=given.read_only,
    )
    path = None if given.socket is None else Path(given.socket).expanduser()
    where = page.Where(port, "127.0.0.1" if given.host is None else given.host, path)
    return int(page.serve(found, where, keep_token=given.keep_token))


def _own_words() -> tuple[str, ...]:
    """The words that start another command of ours, from any folder."""
    script = PROJECT / SCRIPT
    return (sys.executable, str(script)) if script.is_file() else (sys.executable, "-m", "runner")
