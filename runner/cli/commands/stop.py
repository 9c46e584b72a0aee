"""`stop`: stop a batch, or some of its jobs, and wait until they have stopped."""

from __future__ import annotations

import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from runner.cli import clusters, inspect
from runner.cli.ask import ask, print_answer
from runner.cli.batch_folders import batches
from runner.cli.batch_words import add_words, batch_and_jobs
from runner.cli.commands import status
from runner.cli.parser import add_base, base_folder
from runner.core import program
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.printing import say
from runner.core.requests import StopJobs
from runner.core.state import RUNNING
from runner.core.text import listed, plain, shown
from runner.disk import results, strays, supervisor_file
from runner.disk.layout import BatchPaths
from runner.disk.lock import holder, other_host, runner
from runner.executors.supervised import patience_after
from runner.planners import recorded
from runner.processes import ending, stuck
from runner.processes.signals import Signals

HELP = "stop a batch, or one job of it: the running job saves and leaves"
POLL = 0.2  # seconds between two looks at a job
SLACK = 10.0  # seconds that a runner may take to write its records when its jobs have ended


class NotEnded(UserError):
    """What was asked to end is still there."""

    exit_code = 1


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    words = "default: the latest batch; with jobs only these, and the batch continues"
    add_words(parser, "*", "[JOB...]", words)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--now", action="store_true", help="kill the running job and everything below it")
    how.add_argument("--drain", action="store_true", help="let the running job finish, start no other")


def main(given: Namespace) -> int:
    base = base_folder(given)
    words = given.words or _running(base)
    plan, names = batch_and_jobs(base, words)
    if names and given.drain:
        raise UserError("--drain is for a whole batch; name no job, or leave it out")
    if clusters.stop(plan, names or None, now=given.now, drain=given.drain):
        return status.show(plan.root)
    if names:
        return stop_jobs(plan, names, now=given.now)
    return stop(plan.root, now=given.now, drain=given.drain)


def _running(base: Path) -> list[str]:
    """The batch that runs, if no one is named; on a terminal the user chooses one of several. None runs: the latest."""
    running = [root for root in batches(base) if runner(BatchPaths(root).lock) is not None]
    if len(running) == 1:
        return [str(running[0])]
    if len(running) < 2 or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return []
    for number, root in enumerate(running, 1):
        say(f"{number}  {plain(root.name)}: {inspect.batch_or_error(root).counts()}")
    answer = input(f"{len(running)} batches run; stop which one (1 to {len(running)})? ").strip()
    if not answer.isdecimal() or not 1 <= int(answer) <= len(running):
        raise UserError(f"nothing was stopped: {answer!r} is not one of the numbers; name a batch")
    return [str(running[int(answer) - 1])]


def stop_jobs(plan: Plan, names: Sequence[str], *, now: bool) -> int:
    """Stop these jobs, wait until they have ended, and print how. The batch continues."""
    jobs = [job for job in plan.jobs if job.name in names]
    answer = ask(plan, StopJobs(tuple(names), kill=now))
    if answer is None:
        return _stop_jobs(replace(plan, jobs=tuple(jobs)), now=now, drain=False)
    code = print_answer(answer, program.name())
    while not answer.refused and any(_runs(job) for job in jobs):
        time.sleep(POLL)
    for job in jobs if not answer.refused else ():
        say(inspect.job(job).line(job.name).strip())
    return code


def _runs(job: Job) -> bool:
    return inspect.job(job).status == RUNNING


def stop(root: Path, *, now: bool, drain: bool) -> int:
    """Send a stop request to the runner of a batch, wait until it has ended, and print the state of the batch."""
    plan = recorded.plan(root, contents=False)
    root = plan.root
    held = holder(BatchPaths(root).lock)
    if held is None:
        return _stop_jobs(plan, now=now, drain=drain)
    if (host := other_host(held)) is not None:
        raise UserError(f"{shown(root)}: runs on {host}; stop it there")
    if (stranger := held.get("stranger")) is not None:
        raise UserError(f"{shown(root)}: is locked by {stranger}, which is not a runner; end it yourself")
    if who := held.get("identity"):
        ending.request(who, Signals.DRAIN if drain else Signals.AT_ONCE if now else signal.SIGTERM)
    doing = "no further job is started; waiting for the one that runs" if drain else "stopping"
    say(f"{shown(root)}: {doing}", flush=True)
    _wait(plan, [who] if who else [], now=now, drain=drain)
    return status.show(root)


def _wait(plan: Plan, processes: Sequence[Sequence[str]], *, now: bool, drain: bool) -> None:
    """Wait until the processes have ended; raises NotEnded when they should have, and have not."""
    patience = None if drain else patience_after(plan.options, "kill" if now else "stop") + SLACK
    if left := ending.wait(processes, patience):
        pids = " ".join(map(str, left))
        cause = f"{shown(plan.root)}: process {pids} has not ended within {patience:g} s"
        harder = "" if now else "stop --now kills the jobs at once; "
        raise NotEnded(f"{cause}; {harder}kill -KILL {pids} ends it, and what it runs is stopped then")


def _end_strays(plan: Plan, *, now: bool) -> bool:
    """End what jobs left whose runner and supervisor were killed; False if there was nothing. Raises NotEnded."""
    left = [(job, pids) for job in plan.jobs if (pids := strays.of(job))]
    for job, pids in left:
        numbers = listed([str(pid) for pid in pids], 5)
        say(f"{shown(plan.root)}: ending what {job.name} left (pid {numbers})", flush=True)
        if stayed := strays.end(job, 0.0 if now else plan.options.grace[1]):
            raise NotEnded(f"{shown(plan.root)}: {plain(job.name)}: {stuck.unkillable(stayed)}")
    return bool(left)


def _stop_jobs(plan: Plan, *, now: bool, drain: bool) -> int:
    """Stop the jobs whose runner is gone (--keep-running), through their supervisors."""
    elsewhere = {job.name: who.where for job in plan.jobs if (who := results.runs_on_other_host(job)) is not None}
    for name, host in elsewhere.items():
        say(f"{shown(plan.root)}: {plain(name)} runs on {host}; stop it there")
    records = {job.name: supervisor_file.read(job.out_dir) for job in plan.jobs}
    found = {job.name: who for job in plan.jobs if (who := records[job.name]) is not None and who.runs(job.out_dir)}
    ended = _end_strays(plan, now=now)
    if not found:
        if ended:
            return status.show(plan.root)
        if not elsewhere:
            say(f"{shown(plan.root)}: is not running")
        return 0
    names = ", ".join(plain(name) for name in found)
    if drain:
        say(f"{shown(plan.root)}: no runner would start another job; {names} runs on until it ends")
        return 0
    say(f"{shown(plan.root)}: stopping {names}", flush=True)
    supervisors = [who.supervisor for who in found.values()]
    for supervisor in supervisors:
        ending.request(supervisor, Signals.AT_ONCE if now else signal.SIGTERM)
    _wait(plan, supervisors, now=now, drain=drain)
    return status.show(plan.root)
