"""Batches that run, with or without a terminal: list them, look at one, follow it, stop it, rerun a job of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.state import COMPLETED
from runner.core.text import duration, plain, shown
from runner.disk import atomic, layout, results
from runner.disk.lock import holder, was_left
from runner.planners import recorded, select
from runner.planners.select import no_such_job
from runner.processes import process_id
from runner.processes.signals import Signals
from runner.reports import views

FOLLOW = 0.2  # seconds between two looks at a file that is followed


def main(arguments: Sequence[str], rerun: Callable[[Path, str], int]) -> int:
    """Obey one of the commands; `rerun` runs one job of a batch again. Returns the exit code."""
    given = _parser().parse_args(arguments)

    def obey() -> int:
        base = Path.cwd() / Path(given.base_out_dir).expanduser()
        if given.command == "list":
            return list_batches(base, as_json=given.json)
        root = select.find(base, given.batch or "")
        match given.command:
            case "status":
                return status(root, as_json=given.json)
            case "attach":
                return attach(root)
            case "tail":
                return tail(root, given.job)
            case "stop":
                return stop(root, now=given.now, drain=given.drain)
        return rerun(root, given.job)

    return answered(obey, "run_experiments.py")


def answered(command: Callable[[], int], program: str) -> int:
    """What `command` returns; 2 where the user made a mistake, which is said."""
    try:
        code = command()
        sys.stdout.flush()
        return code
    except UserError as error:
        for problem in error.problems:
            print(f"{program}: {problem}", file=sys.stderr)
        return 2
    except (BrokenPipeError, KeyboardInterrupt):  # `| head` has seen enough; Ctrl+C ends the looking, not the batch
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _parser() -> ArgumentParser:
    top = ArgumentParser(prog="run_experiments.py", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for name, text in (
        ("list", "every batch of the base folder, the newest first"),
        ("status", "the jobs of a batch, as they really are"),
        ("attach", "follow a batch to its end; Ctrl+C leaves it running"),
        ("tail", "follow the output of a job"),
        ("stop", "stop a batch: the running job saves and leaves"),
        ("rerun", "run one job of a batch again, as a new attempt"),
    ):
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("--base_out_dir", "--base-out-dir", default="experiments", metavar="DIR")
        if name != "list":
            needed = name == "rerun"
            one.add_argument("batch", nargs=None if needed else "?", metavar="BATCH", help="default: the newest")
        if name in ("tail", "rerun"):
            one.add_argument("job", nargs=None if name == "rerun" else "?", metavar="JOB")
        if name in ("list", "status"):
            one.add_argument("--json", action="store_true")
        if name == "stop":
            how = one.add_mutually_exclusive_group()
            how.add_argument("--now", action="store_true", help="kill the running job and everything below it")
            how.add_argument("--drain", action="store_true", help="let the running job finish, start no other")
    return top


def state(root: Path) -> dict[str, Any]:
    """What is true of a batch now: who runs it, and each job's state; `running` is said only of a living process."""
    plan = recorded.plan(root)
    held = holder(layout.BatchPaths(root).lock)
    jobs = {job.name: _state_of(job) for job in plan.jobs}
    states = [job["status"] for job in jobs.values()]
    if held is not None:
        batch = "running"
    elif "running" in states:
        batch = "running without a runner"
    elif all(state == COMPLETED for state in states):
        batch = "done"
    elif was_left(layout.BatchPaths(root).lock):
        batch = "dead"  # its runner was killed
    else:
        batch = "stopped" if "pending" in states else "ended"
    about = {"name": plan.name, "experiment_dir": str(root), "created_at": plan.created_at}
    return {**about, "state": batch, "runner": held, "jobs": jobs}


def _state_of(job: Job) -> dict[str, Any]:
    result = results.read_result(job)
    if result is not None and result.get("fingerprint") == job.fingerprint:
        return {key: result.get(key) for key in ("status", "duration_seconds", "error", "attempt", "final_metrics")}
    return results.unfinished(job.out_dir)


def state_or_why_not(root: Path) -> dict[str, Any]:
    try:
        return state(root)
    except UserError as error:  # one broken batch must not hide the others
        about = {"name": root.name, "experiment_dir": str(root), "created_at": None}
        return {**about, "state": "unreadable", "runner": None, "jobs": {}, "error": str(error)}


def list_batches(base: Path, *, as_json: bool) -> int:
    found = [state_or_why_not(root) for root in select.batches(base)]
    if as_json:
        print(atomic.as_json(found))
        return 0
    for batch in found:
        print(f"{plain(batch['name']):<40} {batch['state']:<26} {counted(batch)}")
    if not found:
        print(f"{shown(base)}: there is no batch yet")
    return 0


def counted(batch: dict[str, Any]) -> str:
    states = [job["status"] for job in batch["jobs"].values()]
    return ", ".join(f"{states.count(word)} {word}" for word in dict.fromkeys(states))


def status(root: Path, *, as_json: bool) -> int:
    found = state(root)
    if as_json:
        print(atomic.as_json(found))
        return 0
    who = f", by pid {found['runner'].get('pid')} on {found['runner'].get('host')}" if found["runner"] else ""
    print(f"{plain(found['name'])}: {found['state']}{who}; {counted(found)}")
    for name, job in found["jobs"].items():
        words = [job["status"]]
        if job.get("duration_seconds") is not None:
            words.append(f"in {duration(job['duration_seconds'])}")
        if (job.get("attempt") or 1) > 1:
            words.append(f"(attempt {job['attempt']})")
        words.append(views.why(job["status"], job.get("error")))
        print(f"  {plain(name):<38} {' '.join(filter(None, words))}")
    return 0


def attach(root: Path) -> int:
    """Print the master log as it grows, until nobody runs the batch any more."""
    paths = layout.BatchPaths(root)
    for line in _followed(Path(paths.master_log), lambda: holder(paths.lock) is not None):
        print(line, flush=True)
    return 0


def tail(root: Path, named: str | None) -> int:
    """Print the output of a job as it grows, until it has ended. Without a name: the one that runs, or the last."""
    plan = recorded.plan(root)
    jobs = {job.name: job for job in plan.jobs}
    if named is not None and named not in jobs:
        raise UserError(no_such_job(named, list(jobs)))
    running = [job for job in plan.jobs if _state_of(job)["status"] == "running"]
    begun = [job for job in plan.jobs if (job.out_dir / layout.COMBINED).exists()]
    if named is None and not (running or begun):
        raise UserError(f"{shown(root)}: no job has begun yet")
    job = jobs[named] if named is not None else (running or begun)[-1]
    for line in _followed(job.out_dir / layout.COMBINED, lambda: _state_of(job)["status"] == "running"):
        print(line, flush=True)
    return 0


def _followed(path: Path, grows: Callable[[], bool]) -> Iterator[str]:
    """The lines of a file, and those that are appended for as long as it `grows`."""
    position, rest = 0, ""
    while True:
        last = not grows()
        try:
            with path.open(errors="replace") as file:
                file.seek(position)
                text = file.read()
                position = file.tell()
        except OSError:
            text = ""
        *lines, rest = (rest + text).split("\n")
        yield from lines
        if last:
            if rest:
                yield rest
            return
        time.sleep(FOLLOW)


def _stop_what_runs_on(plan: Plan, *, now: bool, drain: bool) -> int:
    """Stop the jobs whose runner is gone (--keep_running), through their supervisors."""
    found = {job.name: who for job in plan.jobs if (who := _supervisor(job)) is not None}
    if not found:
        print(f"{shown(plan.root)}: nobody runs it")
        return 0
    names = ", ".join(plain(name) for name in found)
    if drain:
        print(f"{shown(plan.root)}: no runner would start another job; {names} runs on until it ends")
        return 0
    print(f"{shown(plan.root)}: stopping {names}", flush=True)
    for who in found.values():
        if process_id.alive(who):
            os.kill(int(who[0]), Signals.AT_ONCE if now else signal.SIGTERM)
    while any(process_id.alive(who) for who in found.values()):
        time.sleep(FOLLOW)
    return status(plan.root, as_json=False)


def _supervisor(job: Job) -> list[str] | None:
    """The living supervisor of a job."""
    try:
        who = json.loads((job.out_dir / layout.SUPERVISOR).read_bytes())["supervisor"]
        return list(who) if process_id.alive(who) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def stop(root: Path, *, now: bool, drain: bool) -> int:
    """Ask the runner of a batch to stop, and wait until it has."""
    plan = recorded.plan(root)
    path = layout.BatchPaths(root).lock
    held = holder(path)
    if held is None:
        return _stop_what_runs_on(plan, now=now, drain=drain)
    who = held.get("identity")
    if process_id.alive(who):
        os.kill(int(held["pid"]), Signals.DRAIN if drain else Signals.AT_ONCE if now else signal.SIGTERM)
    doing = "no further job is started; waiting for the one that runs" if drain else "stopping"
    print(f"{shown(root)}: {doing}", flush=True)
    while process_id.alive(who):
        time.sleep(FOLLOW)
    return status(root, as_json=False)
