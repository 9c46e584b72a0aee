"""plan.json: the jobs and the run options of a batch. Written once at its start, read by all that continues it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core import redact
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.text import shown
from runner.disk import atomic, layout

SCHEMA = 1


def write(plan: Plan) -> None:
    """Write the inputs of the whole batch, then plan.json: once it exists, they are complete. Raises OSError."""
    for name, content in plan.files.items():
        path = plan.root / name
        path.parent.mkdir(exist_ok=True)
        atomic.write_bytes(path, content)
    atomic.write_json(layout.BatchPaths(plan.root).plan, to_json(plan))


def exists(root: Path) -> bool:
    """Whether the folder is that of a batch."""
    return Path(layout.BatchPaths(root).plan).exists()


def read(root: Path, kind_named: Callable[[str], PlanKind]) -> Plan:
    """The plan of the batch in `root`. Raises UserError if there is none that can be read."""
    path = Path(layout.BatchPaths(root).plan)
    try:
        return from_json(json.loads(path.read_bytes()), root, kind_named)
    except FileNotFoundError:
        raise UserError(f"{shown(root)}: is not a batch (it has no plan.json); name the folder of one") from None
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise UserError(f"{shown(path)}: cannot be read ({cause}); start a new batch") from None


def to_json(plan: Plan) -> dict[str, Any]:
    """The record of a plan, without its secrets."""
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "door": plan.kind.name,  # the key of version 0.1.0
        "created_at": plan.created_at,
        "experiment_dir": str(plan.root),
        "global_overrides": dict(plan.overrides),
        "options": plan.options.to_json(),
        "origin": dict(plan.origin),
        "notices": list(plan.notices),
        "jobs": [_job_to_json(job) for job in plan.jobs],
    }


def _job_to_json(job: Job) -> dict[str, Any]:
    return {
        "name": job.name,
        "command": redact.argv(job.argv),
        "experiment_dir": str(job.out_dir),
        "config_path": str(job.source) if job.source else None,
        "config": redact.mapping(job.config),
        "overrides": redact.mapping(job.overrides),
        "changes": redact.mapping({key: new for key, (_, new) in job.changes.items()}),
        "changed_from": redact.mapping({key: old for key, (old, _) in job.changes.items()}),
        "environment": redact.mapping(job.env),
        "working_dir": str(job.cwd),
        "fingerprint": job.fingerprint,
        "script": str(job.script) if job.script else None,
        "config_argument": job.source_argument,
        "config_words": _copy_words(job),
        "config_copy": job.snapshot,
        "resume_args": list(job.resume_args),
        "rerun": redact.argv(job.rerun),
        "disk_bytes": job.disk_bytes,
    }


def _copy_words(job: Job) -> dict[str, str]:
    """By index; without secrets, which may be known by the word before."""
    words = redact.argv([job.copy_words.get(index, word) for index, word in enumerate(job.argv)])
    return {str(index): words[index] for index in job.copy_words}


def from_json(record: Mapping[str, Any], root: Path, kind_named: Callable[[str], PlanKind]) -> Plan:
    """The plan of a record, equal to the one that was written. Raises UserError, KeyError, TypeError or ValueError."""
    if record["schema"] != SCHEMA:
        path = shown(layout.BatchPaths(root).plan)
        raise UserError(f"{path}: was written by another version (schema {record['schema']}); use that one")
    if Path(record["experiment_dir"]) != root:
        raise UserError(f"{shown(root)}: was {record['experiment_dir']} when it was planned; move it back there")
    return Plan(
        name=record["name"],
        root=root,
        jobs=tuple(_job_from_json(root, entry) for entry in record["jobs"]),
        kind=kind_named(record["door"]),
        created_at=record["created_at"],
        overrides=record["global_overrides"],
        notices=tuple(record.get("notices", ())),
        options=RunOptions.from_json(record["options"]),
        origin=record.get("origin", {}),
    )


def _job_from_json(root: Path, entry: Mapping[str, Any]) -> Job:
    before = entry.get("changed_from", {})  # 0.1.0 kept the new values only
    job = Job(
        name=entry["name"],
        argv=tuple(entry["command"]),
        out_dir=root / entry["name"],
        config=entry["config"],
        overrides=entry["overrides"],
        changes={key: (before.get(key), new) for key, new in entry.get("changes", {}).items()},
        source=Path(entry["config_path"]) if entry["config_path"] else None,
        source_argument=entry["config_argument"],
        copy_words={int(index): word for index, word in entry.get("config_words", {}).items()},
        script=Path(entry["script"]) if entry["script"] else None,
        snapshot=entry["config_copy"],
        env=entry["environment"],
        cwd=Path(entry["working_dir"]),
        rerun=tuple(entry["rerun"]),
        resume_args=tuple(entry["resume_args"]),
        disk_bytes=entry.get("disk_bytes", 0),
    )
    return replace(job, files=_copies(job))


def _copies(job: Job) -> dict[str, bytes]:
    """The content of the job's config: of the file itself or, when that is gone, of the copies beside the job."""
    if job.source is None or job.snapshot is None:
        return {}
    own, resolved = job.out_dir / job.snapshot, job.out_dir / layout.RESOLVED
    files: dict[str, bytes] = {}
    for name, path in ((job.snapshot, job.source), (job.snapshot, own), (layout.RESOLVED, resolved)):
        try:
            files.setdefault(name, path.read_bytes())
        except OSError:
            continue
    return files
