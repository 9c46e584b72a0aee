"""What the command line prints of plans and batches, and the observers that print while a batch runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Collection, Sequence

from runner.core.job import Plan
from runner.core.options import RunOptions
from runner.core.printing import say, say_all, say_json
from runner.disk.atomic import as_json as to_text
from runner.disk.plan_file import to_json
from runner.engine.protocols import Observer
from runner.observers.registry import ObserverContext, make_observers, terminal_observer
from runner.reports.terminal import dry_run


def print_plan(plan: Plan, completed: Collection[str], *, as_json: bool) -> None:
    """Print what would be run; the jobs named in `completed` would not."""
    if as_json:
        print_json(to_json(plan))
    else:
        for notice in plan.notices:
            say(f"Note: {notice}")
        say_all(dry_run(plan, completed))
    sys.stdout.flush()


def print_json(record: object) -> None:
    """Print a record on standard output."""
    say_json(to_text(record))


def observer_names(options: RunOptions) -> list[str]:
    """The observers of a batch with these options, beside the ones that every batch has."""
    return [*options.observers, *(["notify"] if options.notify else [])]


def observers_for(given: Namespace, names: Sequence[str] = ()) -> list[Observer]:
    """The batch's files, what its jobs use, a table or lines for the user, and the observers with these names."""
    stream = sys.stderr if given.json else sys.stdout
    context = ObserverContext(stream, quiet=given.quiet, verbose=given.verbose, json=given.json)
    return make_observers(["journal", terminal_observer(context), "resources", *names], context)
