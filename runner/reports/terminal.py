"""Text about a batch for people: what would run, how a job ended, and how all jobs ended. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.core import program, redact
from runner.core.job import Job, Plan
from runner.core.state import COMPLETED, Finished, Record
from runner.core.text import count, duration, listed, plain, shown, size
from runner.disk.layout import BatchPaths
from runner.disk.results import running_elsewhere
from runner.planners import environment
from runner.processes import cpus
from runner.reports import comparison
from runner.reports.summary import counts, warned_number

CAUSE_WIDTH = 400
VALUE_WIDTH = 60


def headline(record: Record) -> str:
    """One line on a finished job: `easy_first: completed in 4 min 05 s, val/loss 2.301`."""
    name = plain(record.job.name)
    assert isinstance(record.state, Finished)
    if record.cached:
        return f"{name}: {record.status} earlier{warned(record.warnings)}"
    text = f"{name}: {record.status} in {duration(record.state.seconds)}"
    if record.attempt > 1:
        text += f" (attempt {record.attempt})"
    value = record.state.result.final_metrics.get("val/loss")
    if isinstance(value, int | float):
        text += f", val loss {value:.4f}"
    cause = why(record.status, record.state.outcome.error)
    return (f"{text}: {cause}" if cause else text) + warned(record.warnings)


def warned(warnings: Sequence[str]) -> str:
    """The warnings of a job as text behind how it ended; empty if there are none."""
    word = "warning" if len(warnings) == 1 else "warnings"
    return f"; {word}: {plain(', '.join(warnings), CAUSE_WIDTH)}" if warnings else ""


def why(status: str, error: str | None) -> str:
    """The error of a job as text after its status, without the status itself: `(ended by SIGINT)`."""
    return plain((error or "").removeprefix(status).lstrip(), CAUSE_WIDTH)


@dataclass(frozen=True, slots=True)
class Listing:
    """How the jobs of a batch are shown: before it runs, and those that completed when it has ended."""

    planned: Callable[[Sequence[Job], Collection[str]], list[str]]
    ended: Callable[[Sequence[Record]], list[str]]


def dry_run(plan: Plan, completed: Collection[str] = ()) -> str:
    """What would be run. `completed` are the names of jobs that completed earlier."""
    workers = plan.options.max_workers
    how = f"{workers} at a time" if workers > 1 else "one after another"
    less = f" {len(completed)} of them completed earlier and would not run again." if completed else ""
    head = f"{count(len(plan.jobs), 'job')} would run, {how}, in {shown(plan.root)}.{less} Nothing was written."
    return "\n".join([head, *footprint(plan), "", *LISTINGS[plan.kind.listing].planned(plan.jobs, completed)])


def _planned_jobs(jobs: Sequence[Job], completed: Collection[str]) -> list[str]:
    """For each job the command, the folder, and what the overrides change."""
    lines = []
    for number, job in enumerate(jobs, 1):
        lines += [
            f"{number}. {plain(job.name)}",
            f"   {program.pasted(redact.argv(job.argv, job.not_secret), job.cwd)}",
            f"   folder   {plain(shown(job.out_dir))}" + (", completed" if job.name in completed else ""),
        ]
        before = redact.mapping({key: old for key, (old, _) in job.changes.items()}, job.not_secret)
        after = redact.mapping({key: new for key, (_, new) in job.changes.items()}, job.not_secret)
        for key in after:
            old, new = (comparison.shown(values[key], VALUE_WIDTH) for values in (before, after))
            lines.append(f"   changes  {key} {old} -> {new}")
        lines.append("")
    return lines


def _planned_runs(jobs: Sequence[Job], completed: Collection[str]) -> list[str]:
    """A table of what differs between the runs, and the first command."""
    if not jobs:
        return []
    first = program.pasted(redact.argv(jobs[0].argv, jobs[0].not_secret), jobs[0].cwd)
    return [*comparison.planned(jobs), "", "the first:", f"   {first}"]


def _completed_jobs(records: Sequence[Record]) -> list[str]:
    """A line for each job that completed, those with a warning last."""
    done = sorted((record for record in records if record.status == COMPLETED), key=lambda one: bool(one.warnings))
    return [f"{'!' if record.warnings else '✓'} {headline(record)}" for record in done]


LISTINGS: Mapping[str, Listing] = {
    "jobs": Listing(_planned_jobs, _completed_jobs),
    "comparison": Listing(_planned_runs, lambda records: [*comparison.outcomes(records), ""]),
}


def footprint(plan: Plan) -> list[str]:
    """What the batch will write beside its logs, if that is known, and its threads, if it divides them: a line each."""
    needed = sum(job.disk_bytes for job in plan.jobs)
    lines = [f"Disk: up to {size(needed)} of checkpoints"] if needed else []
    environ = {**os.environ, **(plan.jobs[0].env if plan.jobs else {})}
    workers = plan.options.max_workers
    divided = environment.threads(environ, workers, cpus.usable()) if plan.options.executor == "local" else {}
    if divided:
        each = count(int(divided[environment.OPENMP]), "CPU thread")
        lines.append(f"{workers} jobs at a time, {each} each ({environment.OPENMP})")
    return lines


def report(plan: Plan, records: Sequence[Record], seconds: float, stopped: str | None) -> str:
    """The report at the end: failed jobs first, each with its cause, its logs and how to run it again."""
    bad = [record for record in records if isinstance(record.state, Finished) and record.status != COMPLETED]
    elsewhere = {record.job.name: line for record in records if (line := running_elsewhere(record))}
    unfinished = [record for record in records if not isinstance(record.state, Finished)]
    pending = [record for record in unfinished if record.job.name not in elsewhere]
    lines = []
    for record in bad:
        lines += [f"✗ {headline(record)}", f"    logs   {shown(record.job.out_dir)}"]
        if record.job.rerun:
            lines.append(f"    again  {_again(plan, record.job)}")
    lines += LISTINGS[plan.kind.listing].ended(records)
    lines += [f"- {plain(line)}" for line in elsewhere.values()]
    if pending:
        names = listed([plain(record.job.name) for record in pending], 10)
        lines.append(f"- not started: {names}" + (f" ({stopped})" if stopped else ""))
    lines += [_total(records, seconds), f"Summary: {shown(BatchPaths(plan.root).summary)}"]
    if bad or unfinished:
        lines.append(f"Resume:  {program.resume_command(plan.root)}")
    return "\n".join(lines)


def _again(plan: Plan, job: Job) -> str:
    """The command line that runs a job again. The one that was planned is right in the folder where it was planned."""
    if plan.cwd == Path.cwd() and job.planned_as is None:
        return program.pasted(redact.fill_in(job.rerun, job.not_secret))
    return program.offered("rerun", plan.root, job.name)


def _total(records: Sequence[Record], seconds: float) -> str:
    warnings = warned_number(records)
    more = {COMPLETED: f" ({warnings} with warnings)"} if warnings else {}
    numbers = [
        count(number, "error") if word == "errors" else f"{number} {word}{more.get(word, '')}"
        for word, number in counts(records).items()
        if number
    ]
    return f"{count(len(records), 'job')} in {duration(seconds)}: {', '.join(numbers)}."
