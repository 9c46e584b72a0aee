"""Arguments -> plan -> preflight -> engine -> exit code."""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli import options
from runner.cli.options import UsageError
from runner.core.checkout import load_plugins
from runner.disk.results import Taken, finished, open_batch, open_root, write_plan

if TYPE_CHECKING:  # heavy, and not needed for --help
    from runner.core.job import Plan
    from runner.core.state import Record
    from runner.disk.lock import Lock
    from runner.engine.loop import Observer
    from runner.processes.signals import Signals

PROJECT = Path(__file__).resolve().parents[2]
COMPLETED, SOME_DID_NOT, USAGE, HELD = 0, 1, 2, 75
SIGNALLED = 128  # plus the signal's number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell starts us with SIGINT ignored
    open_standard_streams()
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # before the batch began: nothing was written
        return SIGNALLED + signal.SIGINT
    except BrokenPipeError:  # `| head` has seen enough of a plan
        _silence()
        return COMPLETED


def open_standard_streams() -> None:
    """Let closed ones of 0 to 2 lead to nowhere: what is opened next would take their place, a log for example."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a sign that the terminal cannot show is no reason to fall silent
            stream.reconfigure(errors="backslashreplace")


def _silence() -> None:
    from runner.observers.plain import silence

    silence(sys.stdout)


def _main(arguments: Sequence[str]) -> int:
    load_plugins()
    if arguments and arguments[0] == "table":
        from runner.cli.commands import table

        return table.main(arguments[1:])
    if arguments and arguments[0] in options.COMMANDS:
        from runner.cli import batches

        return batches.main(arguments, rerun)
    from runner.core.errors import UserError

    try:
        given, overrides, wrong = options.parse(arguments)
        if given.resume is not None and given.exp is None:
            return resume(given)
        return _planned(given, overrides, arguments, wrong)
    except (UsageError, UserError) as error:
        return complain(error.problems)
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence()
        return complain([f"{error.filename or 'the current folder, or the output'}: {error.strerror}"])


def _planned(given: Namespace, overrides: Mapping[str, str], arguments: Sequence[str], wrong: Sequence[str]) -> int:
    """Plan what was typed, then show it, run it, or go on with the sweep that it planned before."""
    from runner.cli import planning

    typed = planning.Typed(given, overrides, arguments, wrong)
    if given.resume is not None:
        root = planning.earlier(typed)
        if root is not None:
            return resume(given, root, replan=lambda before: planning.plan(typed, before))
        _note(given, f"there is no experiment of {given.exp} yet; this is the first")
    plan = planning.plan(typed)
    if given.dry_run:
        show(replace(plan, jobs=plan.jobs[: given.limit]), json=given.json, rerun=given.rerun)
        sys.stdout.flush()
        return COMPLETED
    if given.config_root is not None:
        return start_tree(plan, given, planning.invocations(typed, plan))
    return start(plan, given, lambda: planning.plan(typed))


def _note(given: Namespace, text: str) -> None:
    if not given.json:
        print(f"Note: {text}")


def complain(problems: Sequence[str], *, counted: bool = True) -> int:
    """Say on standard error what is wrong, a sentence a line; returns the exit code for it."""
    from runner.core.text import plain

    for problem in problems:
        print(f"run_experiments.py: {plain(problem)}", file=sys.stderr)
    if counted and len(problems) > 1:
        print(f"run_experiments.py: {len(problems)} mistakes; nothing was started", file=sys.stderr)
    return USAGE


def show(plan: Plan, *, json: bool, rerun: bool = False) -> None:
    """Print what would be run."""
    from runner.reports import views

    if json:
        _print_json(views.plan_record(plan))
        return
    for notice in plan.notices:
        print(f"Note: {notice}")
    print(views.dry_run(plan, [] if rerun else [job.name for job in plan.jobs if finished(job) is not None]))


def start(plan: Plan, given: Namespace, again: Callable[[], Plan]) -> int:
    """Run a new batch. `again` makes the plan anew, for another folder."""
    from runner.disk.layout import BatchPaths
    from runner.disk.lock import Lock
    from runner.planners import select as resuming
    from runner.processes.signals import Signals
    from runner.reports import views

    with Signals() as signals:  # from here on something is written: a signal must not cut it short
        while True:
            try:
                open_batch(plan.root)
                break
            except Taken:  # another batch took the same second, and so the same folder
                plan = again()
            except OSError as error:
                return complain([f"{plan.root}: cannot be made ({error.strerror}); choose another --base_out_dir"])
        with Lock(BatchPaths(plan.root).lock) as lock:
            try:  # at once: without it nobody could go on with the batch
                write_plan(plan, views.plan_record(plan))
            except OSError as error:
                return complain([f"{plan.root}: the plan cannot be written ({error.strerror}); free some space"])
            settled = resuming.limited(plan, {}, given.limit)
            return run(plan, given, lock, settled, signals, _asked_for(plan, settled, given))


def start_tree(plan: Plan, given: Namespace, programs: Plan | None) -> int:
    """Run what of a tree of configs has no result yet, then invoke the `programs` that subdirectories have."""
    from runner import success
    from runner.core.text import shown
    from runner.disk import attempts
    from runner.disk.layout import BatchPaths
    from runner.disk.lock import Held, Lock
    from runner.planners import recorded
    from runner.planners import select as resuming
    from runner.processes.signals import Signals
    from runner.reports import views

    typed_in = os.getpid()
    try:
        with Signals() as signals:
            open_root(plan.root)
            with Lock(BatchPaths(plan.root).lock) as lock:
                names = {job.name for job in plan.jobs}
                if Path(BatchPaths(plan.root).plan).exists():
                    plan = _joined(plan, given)
                attempts.clear_batch(plan)
                for job in plan.jobs:
                    if job.name in names:
                        attempts.put_away_strangers(job)
                    if job.name in names and given.rerun:
                        attempts.put_away_completed(job)
                settled = resuming.limited(plan, resuming.standing(plan, names), given.limit)
                write_plan(plan, views.plan_record(plan))
                asked_for = names & _asked_for(plan, settled, given) if given.limit else names
                code = run(plan, given, lock, settled, signals, asked_for)
        if programs is None or code > SOME_DID_NOT or (given.detach and os.getpid() == typed_in):
            return code  # the last: the process that went into the background goes on with them
        here = Namespace(**{**vars(given), "detach": False, "limit": None})
        code = max(code, start(programs, here, lambda: programs))
        success.rebuild(recorded.plan(plan.root))
        return code
    except Held as held:
        complain([f"{shown(plan.root)}: another runner has it in hand: {held}"])
        return HELD


def _joined(plan: Plan, given: Namespace) -> Plan:
    """The plan with what is recorded of earlier calls for its output root."""
    from runner.core.errors import UserError
    from runner.planners import recorded, tree

    try:
        return tree.joined(plan, recorded.plan(plan.root))
    except UserError as error:  # the folder was moved or copied, or is of another version: results are found anyway
        _note(given, f"{error.problems[0].partition(';')[0]}; its record is begun anew")
        return plan


def _asked_for(plan: Plan, settled: Mapping[str, Record], given: Namespace) -> set[str]:
    """The jobs that the exit code is about: all, or with --limit those that run."""
    return {job.name for job in plan.jobs if not given.limit or job.name not in settled}


def resume(
    given: Namespace, root: Path | None = None, job: str | None = None, replan: Callable[[Plan], Plan] | None = None
) -> int:
    """Go on with a batch: all that did not complete, or `job` alone, whatever its record says.

    `replan` plans a sweep once more from its spec, which may have changed since.
    """
    from runner.core.errors import UserError
    from runner.core.text import shown
    from runner.disk import attempts
    from runner.disk.layout import BatchPaths
    from runner.disk.lock import Held, Lock
    from runner.planners import recorded
    from runner.planners import select as resuming
    from runner.processes.signals import Signals
    from runner.reports import views

    try:
        root = root or resuming.find(Path.cwd() / Path(given.base_out_dir).expanduser(), given.resume)
        recorded.plan(root)  # what is no batch gets no lock file either
        with Signals() as signals, Lock(BatchPaths(root).lock) as lock:
            plan = before = recorded.plan(root)
            if replan is not None:
                plan = resuming.replanned(before, replan(before), accept=given.accept_changes)
            names = [planned.name for planned in plan.jobs]
            if job is not None and job not in names:
                raise UserError(resuming.no_such_job(job, names))
            settled = resuming.known(plan, given.only, job)
            resuming.refuse_hidden(plan, settled)
            planned_anew = plan is not before
            if not planned_anew:
                plan = resuming.renewed(plan, settled, accept=given.accept_changes)
            settled = resuming.limited(plan, settled, given.limit)
            plan = replace(plan, options=plan.options.updated(options.given_options(given)))
            if given.dry_run:
                show(replace(plan, jobs=tuple(one for one in plan.jobs if one.name not in settled)), json=given.json)
                return COMPLETED
            if planned_anew:
                write_plan(plan, views.plan_record(plan))
            attempts.clear_batch(plan)
            if job is not None:
                attempts.put_away_completed(plan.jobs[names.index(job)])
            code = run(plan, given, lock, settled, signals, _asked_for(plan, settled, given))
            if job is None or code not in (COMPLETED, SOME_DID_NOT):
                return code
            done = finished(next(one for one in plan.jobs if one.name == job))
            return COMPLETED if done else SOME_DID_NOT
    except UserError as error:
        return complain(error.problems, counted=error.counted)
    except Held as held:
        complain([f"{shown(root or given.resume)}: another runner has it in hand: {held}"])
        return HELD
    except OSError as error:
        return complain([f"{error.filename}: {error.strerror}"])


def rerun(root: Path, job: str) -> int:
    """Run one job of a batch again. Its config is taken as it is now: a job is rerun because it was mended, mostly."""
    return resume(options.parser().parse_args(["--resume", str(root), "--accept_changes"]), job=job)


def run(
    plan: Plan,
    given: Namespace,
    lock: Lock,
    settled: Mapping[str, Record],
    signals: Signals,
    asked_for: Collection[str],
) -> int:
    """Run the plan to its end, and say how it went; the exit code is about the jobs that are `asked_for`."""
    from runner.cli import detach
    from runner.core import clock
    from runner.engine import loop
    from runner.executors import provenance
    from runner.executors.local import Local
    from runner.observers.journal import Journal
    from runner.reports import views

    if given.detach and (left := detach.detach(plan, lock)) is not None:
        return left
    executor = Local(plan.options, provenance.gather(PROJECT))
    observers: list[Observer] = [Journal(), _screen(given)]
    records = loop.run(plan, executor, observers, signals, settled)
    if given.json and not plan.kind.quiet_json:
        _print_json(views.summary(plan, records, clock.now()))
    return exit_code([record for record in records if record.job.name in asked_for], signals.received)


def _screen(given: Namespace) -> Observer:
    """A table on a terminal, lines elsewhere and on a terminal that cannot move its cursor."""
    from runner.observers.plain import Lines

    stream = sys.stderr if given.json else sys.stdout
    if given.quiet or not stream.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        return Lines(stream, brief=given.quiet, verbose=given.verbose)
    from runner.observers.live import Screen

    return Screen(stream, verbose=given.verbose)


def exit_code(records: Sequence[Record], signals: Sequence[int]) -> int:
    """See --help."""
    if signals:
        return SIGNALLED + signals[0]
    return COMPLETED if all(record.status == "completed" for record in records) else SOME_DID_NOT


def _print_json(record: Mapping[str, object]) -> None:
    from runner.disk.atomic import as_json

    print(as_json(record))
