"""Jobs of a batch with other settings than they were planned with: rerun --set, and resume --extend. Writes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from runner.cli import added, inspect, planning
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.state import COMPLETED, RUNNING, Record
from runner.disk.checkpoints import latest_checkpoint
from runner.planners import settings
from runner.planners.select import Selection
from runner.planners.settings import Settings


@dataclass(frozen=True, slots=True)
class Changed:
    """A plan some of whose jobs have other settings, which of them are run now, and notes for the user."""

    plan: Plan
    selection: Selection
    notes: Sequence[str] = ()


def read(option: str, words: Sequence[str]) -> dict[str, str]:
    """`key=value` words of an option. Raises UserError."""
    wrong = [word for word in words if not word.partition("=")[0].strip("-") or "=" not in word]
    if wrong:
        raise UserError(*(f"--{option} {word}: is not a setting; write --{option} KEY=VALUE" for word in wrong))
    return {word.partition("=")[0].removeprefix("--"): word.partition("=")[2] for word in words}


def with_settings(plan: Plan, selection: Selection, values: Mapping[str, str]) -> Changed:
    """The selected jobs with these settings, from scratch. Raises UserError with every error, also if one runs."""
    with contextlib.chdir(added.folder(plan)):
        given = Settings("set", values, planning.command_of(added.arguments_of(plan), plan))
        now = _each(selection.run, lambda job: settings.changed(plan, job, given))
    changed = _replaced(plan, now)
    selection = selection.of(changed)
    return Changed(changed, replace(selection, archive=(), from_scratch=selection.run))


def extended(plan: Plan, selection: Selection, records: Mapping[str, Record], values: Mapping[str, str]) -> Changed:
    """All jobs for which one of the settings grows, with it; those that completed continue from their checkpoints.

    Raises UserError with every error, and if nothing grows.
    """
    with contextlib.chdir(added.folder(plan)):
        given = Settings("extend", values, planning.command_of(added.arguments_of(plan), plan))
        now = _each(plan.jobs, lambda job: settings.extended(plan, job, given))
        before = {job.name: job for job in plan.jobs}
        notes = [note for name, job in now.items() for note in settings.left_behind(before[name], job, given)]
    if not now:
        what = ", ".join(f"{key}={text}" for key, text in values.items())
        raise UserError(f"--extend {what}: every job has that or more already; give a larger value")
    completed = [job for job in now.values() if records[job.name].status == COMPLETED]
    patterns = plan.options.checkpoints
    wrong = [settings.without_checkpoint(job, latest_checkpoint(str(job.out_dir), patterns)) for job in completed]
    if errors := [error for error in wrong if error]:
        raise UserError(*errors)
    changed = _replaced(plan, now)
    run = {job.name for job in selection.run} | set(now)
    selection = replace(
        selection.of(changed),
        run=tuple(job for job in changed.jobs if job.name in run),
        keep={name: record for name, record in selection.keep.items() if name not in run},
        extended=tuple(completed),
    )
    return Changed(changed, selection, tuple(dict.fromkeys(notes)))


def _each(jobs: Sequence[Job], change: Callable[[Job], Job | None]) -> dict[str, Job]:
    """Name -> the job as it is now, of those that change. Raises one UserError with all errors."""
    now: dict[str, Job] = {}
    errors: list[str] = []
    for job in jobs:
        try:
            if (other := change(job)) is not None:
                now[job.name] = other
        except UserError as error:
            errors += error.problems
    errors += [f"{name}: is running; stop it first" for name in now if inspect.job(now[name]).status == RUNNING]
    if errors:
        raise UserError(*dict.fromkeys(errors))
    return now


def _replaced(plan: Plan, now: Mapping[str, Job]) -> Plan:
    return replace(plan, jobs=tuple(now.get(job.name, job) for job in plan.jobs))
