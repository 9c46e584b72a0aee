"""`diff A B`: what two jobs differ in, and the first step at which their curves part."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from runner.cli.batch_folders import find, no_such_job
from runner.cli.parser import add_base, base_folder
from runner.cli.show import print_json
from runner.core.canonical import tagged
from runner.core.errors import UserError
from runner.core.printing import say
from runner.core.text import shown
from runner.planners import recorded
from runner.reports import job_record
from runner.reports.comparing import differences_text
from runner.reports.comparing.differences import JobRecord, differences

HELP = "what two jobs differ in, and where their curves part"
WIDTH = 80  # of a file and of a pipe


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    where = "the folder of a job, BATCH/JOB, or a job of the latest batch"
    parser.add_argument("first", metavar="A", help=where)
    parser.add_argument("second", metavar="B", help="another one")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(given: Namespace) -> int:
    base = base_folder(given)
    folders = [_folder(base, word) for word in (given.first, given.second)]
    (one, measured), (other, also_measured) = [_job(folder) for folder in folders]
    found = differences(one, other, measured | also_measured)
    if given.json:
        print_json(tagged({"a": str(folders[0]), "b": str(folders[1]), **found.to_json()}))
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    for line in differences_text.lines(found, [shown(folder) for folder in folders], width):
        say(line)
    return 0


def _folder(base: Path, word: str) -> Path:
    """The folder of a job. Raises UserError."""
    batch, _, job = word.rstrip("/").partition("/")
    for path in (Path.cwd() / Path(word).expanduser(), base / word):
        if path.is_dir():
            return path
    root = find(base, batch if job else "")
    named = job or word
    if named and (root / named).is_dir():
        return root / named
    raise UserError(no_such_job(word, [one.name for one in recorded.plan(root, contents=False).jobs]))


def _job(folder: Path) -> tuple[JobRecord, frozenset[str]]:
    found = job_record.read(folder)
    if isinstance(found, int):
        what = f"holds {found} jobs; name one of them" if found else "has no result of a job; name another folder"
        raise UserError(f"{shown(folder)}: {what}")
    return found
