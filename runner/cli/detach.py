"""Run a batch in the background: without its terminal, and without the process that the user started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runner.core import clock, program, redact
from runner.core.checkout import PROJECT
from runner.core.job import Plan
from runner.core.printing import say
from runner.core.text import count, shown
from runner.disk import atomic, layout, results
from runner.disk.append_log import APPEND
from runner.disk.lock import Lock
from runner.disk.opening import open_file
from runner.processes import process_id


def detach(plan: Plan, lock: Lock) -> int | None:
    """Split in two: None in the process that runs the batch, without a terminal; the exit code in the other one."""
    sys.stdout.flush()
    read, write = os.pipe()
    if os.fork():
        lock.hand_over()
        os.close(write)
        followed = os.read(read, 1 << 16)  # it has its own session, its log, and wrote its id into the lock
        os.close(read)
        return _print(plan, followed)
    os.close(read)
    os.write(write, os.fsencode(_leave_terminal(plan, lock)))
    os.close(write)
    return None


def _leave_terminal(plan: Plan, lock: Lock) -> str:
    """A session of our own, an empty input, a log for the output; returns the log that the user should follow."""
    paths = layout.BatchPaths(plan.root)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = open_file(paths.runner_log, APPEND, 0o644)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    lock.record_holder()
    return (plan.kind.stop_by == "run_background.py" and _register(plan)) or paths.master_log


def _print(plan: Plan, followed: bytes) -> int:
    """Print where it runs; or, if it ended before it sent anything, that it does not."""
    if not followed:
        say(f"{plan.name} could not go into the background; nothing was started", file=sys.stderr)
        return 1
    say(f"{plan.name} runs in the background: {count(len(plan.jobs), 'job')} in {shown(plan.root)}")
    say(f"follow it: {program.pasted(['tail', '-f', shown(os.fsdecode(followed))])}")
    say(f"stop it:   {_stopping(plan)}")
    return 0


def _stopping(plan: Plan) -> str:
    """The command line that stops the batch."""
    by_record = PROJECT / "scripts" / plan.kind.stop_by
    if Path(sys.argv[0]).name == by_record.name and by_record.is_file():  # which the user has given
        return program.pasted((*program.script_words(by_record), "--stop", shown(plan.root)))
    return program.offered("stop", plan.root)


def _register(plan: Plan) -> str | None:
    """Keep a folder for a sweep that runs in the background: its log, whose path is returned, and this process."""
    folder = Path.cwd() / layout.BACKGROUND_RUNS / plan.name
    pid, start, boot = process_id.own() or [str(os.getpid()), "", ""]
    record = {
        "schema": results.SCHEMA,
        "experiment_dir": str(plan.root),
        "spec": plan.origin.get("spec"),
        "command": redact.argv(sys.argv, plan.options.not_secret),
        "pid": int(pid),
        "process_start_time": start,
        "boot_id": boot,
        "started_at": clock.now(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / layout.NOHUP_LOG
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(layout.BatchPaths(plan.root).runner_log, folder))
        atomic.write_json(folder / layout.RUN_RECORD, record)
    except OSError as error:  # the batch does not depend on it
        say(f"Note: {folder} cannot be written ({error.strerror}); --list will not show this run", flush=True)
        return None
    return str(link)
