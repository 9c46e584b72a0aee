"""Batches whose jobs another scheduler runs: what is checked and shown before they are submitted, and --detach."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from runner.core import program
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.printing import say, say_all
from runner.core.state import Record
from runner.core.text import count, shown
from runner.engine.protocols import Wait
from runner.executors.registry import EXECUTORS
from runner.executors.supervised import patience_after
from runner.planners.select import Selection

SLOW = 90.0  # seconds that a scheduler may take to carry out a request


class NotEnded(UserError):
    """What was asked to end is still there."""

    exit_code = 1


def is_local(plan: Plan) -> bool:
    """Whether the jobs run on this machine, as far as is known."""
    return plan.options.executor == "local" or not hasattr(EXECUTORS.get(plan.options.executor), "problems")


def problems(plan: Plan, jobs: Sequence[Job]) -> list[str]:
    """What is wrong with the plan for its executor."""
    check = getattr(EXECUTORS.get(plan.options.executor), "problems", None)
    return list(check(plan, jobs)) if check is not None else []


def advice(plan: Plan, records: Sequence[Record]) -> str | None:
    """What the executor advises at the end of a batch; None if nothing."""
    advise: Any = getattr(EXECUTORS.get(plan.options.executor), "advice", None)
    found: str | None = None if advise is None else advise(plan, records)
    return found


def show(plan: Plan) -> None:
    """Print what would be submitted."""
    preview = getattr(EXECUTORS.get(plan.options.executor), "preview", None)
    if preview is not None and plan.jobs:
        say_all(preview(plan))


def stop(plan: Plan, names: Collection[str] | None, *, now: bool, drain: bool) -> bool:
    """Stop a batch, or these jobs of it, where its scheduler is to be asked; False for a batch of this machine.

    Raises UserError.
    """
    executor: Any = EXECUTORS.get(plan.options.executor)
    if is_local(plan):
        return False
    how = "drain" if drain else "kill" if now else "stop"
    found = executor.stop(plan, names, how)
    if found is None:
        cause = f"{plan.options.executor} does not answer, so nothing was stopped"
        raise UserError(f"{shown(plan.root)}: {cause}; try again")
    if not found:
        say(f"{shown(plan.root)}: is not running" if names is None else "nothing to stop: " + ", ".join(names))
        return True
    doing = {"drain": "no further job is started", "kill": "cancelling", "stop": "stopping"}[how]
    say(f"{shown(plan.root)}: {doing} ({count(len(found), 'job')} of {plan.options.executor})", flush=True)
    if drain:  # what waited is cancelled already, and what runs may take days
        return True
    patience = patience_after(plan.options, "kill" if now else "stop") + SLOW
    if left := executor.gone(plan, found, patience):
        raise NotEnded(f"{shown(plan.root)}: {', '.join(left[:5])} has not ended within {patience:g} s; ask squeue")
    return True


def notes(plan: Plan) -> dict[str, str]:
    """What the scheduler of a batch says of its jobs, by name."""
    read = getattr(EXECUTORS.get(plan.options.executor), "notes", None) if plan.options.executor != "local" else None
    return {} if read is None else read(plan)


def submit_and_leave(plan: Plan, selection: Selection, executor: Any) -> int:
    """Submit all jobs that are not in the queue, and print where they are; the executor's jobs need no runner that
    watches. Returns the exit code."""
    records: list[Any] = []
    found = 0
    for number, job in enumerate(selection.run):
        if executor.adopt(job) is not None:
            found += 1
            continue
        lease = executor.offer(job)
        if isinstance(lease, Wait):
            say(f"{count(len(selection.run) - number, 'job')} stay pending: {lease.reason}; resume submits them later")
            break
        records.append(executor.submit(job, lease))
    made = executor.leave()
    failed = [one for one in records if one.done()]
    ids = ", ".join(one.slurm_id for one in made)
    if found:
        say(f"{count(found, 'job')} {'is' if found == 1 else 'are'} in Slurm's queue already")
    if made:
        jobs = count(len(records) - len(failed), "job")
        say(f"{plan.name}: submitted {jobs} to Slurm as {ids}, in {shown(plan.root)}")
    for one in failed[:1]:
        say(f"{one.job.name}: {one.record().state.outcome.error}")
    say(f"watch it:  {program.offered('status', plan.root)}")
    say(f"stop it:   {program.offered('stop', plan.root)}")
    return 1 if failed else 0
