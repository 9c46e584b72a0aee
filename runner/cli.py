"""Arguments -> plan -> preflight -> engine -> exit code."""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import options
from runner.options import UsageError

if TYPE_CHECKING:  # heavy, and not needed for --help
    from runner.engine import Observer, Policy
    from runner.job import Plan
    from runner.lock import Lock
    from runner.plans.command import Command
    from runner.process import Terms
    from runner.signals import Signals
    from runner.state import Record

PROJECT = Path(__file__).resolve().parent.parent
OWN_SCRIPTS = ("run_experiments.py", "train_run.py", "configurator.py", "train.py", "sample.py")
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
    from runner.screen import silence

    silence(sys.stdout)


def _main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in options.COMMANDS:
        from runner import background

        return background.main(arguments, rerun)
    try:
        given, overrides, wrong = options.parse(arguments)
    except UsageError as error:
        return complain(error.problems)
    if given.resume is not None:
        return resume(given)
    try:
        plan = build_plan(given, overrides, arguments, wrong)
        if plan is None:
            return USAGE
        if given.dry_run:
            show(plan, json=given.json)
            sys.stdout.flush()
            return COMPLETED
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence()
        return complain([f"{error.filename or 'the current folder, or the output'}: {error.strerror}"])
    return start(plan, given, lambda: build_plan(given, overrides, arguments))


def complain(problems: Sequence[str]) -> int:
    """Say on standard error what is wrong, a sentence a line; returns the exit code for it."""
    from runner.wording import plain

    for problem in problems:
        print(f"run_experiments.py: {plain(problem)}", file=sys.stderr)
    if len(problems) > 1:
        print(f"run_experiments.py: {len(problems)} mistakes; nothing was started", file=sys.stderr)
    return USAGE


def build_plan(
    given: Namespace, overrides: Mapping[str, str], arguments: Sequence[str], wrong: Sequence[str] = ()
) -> Plan | None:
    """The plan if everything is in order; else None, and all that is wrong has been said, `wrong` first."""
    import shlex
    from datetime import datetime

    from runner import preflight
    from runner.configfiles import ConfigError
    from runner.plans import files

    command, problems = _command(given)
    problems = [*wrong, *problems]
    base = Path.cwd() / given.base_out_dir
    try:
        base = Path.cwd() / Path(given.base_out_dir).expanduser()
    except RuntimeError as error:  # ~nobody
        problems.append(f"--base_out_dir {given.base_out_dir}: {str(error).rstrip('.').lower()}; type the whole path")
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
                resume_args=tuple(shlex.split(given.resume_args or "")),
                options=options.kept(given),
            ),
            datetime.now().astimezone(),
        )
    except ConfigError as error:
        problems += error.problems
    wanted = {}
    if "device" in overrides and not any(problem.startswith("--device") for problem in problems):
        wanted[overrides["device"]] = f"--device {overrides['device']}"
    for job in plan.jobs if plan else ():
        device = job.config.get("device")
        if isinstance(device, str):
            wanted.setdefault(device, f"{job.source_argument}: device is {device!r}")
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
    try:
        script = cwd / Path(given.train_script).expanduser() if given.train_script else PROJECT / "train_run.py"
        cause = "is a folder; name the script in it" if script.is_dir() else "no such file; check the path"
        wrong = [] if script.is_file() else [f"--train_script {given.train_script}: {cause}"]
    except (OSError, RuntimeError) as error:
        return command.Command(), [f"--train_script {given.train_script}: {error}; check the path"]
    if not wrong and script.suffix != ".py" and not os.access(script, os.X_OK):
        wrong = [f"--train_script {given.train_script}: cannot be executed; run chmod +x on it"]
    if wrong:
        return command.Command(), wrong
    return command.Command(script=script, shown=wording.shown(script, cwd)), []


def _rerun(config: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """The same command line for one config alone."""
    from runner import wording

    kept: list[str] = []
    inside = False
    for word in arguments:
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            inside = name == "--configs"
            if inside and not equals:
                continue
        if not inside and word != "--detach":
            kept.append(word)
    script = Path(sys.argv[0])
    return (wording.shown(sys.executable), str(script), "--configs", config, *kept)


def show(plan: Plan, *, json: bool) -> None:
    """Print what would be run."""
    from runner import views

    if json:
        _print_json(views.plan_record(plan))
        return
    for notice in plan.notices:
        print(f"Note: {notice}")
    print(views.dry_run(plan))


def start(plan: Plan, given: Namespace, again: Callable[[], Plan | None]) -> int:
    """Run a new batch. `again` makes the plan anew, for another folder."""
    from runner import atomic, store, views
    from runner.layout import BatchPaths
    from runner.lock import Lock
    from runner.signals import Signals

    with Signals() as signals:  # from here on something is written: a signal must not cut it short
        while True:
            try:
                store.open_batch(plan.root)
                break
            except store.Taken:  # another batch took the same second, and so the same folder
                anew = again()
                if anew is None:
                    return USAGE
                plan = anew
            except OSError as error:
                return complain([f"{plan.root}: cannot be made ({error.strerror}); choose another --base_out_dir"])
        with Lock(BatchPaths(plan.root).lock) as lock:
            try:  # at once: without it nobody could go on with the batch
                atomic.write_json(BatchPaths(plan.root).plan, views.plan_record(plan))
            except OSError as error:
                return complain([f"{plan.root}: the plan cannot be written ({error.strerror}); free some space"])
            return run(plan, given, lock, {}, signals)


def resume(given: Namespace, job: str | None = None) -> int:
    """Go on with a batch: all that did not complete, or `job` alone, whatever its record says."""
    from runner import attempts, store
    from runner import resume as resuming
    from runner.configfiles import ConfigError
    from runner.layout import BatchPaths
    from runner.lock import Held, Lock
    from runner.plans import recorded
    from runner.signals import Signals
    from runner.wording import shown

    try:
        root = resuming.find(Path.cwd() / Path(given.base_out_dir).expanduser(), given.resume)
        recorded.plan(root)  # what is no batch gets no lock file either
        with Signals() as signals, Lock(BatchPaths(root).lock) as lock:
            plan = recorded.plan(root)
            names = [planned.name for planned in plan.jobs]
            if job is not None and job not in names:
                raise ConfigError(resuming.no_such_job(job, names))
            settled = resuming.known(plan, given.only, job)
            plan = resuming.renewed(plan, settled, accept=given.accept_changes)
            anew = options.kept(given)
            before = dict(plan.options)
            if "max_failures" in anew:  # the limit that is said now, not the one of then
                before.pop("fail_fast", None)
            plan = replace(plan, options={**before, **anew})
            if given.dry_run:
                show(replace(plan, jobs=tuple(one for one in plan.jobs if one.name not in settled)), json=given.json)
                return COMPLETED
            attempts.clear_batch(plan)
            if job is not None:
                attempts.put_away_completed(plan.jobs[names.index(job)])
            code = run(plan, given, lock, settled, signals)
            if job is None or code not in (COMPLETED, SOME_DID_NOT):
                return code
            done = store.finished(next(one for one in plan.jobs if one.name == job))
            return COMPLETED if done else SOME_DID_NOT
    except ConfigError as error:
        return complain(error.problems)
    except Held as held:
        complain([f"{shown(root)}: another runner has it in hand: {held}"])
        return HELD
    except OSError as error:
        return complain([f"{error.filename}: {error.strerror}"])


def rerun(root: Path, job: str) -> int:
    """Run one job of a batch again. Its config is taken as it is now: a job is rerun because it was mended, mostly."""
    return resume(options.parser().parse_args(["--resume", str(root), "--accept_changes"]), job)


def run(plan: Plan, given: Namespace, lock: Lock, settled: Mapping[str, Record], signals: Signals) -> int:
    """Run the plan to its end, and say how it went."""
    from runner import background, clock, engine, facts, views
    from runner.executors.local import Local
    from runner.journal import Journal

    if given.detach and background.detach(plan, lock):
        return COMPLETED
    executor = Local(terms(plan.options), facts.gather(PROJECT))
    observers: list[Observer] = [Journal(), _screen(given)]
    records = engine.run(plan, executor, observers, signals, policy(plan.options), settled)
    if given.json:
        _print_json(views.summary(plan, records, clock.now()))
    return exit_code(records, signals.received)


def terms(kept: Mapping[str, Any]) -> Terms:
    """How each job is run."""
    from runner.process import GRACE, Terms

    return Terms(
        timeout=kept.get("timeout"),
        stall_timeout=kept.get("stall_timeout"),
        keep_running=bool(kept.get("keep_running")),
        grace=tuple(kept.get("grace", GRACE)),
        log_timestamps=kept.get("log_timestamps", "all"),
    )


def policy(kept: Mapping[str, Any]) -> Policy:
    """When a job is tried again, and when the batch gives up."""
    from runner.engine import Policy

    causes = kept.get("retry_on", options.RETRY_ON)
    return Policy(
        max_failures=1 if kept.get("fail_fast") else kept.get("max_failures"),
        retries=kept.get("retries", 0),
        retry_on=frozenset(options.CAUSES[cause] for cause in causes),
        retry_delay=kept.get("retry_delay", 10.0),
    )


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
    from runner.atomic import as_json

    print(as_json(record))
