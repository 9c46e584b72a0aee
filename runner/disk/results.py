"""Records on disk: place a job's inputs, write its metadata, read its result back. Decides nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core import clock, redact
from runner.core.job import Attempt, Job
from runner.core.state import COMPLETED, Finished, Outcome, Record
from runner.disk import atomic, layout
from runner.processes import process_id

SCHEMA = 1


class Taken(Exception):
    """Another batch has this folder."""


def open_batch(root: Path) -> None:
    """Make the batch folder, and let `latest` beside it point to it. Raises Taken if it stands already, or OSError."""
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        root.mkdir()
    except FileExistsError as error:
        raise Taken from error
    pointer = root.parent / f".{layout.LATEST}.{os.getpid()}"
    try:
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(root.name, target_is_directory=True)
        pointer.replace(root.parent / layout.LATEST)
    except OSError:  # a file system without links, or a folder of that name: the batch does not depend on it
        pointer.unlink(missing_ok=True)


def open_root(root: Path) -> None:
    """Make an output root that may be there already, and sweep away what a crash left half-written. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    for path in root.glob("_*/.*.tmp"):  # beside the views
        path.unlink(missing_ok=True)


def write_view(path: Path, content: Mapping[str, Any] | bytes) -> None:
    """Replace a file that sums up a batch. Raises OSError."""
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        atomic.write_bytes(path, content)
    else:
        atomic.write_json(path, content)


def metadata(attempt: Attempt, facts: Mapping[str, Any]) -> dict[str, Any]:
    """experiment_metadata.json: the job as it was planned, and the facts of this machine."""
    job = attempt.job
    return {
        "schema": SCHEMA,
        "config_name": job.name,
        "config_path": str(job.source) if job.source else None,
        "experiment_dir": str(job.out_dir),
        "command": redact.argv(attempt.argv),
        "attempt": attempt.number,
        "working_dir": str(job.cwd),
        "overrides": redact.mapping(job.overrides),
        "config": redact.mapping(job.config),
        "fingerprint": job.fingerprint,
        "environment": redact.mapping(attempt.env),
        "start_time": clock.now(),
        **facts,
    }


def entries(attempt: Attempt) -> dict[str, Any]:
    """The entries of experiment_result.json that are known before the job starts."""
    job = attempt.job
    return {
        "schema": SCHEMA,
        "config_name": job.name,
        "config_path": str(job.source) if job.source else None,
        "experiment_dir": str(job.out_dir),
        "log_files": {name.removesuffix(".log"): str(job.out_dir / name) for name in layout.LOGS},
        "command": redact.argv(attempt.argv),
        "attempt": attempt.number,
        "fingerprint": job.fingerprint,
    }


def lost(attempt: Attempt, error: str, started_at: str | None = None) -> dict[str, Any]:
    """The result of a job that no supervisor could record: it could not be started, or its supervisor died."""
    return {
        **entries(attempt),
        "status": "error",
        "return_code": None,
        "signal": None,
        "start_time": started_at,
        "end_time": clock.now(),
        "duration_seconds": 0.0,
        "error": error,
        "final_checkpoint": None,
        "final_metrics": {},
        "run_dir": None,
    }


def write_result(job: Job, result: Mapping[str, Any]) -> str | None:
    """Write a result on behalf of a supervisor; returns why it could not be written."""
    try:
        atomic.write_json(job.out_dir / layout.RESULT, result)
    except OSError as error:
        return f"{job.out_dir / layout.RESULT}: {error.strerror or error}"
    return None


def finished(job: Job) -> Record | None:
    """The record of a job that is done: it completed, and what stands in its folder is the same work."""
    result = read_result(job)
    if result is None or result["status"] != COMPLETED or result.get("fingerprint") != job.fingerprint:
        return None
    return replace(record(job, result), cached=True)


def as_it_stands(job: Job) -> Record:
    """What is recorded of a job, whether it is to be run or not."""
    result = read_result(job)
    if result is None or result.get("fingerprint") != job.fingerprint:  # the second: it was another job then
        return Record(job)
    return replace(record(job, result), cached=True)


def unfinished(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What is true of a job without a result: `status` is running (said of a living process only), lost or pending."""
    try:
        found = json.loads(Path(folder, layout.SUPERVISOR).read_bytes())
        living = process_id.alive(found.get("supervisor"))
        pid = int(found["job"][0]) if found.get("job") else None
    except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return {"status": "pending"}
    return {"status": "running" if living else "lost", "pid": pid, "attempt": found.get("attempt")}


def living_supervisor(folder: str | os.PathLike[str]) -> list[str] | None:
    """The process id record of the supervisor of a job, if it is alive."""
    try:
        who = json.loads(Path(folder, layout.SUPERVISOR).read_bytes())["supervisor"]
        return list(who) if process_id.alive(who) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_result(job: Job) -> dict[str, Any] | None:
    """The result that stands in the job's folder; None if there is none that can be read."""
    try:
        result = json.loads((job.out_dir / layout.RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and "status" in result else None


def record(job: Job, result: Mapping[str, Any]) -> Record:
    """experiment_result.json -> Record."""
    outcome = Outcome(result["status"], result.get("return_code"), result.get("signal"), result.get("error"))
    state = Finished(
        result.get("start_time"),
        result.get("end_time") or "",
        float(result.get("duration_seconds") or 0.0),
        outcome,
        result,
    )
    return Record(job, state, int(result.get("attempt") or 1))
