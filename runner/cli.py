"""Arguments -> plan -> preflight -> engine -> exit code."""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner import options
from runner.options import UsageError

if TYPE_CHECKING:  # heavy, and not needed for --help
    from runner.engine import Observer
    from runner.job import Plan
    from runner.plans.command import Command
    from runner.state import Record

PROJECT = Path(__file__).resolve().parent.parent
OWN_SCRIPTS = ("run_experiments.py", "train_run.py", "configurator.py", "train.py", "sample.py")
COMPLETED, SOME_DID_NOT, USAGE = 0, 1, 2
SIGNALLED = 128  # plus the signal's number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # before the batch began: nothing was written
        return SIGNALLED + signal.SIGINT


def _main(arguments: Sequence[str]) -> int:
    from_parser = _parsed(arguments)
    if from_parser is None:
        return USAGE
    given, overrides = from_parser
    plan = build_plan(given, overrides, arguments)
    if plan is None:
        return USAGE
    if given.dry_run:
        show(plan, json=given.json)
        return COMPLETED
    return run(plan, given, lambda: build_plan(given, overrides, arguments))


def _parsed(arguments: Sequence[str]) -> tuple[Namespace, dict[str, str]] | None:
    try:
        return options.parse(arguments)
    except UsageError as error:
        complain(error.problems)
        return None


def complain(problems: Sequence[str]) -> None:
    """Say on standard error what is wrong, a sentence a line."""
    for problem in problems:
        print(f"run_experiments.py: {problem}", file=sys.stderr)
    if len(problems) > 1:
        print(f"run_experiments.py: {len(problems)} mistakes; nothing was started", file=sys.stderr)


def build_plan(given: Namespace, overrides: Mapping[str, str], arguments: Sequence[str]) -> Plan | None:
    """The plan if everything is in order; else None, and all that is wrong has been said."""
    from datetime import datetime

    from runner import preflight
    from runner.configfiles import ConfigError
    from runner.plans import files

    base = Path.cwd() / Path(given.base_out_dir).expanduser()
    command, problems = _command(given)
    if misnamed := files.check_name(given.name):
        problems.append(misnamed)
    plan = None
    try:
        plan = files.plan(
            files.Request(
                patterns=given.configs,
                overrides=overrides,
                base=base,
                command=command,
                cwd=Path.cwd(),
                environ=os.environ,
                rerun=lambda config: _rerun(config, arguments),
                name=given.name,
                own=[*(PROJECT / name for name in OWN_SCRIPTS), *([command.script] if command.script else [])],
                library=PROJECT / "config",
            ),
            datetime.now().astimezone(),
        )
    except ConfigError as error:
        problems += error.problems
    wanted = {str(job.config["device"]) for job in plan.jobs if job.config.get("device")} if plan else set()
    if "device" in overrides and not any(problem.startswith("--device") for problem in problems):
        wanted.add(overrides["device"])
    problems += preflight.devices(wanted, os.environ)
    problems += preflight.disk(base, sum(job.disk_bytes for job in plan.jobs) if plan else 0)
    if problems:
        complain(list(dict.fromkeys(problems)))
        return None
    return plan


def _command(given: Namespace) -> tuple[Command, list[str]]:
    """How jobs are started, and what is wrong with it."""
    import shlex

    from runner import wording
    from runner.plans import command

    if given.command:
        wrong = command.problems(given.command)
        return command.Command(template=() if wrong else tuple(shlex.split(given.command))), wrong
    cwd = Path.cwd()
    script = cwd / Path(given.train_script).expanduser() if given.train_script else PROJECT / "train_run.py"
    wrong = [] if script.is_file() else [f"--train_script {given.train_script}: no such file; check the path"]
    if not wrong and script.suffix != ".py" and not os.access(script, os.X_OK):
        wrong = [f"--train_script {given.train_script}: cannot be executed; run chmod +x on it"]
    if wrong:
        return command.Command(), wrong
    return command.Command(script=script, shown=wording.shown(script, cwd)), []


def _rerun(config: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """The same command line for one config alone."""
    kept: list[str] = []
    inside = False
    for word in arguments:
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            inside = name == "--configs"
            if inside and not equals:
                continue
        if not inside:
            kept.append(word)
    script = Path(sys.argv[0])
    return ("python", str(script), "--configs", config, *kept)


def show(plan: Plan, *, json: bool) -> None:
    """Print what would be run."""
    from runner import views

    if json:
        _print_json(views.plan_record(plan))
        return
    for notice in plan.notices:
        print(f"Note: {notice}")
    print(views.dry_run(plan))


def run(plan: Plan, given: Namespace, again: Callable[[], Plan | None]) -> int:
    """Run the plan to its end, and say how it went. `again` makes the plan anew, for another folder."""
    from runner import clock, engine, facts, views
    from runner.executors.local import Local
    from runner.journal import Journal
    from runner.process import Terms
    from runner.signals import Signals

    with Signals() as signals:
        try:
            plan = opened(plan, again)
        except OSError as error:
            complain([f"{plan.root}: cannot be made ({error.strerror}); choose another --base_out_dir"])
            return USAGE
        terms = Terms(given.timeout, log_timestamps=given.log_timestamps)
        executor = Local(terms, facts.gather(PROJECT))
        observers: list[Observer] = [Journal(), _screen(given)]
        max_failures = 1 if given.fail_fast else given.max_failures
        records = engine.run(plan, executor, observers, signals, max_failures=max_failures)
        if given.json:
            _print_json(views.summary(plan, records, clock.now()))
        return exit_code(records, signals.received)


def opened(plan: Plan, again: Callable[[], Plan | None]) -> Plan:
    """The plan, its batch folder made. Raises OSError."""
    from runner import store

    while True:
        try:
            store.open_batch(plan.root)
            return plan
        except FileExistsError:  # another batch took the same second, and so the same folder
            plan = again() or plan


def _screen(given: Namespace) -> Observer:
    """A table on a terminal, lines elsewhere and on a terminal that cannot move its cursor."""
    from runner.screen import Lines

    stream = sys.stderr if given.json else sys.stdout
    if given.quiet or not stream.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        return Lines(stream, brief=given.quiet)
    from runner.table import Screen

    return Screen(stream)


def exit_code(records: Sequence[Record], signals: Sequence[int]) -> int:
    """See --help."""
    if signals:
        return SIGNALLED + signals[0]
    return COMPLETED if all(record.status == "completed" for record in records) else SOME_DID_NOT


def _print_json(record: Mapping[str, object]) -> None:
    import json

    print(json.dumps(record, indent=2, ensure_ascii=False, default=str))
