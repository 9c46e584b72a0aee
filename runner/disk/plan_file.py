"""plan.json: the jobs and the run options of a batch. Written once at its start, read by all that continues it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core import redact
from runner.core.canonical import tagged, untagged
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.text import shown
from runner.disk import atomic, layout
from runner.disk.moved import Move, is_same

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
    except PermissionError:
        raise UserError(f"{shown(path)}: cannot be read; it belongs to another user, or is protected") from None
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
        "working_dir": str(plan.cwd),
        "global_overrides": dict(plan.overrides),
        "options": plan.options.to_json(),
        "origin": dict(plan.origin),
        "notices": list(plan.notices),
        "jobs": [_job_to_json(job) for job in plan.jobs],
    }


def _job_to_json(job: Job) -> dict[str, Any]:
    shown = job.not_secret
    return {
        "name": job.name,
        "command": redact.argv(job.argv, shown),
        "experiment_dir": str(job.out_dir),
        "config_path": str(job.source) if job.source else None,
        "config": tagged(redact.mapping(job.config, shown)),
        "overrides": redact.mapping(job.overrides, shown),
        "changes": tagged(redact.mapping({key: new for key, (_, new) in job.changes.items()}, shown)),
        "changed_from": tagged(redact.mapping({key: old for key, (old, _) in job.changes.items()}, shown)),
        "environment": redact.mapping(job.env, shown),
        "working_dir": str(job.cwd),
        "fingerprint": job.fingerprint,
        "volatile": list(job.volatile),
        "runs_resolved": job.runs_resolved,
        "script": str(job.script) if job.script else None,
        "config_argument": job.source_argument,
        "config_words": _copy_words(job),
        "config_copy": job.snapshot,
        "resume_args": redact.argv(job.resume_args, shown),
        "unrecorded": _unrecorded(job),
        "rerun": redact.fill_in(job.rerun, shown),
        "disk_bytes": job.disk_bytes,
        "planned_as": job.planned_as,
    }


def _unrecorded(job: Job) -> list[str]:
    """The names of the secrets in the command, which are not recorded: it cannot be started from this record."""
    words = (*job.argv, *job.resume_args)
    return list(dict.fromkeys((*job.unrecorded, *redact.hidden_names(words, job.not_secret))))


def _copy_words(job: Job) -> dict[str, str]:
    """By index; without secrets, which may be known by the word before."""
    words = redact.argv([job.copy_words.get(index, word) for index, word in enumerate(job.argv)], job.not_secret)
    return {str(index): words[index] for index in job.copy_words}


def from_json(record: Mapping[str, Any], root: Path, kind_named: Callable[[str], PlanKind]) -> Plan:
    """The plan of a record, equal to the one that was written. Raises UserError, KeyError, TypeError or ValueError.

    The plan of a batch that was moved or copied is that of the present place, with `moved_from`.
    """
    if record["schema"] != SCHEMA:
        path = shown(layout.BatchPaths(root).plan)
        raise UserError(f"{path}: was written by another version (schema {record['schema']}); use that one")
    before = Path(record["experiment_dir"])
    root = before if is_same(before, root) else root.resolve()
    move = None if root == before else Move(before, root)
    options = RunOptions.from_json(record["options"])
    jobs = [_job_from_json(before, entry, options) for entry in record["jobs"]]
    if move is not None:
        jobs = [move.job(job, str(entry["fingerprint"])) for job, entry in zip(jobs, record["jobs"], strict=True)]
    cwd = Path(record.get("working_dir") or (jobs[0].cwd if jobs else before.parent))  # 0.1.0 has that of the jobs only
    return Plan(
        name=record["name"],
        root=root,
        jobs=tuple(_complete(job, entry) for job, entry in zip(jobs, record["jobs"], strict=True)),
        kind=kind_named(record["door"]),
        created_at=record["created_at"],
        overrides=record["global_overrides"],
        notices=tuple(record.get("notices", ())),
        options=options,
        origin=record.get("origin", {}),
        cwd=cwd if move is None else move.folder(cwd),
        moved_from=None if move is None else before,
    )


def _job_from_json(root: Path, entry: Mapping[str, Any], options: RunOptions) -> Job:
    before = untagged(entry.get("changed_from", {}))  # 0.1.0 kept the new values only
    return Job(
        name=entry["name"],
        argv=tuple(entry["command"]),
        out_dir=root / entry["name"],
        config=untagged(entry["config"]),
        overrides=entry["overrides"],
        changes={key: (before.get(key), new) for key, new in untagged(entry.get("changes", {})).items()},
        source=Path(entry["config_path"]) if entry["config_path"] else None,
        source_argument=entry["config_argument"],
        copy_words={int(index): word for index, word in entry.get("config_words", {}).items()},
        script=Path(entry["script"]) if entry["script"] else None,
        snapshot=entry["config_copy"],
        env=entry["environment"],
        cwd=Path(entry["working_dir"]),
        rerun=tuple(redact.with_places(entry["rerun"])),
        resume_args=tuple(entry["resume_args"]),
        disk_bytes=entry.get("disk_bytes", 0),
        not_secret=options.not_secret,
        unrecorded=tuple(entry.get("unrecorded", redact.unrecorded(entry["command"]))),  # 0.1.0 has no such key
        planned_as=entry.get("planned_as"),
        volatile=tuple(entry.get("volatile", ())),
        runs_resolved=entry.get("runs_resolved", False),
    )


def _complete(job: Job, entry: Mapping[str, Any]) -> Job:
    """The job with the content of its config, and with the fingerprint that it was given."""
    return replace(job, files=_copies(job)).with_fingerprint(entry["fingerprint"])


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
