"""Text about a batch for people: what would run, how a job ended, and how all jobs ended. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from runner.core import program, redact
from runner.core.job import Job, Plan
from runner.core.state import COMPLETED, SUCCESSES, Finished, Record
from runner.core.text import count, duration, listed, plain, shown, size, width_of
from runner.disk.layout import BatchPaths
from runner.disk.results import running_elsewhere
from runner.planners import environment
from runner.processes import cpus
from runner.reports import best, comparison, failures, gpu_memory
from runner.reports.ending import BAD, GOOD, WARNED, best_jobs, ending
from runner.reports.search import in_order
from runner.reports.summary import counts, warned_number

CAUSE_WIDTH = 400
VALUE_WIDTH = 60
OVERHEAD = 5  # rows of the screen beside the table and what is below it: headings, blank lines, the shell's prompt


def headline(record: Record) -> str:
    """One line on a finished job: `easy_first: completed in 4 min 05 s, val/loss 2.301`."""
    name = plain(record.job.name)
    assert isinstance(record.state, Finished)
    text = f"{name}: {record.status} " + ("earlier" if record.cached else f"in {duration(record.state.seconds)}")
    if record.attempt > 1 and not record.cached:
        text += f" (attempt {record.attempt})"
    value = record.state.result.final_metrics.get("val/loss")
    if isinstance(value, int | float):
        text += f", val loss {best.number(value)}"
    cause = why(record.status, record.state.outcome.error)
    return (f"{text}: {cause}" if cause else text) + warned(record.warnings)


def warned(warnings: Sequence[str]) -> str:
    """The warnings of a job as text behind how it ended; empty if there are none."""
    word = "warning" if len(warnings) == 1 else "warnings"
    return f"; {word}: {plain(', '.join(warnings), CAUSE_WIDTH)}" if warnings else ""


def why(status: str, error: str | None) -> str:
    """The error of a job as text after its status, without the status itself: `(ended by SIGINT)`."""
    return plain((error or "").removeprefix(status).lstrip(), CAUSE_WIDTH)


def dry_run(plan: Plan, completed: Collection[str] = ()) -> str:
    """What would be run. `completed` are the names of jobs that completed earlier."""
    workers = plan.options.max_workers
    how = f"{workers} at a time" if workers > 1 else "one after another"
    less = f" {len(completed)} of them completed earlier and would not run again." if completed else ""
    head = f"{count(len(plan.jobs), 'job')} would run, {how}, in {shown(plan.root)}.{less} Nothing was written."
    return "\n".join([head, *footprint(plan), "", *LISTINGS[plan.kind.listing](plan.jobs, completed)])


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


#: How the jobs of a batch are shown before it runs.
LISTINGS: Mapping[str, Callable[[Sequence[Job], Collection[str]], list[str]]] = {
    "jobs": _planned_jobs,
    "comparison": _planned_runs,
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


def report(
    plan: Plan,
    records: Sequence[Record],
    seconds: float,
    stopped: str | None,
    *,
    width: int | None = None,
    height: int | None = None,
) -> str:
    """The report at the end: a table of the jobs, then in full what went wrong, and how to continue.

    `width` and `height` are those of a terminal: the table is fitted so that all below it is on one screen, too.
    """
    below = [
        *_unfinished(records, stopped),
        *_warned(records),
        *_failed(plan, records),
        *failures.by_cause(plan, records),
    ]
    records = in_order(plan, records)
    settings = comparison.varied([record.job for record in records])
    below += best_jobs(records, settings)
    below += gpu_memory.gain_lines(records)
    below += [total(records, seconds), f"Summary: {shown(BatchPaths(plan.root).summary)}"]
    if any(record.status not in SUCCESSES for record in records):
        below.append(f"Resume:  {program.resume_command(plan.root)}")
    if len(records) < 2:
        good = [record for record in records if record.status == COMPLETED and not record.warnings]
        return "\n".join([*(f"{GOOD} {headline(record)}" for record in good), *below])
    rows = None if height is None else height - OVERHEAD - sum(_rows(line, width) for line in below)
    return "\n".join([*ending(plan, records, width, rows, settings), "", *below])


def _rows(line: str, width: int | None) -> int:
    """The rows of a terminal that a line takes."""
    return 1 if not width else max(-(-width_of(line) // width), 1)


def _unfinished(records: Sequence[Record], stopped: str | None) -> list[str]:
    """The jobs that run on another machine, and those that were not started."""
    elsewhere = {record.job.name: line for record in records if (line := running_elsewhere(record))}
    unfinished = [record for record in records if not isinstance(record.state, Finished)]
    pending = [plain(record.job.name) for record in unfinished if record.job.name not in elsewhere]
    lines = [f"- {plain(line)}" for line in elsewhere.values()]
    if pending:
        lines.append(f"- not started: {listed(pending, 10)}" + (f" ({stopped})" if stopped else ""))
    return lines


def _warned(records: Sequence[Record]) -> list[str]:
    return [f"{WARNED} {headline(record)}" for record in records if record.status == COMPLETED and record.warnings]


def _failed(plan: Plan, records: Sequence[Record]) -> list[str]:
    """Each job that did not complete: its cause, the command that ran, its logs, and how to run it again."""
    lines = []
    for record in records:
        if not isinstance(record.state, Finished) or record.status in SUCCESSES:
            continue
        job = record.job
        ran = record.state.result.command or tuple(redact.argv(job.argv, job.not_secret))
        lines += [
            f"{BAD} {headline(record)}",
            f"    ran    {program.pasted(ran, job.cwd)}",
            f"    logs   {shown(job.out_dir)}",
        ]
        if job.rerun:
            lines.append(f"    again  {_again(plan, job)}")
    return lines


def _again(plan: Plan, job: Job) -> str:
    """The command line that runs a job again. The one that was planned is right in the folder where it was planned."""
    if plan.cwd == Path.cwd() and job.planned_as is None:
        return program.pasted(redact.fill_in(job.rerun, job.not_secret))
    return program.offered("rerun", plan.root, job.name)


def total(records: Sequence[Record], seconds: float) -> str:
    warnings = warned_number(records)
    more = {COMPLETED: f" ({warnings} with warnings)"} if warnings else {}
    numbers = [
        count(number, "error") if word == "errors" else f"{number} {word}{more.get(word, '')}"
        for word, number in counts(records).items()
        if number
    ]
    return f"{count(len(records), 'job')} in {duration(seconds)}: {', '.join(numbers)}."
