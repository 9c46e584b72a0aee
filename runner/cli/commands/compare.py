"""`compare FOLDER...`: groups without the seed, which is best, what mattered, and what failures have in common."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace

from runner.cli import result_folders
from runner.cli.parser import add_base
from runner.cli.show import print_json
from runner.core.canonical import tagged
from runner.core.errors import UserError, did_you_mean
from runner.core.printing import say
from runner.core.text import ascii_signs
from runner.observers.signs import shows_unicode
from runner.reports import best
from runner.reports.comparing import text
from runner.reports.comparing.compare import Comparison, Unknown, compare
from runner.reports.table import Table

HELP = "which settings are best, what mattered, and what the failures have in common"
PURPOSE = "Compare the jobs in these folders: seeds are averaged over, and what noise alone would give is said."
EPILOG = """\
Jobs that differ in nothing but a seed are one group. docs/comparison.md says how each number is computed.
Without --metric the jobs are compared by val/loss, or by another metric if no job has that one.
"""
LAST, BEST, TAIL = "last", "best", "tail"
WIDTH = 80  # of a file and of a pipe


def add_arguments(parser: ArgumentParser) -> None:
    parser.description, parser.epilog = PURPOSE, EPILOG
    add_base(parser)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="default: the latest batch")
    parser.add_argument("--metric", metavar="NAME", help="compare by this metric, as in val/accuracy or best/val/loss")
    of = "which value of its curve: the last (default), the best, or the mean of the last tenth (tail)"
    parser.add_argument("--of", choices=(LAST, BEST, TAIL), help=of)
    parser.add_argument("--goal", choices=("min", "max"), help="which values are best (default: as the name says)")
    parser.add_argument("--over", metavar="KEY", help="settings to average over, with commas (default: the seeds)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(given: Namespace) -> int:
    found = result_folders.rows(given)
    result_folders.with_resources(found, [given.metric or ""])
    metric = _of(found, given.of, given.metric)
    over = None if given.over is None else result_folders.over(found, given.over)
    compared = _compared(found, metric, given.goal, over)
    if given.json:
        print_json(tagged(compared.to_json()))
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    signs = str if shows_unicode(sys.stdout) else ascii_signs
    for line in text.lines(compared, width):
        say(signs(line))
    return 0


def _of(found: Table, which: str | None, metric: str | None) -> str | None:
    """The name of the last value of a metric, of its best one, or of the mean of its last tenth."""
    named = metric or best.compared_by([dict.fromkeys(sorted(found.measured), 1)])
    if which is None or named is None or which == LAST:
        return metric
    return result_folders.with_tails(found, named) if which == TAIL else f"{which}/{named}"


def _compared(found: Table, metric: str | None, goal: str | None, over: list[str] | None) -> Comparison:
    try:
        return compare(found, metric, goal, over)
    except Unknown as error:
        names = sorted(found.measured) if error.what == "metric" else []
        hint = did_you_mean(metric or "", names) or (f"there are {', '.join(names[:12])}" if names else "")
        raise UserError(f"--{error.what}: {error}{hint and '; '}{hint}") from None
