"""What the command line prints of plans and batches, and the observers that print while a batch runs."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Collection

from runner.core.job import Plan
from runner.disk.atomic import as_json as to_text
from runner.disk.plan_file import to_json
from runner.engine.loop import Observer
from runner.observers.journal import Journal
from runner.observers.plain import Lines
from runner.reports.terminal import dry_run


def print_plan(plan: Plan, completed: Collection[str], *, as_json: bool) -> None:
    """Print what would be run; `completed` are the names of jobs that would not."""
    if as_json:
        print_json(to_json(plan))
    else:
        for notice in plan.notices:
            print(f"Note: {notice}")
        print(dry_run(plan, completed))
    sys.stdout.flush()


def print_json(record: object) -> None:
    """Print a record on standard output."""
    print(to_text(record))


def observers_for(given: Namespace) -> list[Observer]:
    """The batch's files, and a table on a terminal, or lines elsewhere and where the cursor cannot move."""
    stream = sys.stderr if given.json else sys.stdout
    if given.quiet or not stream.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        return [Journal(), Lines(stream, brief=given.quiet, verbose=given.verbose)]
    from runner.observers.live import Screen  # rich, which only a terminal needs

    return [Journal(), Screen(stream, verbose=given.verbose)]
