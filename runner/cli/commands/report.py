"""`report [BATCH]`: a batch as one HTML file that can be sent, or as Markdown."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from runner.cli.batch_folders import find
from runner.cli.option_types import Invalid, collected, memory
from runner.cli.parser import add, add_base, base_folder
from runner.cli.saving import save
from runner.core.errors import UserError
from runner.core.printing import say, write_data
from runner.core.text import shown, size
from runner.disk import layout
from runner.planners import recorded
from runner.reports.document.gather import gather
from runner.reports.document.markdown import markdown
from runner.reports.document.page import LARGEST, page

HELP = "a batch as one HTML file: failures, results, curves, comparison"
PURPOSE = "Write a report on a batch: one file that opens without a network and without scripts, and can be sent."
EPILOG = """\
It says what failed and why, which configs are best, and how they were run. Secrets are replaced by ***; --anonymous
also replaces home folders and the names of hosts and of the user. docs/report.md shows one.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.description, parser.epilog = PURPOSE, EPILOG
    add_base(parser)
    parser.add_argument("batch", nargs="?", default="", metavar="BATCH", help="default: the latest")
    out = "write it to FILE; - is standard output (default: report.html in the folder of the batch)"
    parser.add_argument("-o", "--out", metavar="FILE", help=out)
    most = "leave out the largest pictures of a file that is larger, as in 2MB (default: 8MB)"
    add(parser, "max_size", type=collected(memory), metavar="SIZE", help=most)
    add(parser, "markdown", action="store_true", help="as Markdown, on standard output unless -o names a file")
    add(parser, "anonymous", action="store_true", help="without home folders, hosts and the name of the user")


def _largest(given: Namespace) -> int:
    if isinstance(given.max_size, Invalid):
        raise UserError(f"--max-size: {given.max_size.why}")
    return LARGEST if given.max_size is None else given.max_size << 20


def main(given: Namespace) -> int:
    root = find(base_folder(given), given.batch)
    found = gather(recorded.plan(root, contents=False), anonymous=given.anonymous)
    content = markdown(found).encode() if given.markdown else page(found, _largest(given))
    if given.out == "-" or (given.markdown and given.out is None):
        write_data(content.decode())
        sys.stdout.flush()
        return 0
    path = root / layout.REPORT if given.out is None else Path(given.out).expanduser()
    try:
        save(path, content)
    except OSError as error:
        raise UserError(
            f"{given.out or shown(path)}: cannot be written ({error.strerror}); name another file"
        ) from None
    say(f"{shown(path.absolute())}: {size(len(content))}")
    return 0
