"""Records -> text: the files that sum up a batch, and what is said at its end. Pure, so rebuildable at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from runner.core import redact
from runner.core.job import Job, Plan
from runner.core.state import (
    COMPLETED,
    ERROR,
    FAILED,
    INTERRUPTED,
    KILLED,
    STALLED,
    TIMEOUT,
    Finished,
    Record,
    Running,
)
from runner.core.text import command, count, duration, plain, shown, size
from runner.disk.layout import BatchPaths
from runner.disk.results import SCHEMA
from runner.reports import comparison

CAUSE_WIDTH = 400
VALUE_WIDTH = 60


def counts(records: Iterable[Record]) -> dict[str, int]:
    """How many jobs ended how. `failed` ran and did not succeed; `errors` never really ran."""
    by_status = Counter(record.status for record in records)
    return {
        "completed": by_status[COMPLETED],
        "failed": sum(by_status[status] for status in (FAILED, KILLED, TIMEOUT, STALLED)),
        "errors": by_status[ERROR],
        "interrupted": by_status[INTERRUPTED],
        "pending": by_status["pending"] + by_status["running"],
    }


def summary(plan: Plan, records: Sequence[Record], timestamp: str) -> dict[str, Any]:
    """experiment_summary.json."""
    return {
        "schema": SCHEMA,
        "timestamp": timestamp,
        "base_out_dir": str(plan.root.parent),
        "experiment_dir": str(plan.root),
        "global_overrides": dict(plan.overrides),
        "total_experiments": len(records),
        **counts(records),
        "results": {record.job.name: _entry(record) for record in records},
    }


def _entry(record: Record) -> dict[str, Any]:
    if isinstance(record.state, Finished):
        return dict(record.state.result)
    return {
        "config_name": record.job.name,
        "config_path": str(record.job.source) if record.job.source else None,
        "experiment_dir": str(record.job.out_dir),
        "status": record.status,
    }


def experiment(plan: Plan, records: Sequence[Record], timestamp: str) -> dict[str, Any]:
    """experiment.json: a sweep and its runs."""
    return {
        "schema": SCHEMA,
        "name": plan.origin.get("experiment"),
        "mode": plan.origin.get("mode"),
        "spec": plan.origin.get("spec"),
        "experiment_dir": str(plan.root),
        "working_dir": str(plan.jobs[0].cwd),
        "created_at": plan.created_at,
        "timestamp": timestamp,
        "runs": [_run(record) for record in records],
    }


def _run(record: Record) -> dict[str, Any]:
    """One run; `status` has the four words of a sweep, `outcome` says precisely how it ended."""
    entry: dict[str, Any] = {
        "name": record.job.name,
        "status": record.status,
        "started_at": None,
        "completed_at": None,
        "return_code": None,
        "config_path": str(record.job.source),
        "run_dir": None,
        "outcome": None,
        "error": None,
        "attempt": record.attempt,
    }
    if isinstance(record.state, Running):
        entry["started_at"] = record.state.started_at
    elif isinstance(record.state, Finished):
        outcome, completed = record.state.outcome, record.status == COMPLETED
        entry |= {  # an interrupted run is still to be run
            "status": COMPLETED if completed else "pending" if record.status == INTERRUPTED else FAILED,
            "started_at": record.state.started_at,
            "completed_at": record.state.ended_at,
            "return_code": outcome.exit_code,
            "run_dir": record.state.result.get("run_dir") if completed else None,
            "outcome": outcome.status,
            "error": outcome.error,
        }
    return entry


def plan_record(plan: Plan) -> dict[str, Any]:
    """plan.json: what was asked for."""
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "door": plan.kind.name,
        "created_at": plan.created_at,
        "experiment_dir": str(plan.root),
        "global_overrides": dict(plan.overrides),
        "options": plan.options.to_json(),
        "origin": dict(plan.origin),
        "jobs": [_planned(job) for job in plan.jobs],
    }


def _planned(job: Job) -> dict[str, Any]:
    return {
        "name": job.name,
        "command": redact.argv(job.argv),
        "experiment_dir": str(job.out_dir),
        "config_path": str(job.source) if job.source else None,
        "config": redact.mapping(job.config),
        "overrides": redact.mapping(job.overrides),
        "changes": redact.mapping({key: new for key, (_, new) in job.changes.items()}),
        "environment": redact.mapping(job.env),
        "working_dir": str(job.cwd),
        "fingerprint": job.fingerprint,
        "script": str(job.script) if job.script else None,
        "config_argument": job.source_argument,
        "config_copy": job.snapshot,
        "resume_args": list(job.resume_args),
        "rerun": redact.argv(job.rerun),
    }


def headline(record: Record) -> str:
    """One line on a finished job: `easy_first: completed in 4 min 05 s, val/loss 2.301`."""
    name = plain(record.job.name)
    assert isinstance(record.state, Finished)
    if record.cached:
        return f"{name}: {record.status} earlier"
    text = f"{name}: {record.status} in {duration(record.state.seconds)}"
    if record.attempt > 1:
        text += f" (attempt {record.attempt})"
    value = record.state.result.get("final_metrics", {}).get("val/loss")
    if isinstance(value, int | float):
        text += f", val loss {value:.4f}"
    cause = why(record.status, record.state.outcome.error)
    return f"{text}: {cause}" if cause else text


def why(status: str, error: str | None) -> str:
    """The error of a job as it stands behind its status, which it does not say again: `(ended by SIGINT)`."""
    return plain((error or "").removeprefix(status).lstrip(), CAUSE_WIDTH)


def dry_run(plan: Plan, standing: Collection[str] = ()) -> str:
    """What would be run: for each job the command, the folder, and what the overrides change; of a sweep a table.

    `standing` are the names of jobs that completed earlier.
    """
    workers = plan.options.max_workers
    how = f"{workers} at a time" if workers > 1 else "one after another"
    less = f" {len(standing)} of them completed earlier and would not run again." if standing else ""
    lines = [
        f"{count(len(plan.jobs), 'job')} would run, {how}, in {shown(plan.root)}.{less} Nothing was written.",
        *footprint(plan),
        "",
    ]
    if plan.kind.listing == "comparison" and plan.jobs:
        first = plan.jobs[0]
        typed = f"   {_where(first)}{command(redact.argv(first.argv))}"
        return "\n".join([*lines, *comparison.planned(plan.jobs), "", "the first:", typed])
    for number, job in enumerate(plan.jobs, 1):
        lines += [
            f"{number}. {plain(job.name)}",
            f"   {_where(job)}{command(redact.argv(job.argv))}",
            f"   folder   {plain(shown(job.out_dir))}" + (", stands" if job.name in standing else ""),
        ]
        before = redact.mapping({key: old for key, (old, _) in job.changes.items()})
        after = redact.mapping({key: new for key, (_, new) in job.changes.items()})
        old, new = ({key: comparison.shown(it, VALUE_WIDTH) for key, it in said.items()} for said in (before, after))
        lines += [f"   changes  {key} {old[key]} -> {new[key]}" for key in after]
        lines.append("")
    return "\n".join(lines)


def footprint(plan: Plan) -> list[str]:
    """What the batch will write beside its logs, as a line; none where its jobs do not say."""
    needed = sum(job.disk_bytes for job in plan.jobs)
    return [f"Disk: up to {size(needed)} of checkpoints"] if needed else []


def _where(job: Job) -> str:
    """`cd folder && ` for a job that is not run where we are."""
    return "" if job.cwd == Path.cwd() else f"cd {command([str(job.cwd)])} && "


def report(plan: Plan, records: Sequence[Record], seconds: float, stopped: str | None) -> str:
    """What a person reads at the end: failed jobs first, each with its cause, its logs and how to run it again."""
    finished = [record for record in records if isinstance(record.state, Finished)]
    bad = [record for record in finished if record.status != COMPLETED]
    good = [record for record in finished if record.status == COMPLETED]
    pending = [record for record in records if not isinstance(record.state, Finished)]
    lines = []
    for record in bad:
        lines += [f"✗ {headline(record)}", f"    logs   {shown(record.job.out_dir)}"]
        if record.job.rerun:
            lines.append(f"    again  {command(redact.argv(record.job.rerun))}")
    if plan.kind.listing == "comparison":
        lines += [*comparison.outcomes(records), ""]
    else:
        lines += [f"✓ {headline(record)}" for record in good]
    if pending:
        names = ", ".join(plain(record.job.name) for record in pending[:10])
        more = f" and {len(pending) - 10} more" if len(pending) > 10 else ""
        lines.append(f"- not begun: {names}{more}" + (f" ({stopped})" if stopped else ""))
    lines += [_total(records, seconds), f"Summary: {shown(BatchPaths(plan.root).summary)}"]
    if bad or pending:
        lines.append(f"Go on:   python run_experiments.py --resume {shown(plan.root)}")
    return "\n".join(lines)


def _total(records: Sequence[Record], seconds: float) -> str:
    said = [
        count(number, "error") if word == "errors" else f"{number} {word}"
        for word, number in counts(records).items()
        if number
    ]
    return f"{count(len(records), 'job')} in {duration(seconds)}: {', '.join(said)}."
