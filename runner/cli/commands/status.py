"""`status`: the jobs of a batch, as they are now."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from runner.cli import inspect, notices
from runner.cli.batch_folders import find
from runner.cli.option_types import names
from runner.cli.parser import add, add_base, base_folder
from runner.cli.show import print_json
from runner.cli.small_curves import small_curves
from runner.core import clock
from runner.core.printing import say
from runner.core.text import plain
from runner.disk import results
from runner.output.names import VAL
from runner.planners import recorded
from runner.reports import resources
from runner.reports.best import compared_by
from runner.reports.status import BatchStatus

HELP = "the jobs of a batch and their states now"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", nargs="?", default="", metavar="BATCH", help="default: the latest")
    notify = "of a batch whose runner is gone, send what was not reported; for cron"
    add(parser, "notify", nargs="?", const="", metavar="CHANNELS", help=notify)
    add(parser, "curves", action="store_true", help="show the course of the metric that compares jobs")
    add(parser, "resources", action="store_true", help="show what the jobs use of the machine")
    add(parser, "json", action="store_true", help="print JSON")


def main(given: Namespace) -> int:
    root = find(base_folder(given), given.batch)
    code = show(root, as_json=given.json, curves=given.curves, used=given.resources)
    if given.notify is not None:
        for line in notices.report(root, inspect.batch(root), names(given.notify)):
            say(line, file=sys.stderr if given.json else None)
    return code


def show(root: Path, *, as_json: bool = False, curves: bool = False, used: bool = False) -> int:
    """Print the state of a batch; returns the exit code."""
    found = inspect.with_scheduler(root, inspect.batch(root))
    if as_json:
        print_json(found.to_json(clock.seconds()))
    else:
        for line in found.lines():
            say(line)
        for line in _curves(root, found) if curves else ():
            say(line)
        for line in _resources(root) if used else ():
            say(line)
    return 0


def _resources(root: Path) -> Iterator[str]:
    """What each job uses or has used, and below it what stands out."""
    yield plain("resources:")
    for job in recorded.plan(root, contents=False).jobs:
        record = results.read_record(job)
        if words := resources.words(resources.totals(record)):
            yield f"  {plain(job.name):<38} {words}"
            yield from (f"    {plain(sentence)}" for sentence in resources.findings(record))


def _curves(root: Path, found: BatchStatus) -> Iterator[str]:
    """The curves of the jobs that measured something, below the states."""
    metric = compared_by({**job.metrics, **job.best} for job in found.jobs.values()) or VAL
    cells = small_curves([root / name for name in found.jobs], metric)
    if any(cells):
        yield plain(f"curves of {metric}:")
        yield from (f"  {plain(name):<38} {cell}" for name, cell in zip(found.jobs, cells, strict=True) if cell)
