"""plan.json: the jobs and the run options of a batch. Written once at its start, read by all that continues it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core import redact
from runner.core.canonical import tagged, untagged
from runner.core.errors import UserError
from runner.core.fields import Fields
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.text import shown
from runner.disk import atomic, layout, record_file
from runner.disk.checkpoints import is_pattern
from runner.disk.json_text import Each
from runner.disk.layout import BatchPaths
from runner.disk.moved import Move, is_same
from runner.disk.place import Place
from runner.disk.reading import LARGEST_OF_BATCH, read_bytes

SCHEMA = 1
_OF_SWEEPS = ("experiment", "mode", "mode_typed", "spec", "launcher", "module", "command", "python")


def write(plan: Plan) -> None:
    """Write the inputs of the whole batch, then plan.json: once it exists, they are complete. Raises OSError."""
    for name, content in plan.files.items():
        place = Place(plan.root) / name
        place.parent.make()
        atomic.write_bytes(place, content)
    jobs = Each(job_to_json(job) for job in plan.jobs)
    atomic.write_json(BatchPaths(plan.root).plan, {**_about(plan), "jobs": jobs})


def touch(root: Path) -> None:
    """Another run of the batch begins with the same plan: the batch is the latest one, as if it had been written."""
    os.utime(BatchPaths(root).plan, follow_symlinks=False)


def exists(root: Path) -> bool:
    """Whether the folder is that of a batch."""
    return Path(BatchPaths(root).plan).exists()


def read(root: Path, kind_named: Callable[[str], PlanKind], *, contents: bool = True) -> Plan:
    """The plan of the batch in `root`. Raises UserError if there is none that can be read.

    `contents`: with those of the jobs' configs, which only a run of the batch needs.
    """
    path = BatchPaths(root).plan
    try:
        return from_json(record_file.load(path, LARGEST_OF_BATCH), root, kind_named, contents=contents)
    except FileNotFoundError:
        raise UserError(f"{shown(root)}: is not a batch (it has no plan.json); name the folder of one") from None
    except UserError:
        raise
    except PermissionError:
        raise UserError(f"{shown(path)}: cannot be read; it belongs to another user, or is protected") from None
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shown(path)}: cannot be read ({cause}); start a new batch") from None


def to_json(plan: Plan) -> dict[str, Any]:
    """The record of a plan, without its secrets."""
    return {**_about(plan), "jobs": [job_to_json(job) for job in plan.jobs]}


def _about(plan: Plan) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "door": plan.kind.name,  # the key of version 0.1.0
        "created_at": plan.created_at,
        "experiment_dir": str(plan.root),
        "working_dir": str(plan.cwd),
        "global_overrides": redact.mapping(plan.overrides, plan.options.not_secret),
        "options": plan.options.to_json(),
        "origin": dict(plan.origin),
        "notices": [redact.text(notice, plan.options.not_secret) for notice in plan.notices],
    }


def job_to_json(job: Job) -> dict[str, Any]:
    """The entry of a job, without its secrets."""
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


def from_json(
    record: dict[str, Any], root: Path, kind_named: Callable[[str], PlanKind], *, contents: bool = True
) -> Plan:
    """The plan of a record, equal to the one that was written. Raises ValueError for an odd record, such as UserError.

    The plan of a batch that was moved or copied is that of the present place, with `moved_from`.
    """
    fields = Fields(record)
    if (schema := fields.whole("schema")) != SCHEMA:
        path = shown(BatchPaths(root).plan)
        raise UserError(f"{path}: was written by another version (schema {schema}); use that one")
    before = Path(fields.path("experiment_dir"))
    root = before if is_same(before, root) else root.resolve()
    move = None if root == before else Move(before, root)
    options = _options(fields.mapping("options"))
    entries = list(fields.records("jobs"))
    if not entries:
        raise fields.odd("jobs", "a list of jobs")
    jobs = [_job_from_json(before, entry, options) for entry in entries]
    if move is not None:
        jobs = [move.job(job, entry.text("fingerprint")) for job, entry in zip(jobs, entries, strict=True)]
    cwd = Path(fields.path("working_dir", jobs[0].cwd if jobs else before.parent))  # 0.1.0 has that of the jobs only
    return Plan(
        name=fields.text("name"),
        root=root,
        jobs=tuple(_complete(job, entry, contents=contents) for job, entry in zip(jobs, entries, strict=True)),
        kind=kind_named(fields.text("door")),
        created_at=fields.text("created_at"),
        overrides=fields.texts("global_overrides"),
        notices=fields.words("notices", ()),
        options=options,
        origin=_origin(fields.mapping("origin", {})),
        cwd=cwd if move is None else move.folder(cwd),
        moved_from=None if move is None else before,
    )


def _options(record: dict[str, Any]) -> RunOptions:
    options = RunOptions.from_json(record)
    fields = Fields(record, "options.")
    if not all(map(is_pattern, options.checkpoints)):
        raise fields.odd("checkpoints", "a list of patterns")
    try:
        for pattern in options.metric_patterns:
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        raise fields.odd("metric_patterns", "a list of regular expressions") from None
    return options


def _origin(record: dict[str, Any]) -> dict[str, Any]:
    """What a sweep or a tree was planned from; each kind has entries of its own."""
    fields = Fields(record, "origin.")
    for key in (*_OF_SWEEPS, "config_root", "working_dir"):
        fields.text(key, None)
    fields.words("arguments", None)
    fields.texts("flags", {})
    for other in fields.records("others") if "others" in fields else ():
        other.text("name")
        other.path("config_path")
    return record


def job_alone(record: dict[str, Any], root: Path, options: RunOptions) -> Job:
    """The job of an entry that is read without its plan; its `files` are not in it. Raises ValueError."""
    entry = Fields(record)
    return _job_from_json(root, entry, options).with_fingerprint(entry.text("fingerprint"))


def _job_from_json(root: Path, entry: Fields, options: RunOptions) -> Job:
    before = untagged(entry.mapping("changed_from", {}))  # 0.1.0 kept the new values only
    after = untagged(entry.mapping("changes", {}))
    source, script, argv = entry.path("config_path", None), entry.path("script", None), entry.words("command")
    unrecorded = entry.words("unrecorded", None)
    return Job(
        name=_name(entry),
        argv=argv,
        out_dir=root / entry.text("name"),
        config=untagged(entry.mapping("config")),
        overrides=entry.texts("overrides"),
        changes={key: (before.get(key), new) for key, new in after.items()},
        source=Path(source) if source else None,
        source_argument=entry.text("config_argument", None),
        copy_words=_copy_words_from_json(entry),
        script=Path(script) if script else None,
        snapshot=entry.path("config_copy", None),
        env=entry.texts("environment"),
        cwd=Path(entry.path("working_dir")),
        rerun=tuple(redact.with_places(entry.words("rerun"))),
        resume_args=entry.words("resume_args"),
        disk_bytes=entry.whole("disk_bytes", 0, least=0),
        not_secret=options.not_secret,
        unrecorded=tuple(redact.unrecorded(argv)) if unrecorded is None else unrecorded,  # 0.1.0 has no such key
        planned_as=entry.text("planned_as", None),
        volatile=entry.words("volatile", ()),
        runs_resolved=entry.flag("runs_resolved", False),
    )


def _name(entry: Fields) -> str:
    """The name of a job, which is that of its folder: never one outside the batch."""
    name: str = entry.path("name")
    if name.startswith("/") or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise entry.odd("name", "the name of a folder")
    return name


def _copy_words_from_json(entry: Fields) -> dict[int, str]:
    words = entry.texts("config_words", {})
    if not all(index.isascii() and index.isdecimal() and len(index) < 10 for index in words):
        raise entry.odd("config_words", "an object whose keys are numbers")
    return {int(index): word for index, word in words.items()}


def _complete(job: Job, entry: Fields, *, contents: bool) -> Job:
    """The job with the content of its config, and with the fingerprint that it was given."""
    return (replace(job, files=_copies(job)) if contents else job).with_fingerprint(entry.text("fingerprint"))


def _copies(job: Job) -> dict[str, bytes]:
    """The content of the job's config: of the file itself or, when that is gone, of the copies beside the job."""
    if job.source is None or job.snapshot is None:
        return {}
    own, resolved = job.out_dir / job.snapshot, job.out_dir / layout.RESOLVED
    files: dict[str, bytes] = {}
    for name, path in ((job.snapshot, job.source), (job.snapshot, own), (layout.RESOLVED, resolved)):
        try:
            files.setdefault(name, read_bytes(path, links=path == job.source))
        except OSError:
            continue
    return files
