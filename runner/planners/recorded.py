"""plan.json of a batch -> its Plan again, and what has changed in its configs since. Writes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.configs.scripts import recognize
from runner.core import redact
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.text import command, plain, shown
from runner.disk import layout
from runner.planners.jobs import copies
from runner.planners.registry import KINDS

SCHEMA = 1
DIGEST = "config_sha256"  # the one entry of a config whose format only the job itself can read


def plan(root: Path) -> Plan:
    """The plan of the batch in `root`. Raises UserError if there is none that can be read."""
    path = Path(layout.BatchPaths(root).plan)
    try:
        record = json.loads(path.read_bytes())
        if record["schema"] != SCHEMA:
            raise UserError(f"{path}: was written by another version (schema {record['schema']}); use that one")
        if Path(record["experiment_dir"]) != root:
            raise UserError(f"{shown(root)}: was {record['experiment_dir']} when it was planned; move it back there")
        jobs = tuple(_job(root, entry) for entry in record["jobs"])
        return Plan(
            record["name"], root, jobs, _kind(record["door"]), record["created_at"], record["global_overrides"],
            options=RunOptions.from_json(record["options"]), origin=record.get("origin", {}),
        )  # fmt: skip
    except FileNotFoundError:
        raise UserError(f"{shown(root)}: is no batch (it has no plan.json); name the folder of one") from None
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise UserError(f"{shown(path)}: cannot be read ({cause}); start a new batch") from None


def _kind(name: str) -> PlanKind:
    try:
        return KINDS.get(name)
    except UserError:  # of a plugin that is not installed here, or of another program: the jobs can run all the same
        return PlanKind(name)


def _job(root: Path, entry: Mapping[str, Any]) -> Job:
    job = Job(
        name=entry["name"],
        argv=tuple(entry["command"]),
        out_dir=root / entry["name"],
        config=entry["config"],
        overrides=entry["overrides"],
        source=Path(entry["config_path"]) if entry["config_path"] else None,
        source_argument=entry["config_argument"],
        script=Path(entry["script"]) if entry["script"] else None,
        snapshot=entry["config_copy"],
        env=entry["environment"],
        cwd=Path(entry["working_dir"]),
        rerun=tuple(entry["rerun"]),
        resume_args=tuple(entry["resume_args"]),
    )
    return replace(job, files=_copy(job))


def _copy(job: Job) -> dict[str, bytes]:
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


def hidden(jobs: Sequence[Job]) -> list[str]:
    """Sentences on jobs whose command held a secret: it was not written down, so they cannot be started again."""
    return [
        f"{job.name}: its command holds a secret, which was not written down; start it anew: {command(job.rerun)}"
        for job in jobs
        if any(redact.HIDDEN in word for word in job.argv)
    ]


def renewed(job: Job, *, resolved: bool) -> tuple[Job, list[str]]:
    """The job as its config is now, and a line for each difference from what was planned.

    `resolved`: all settings are to be kept as one file, whatever the config is.
    """
    if job.source is None:
        return job, []
    if DIGEST in job.config:
        return _renewed_unread(job, job.source)
    try:
        script = recognize(job.script)
        config = script.read(Path(shown(job.source)))
        checked = script.check(config, job.overrides)
    except UserError as error:
        return job, list(error.problems)
    bases = {Path.cwd() / path: content for path, content in config.bases.items()}
    files = copies(job.snapshot, config, checked, resolved=resolved) if job.snapshot else job.files
    renewed = replace(job, config=redact.mapping(checked.config), files=files, bases=bases)
    return renewed, differences(shown(job.source), job, renewed)


def differences(what: str, before: Job, now: Job) -> list[str]:
    """A line for each key that has another value now: `config/easy.py: learning_rate 0.001 -> 0.01`."""
    old, new = before.config, redact.mapping(now.config)
    keys = [key for key in {**old, **new} if repr(old.get(key)) != repr(new.get(key))]
    return [f"{what}: {key} {_said(old.get(key))} -> {_said(new.get(key))}" for key in keys]


def _renewed_unread(job: Job, source: Path) -> tuple[Job, list[str]]:
    try:
        now = digest(source.read_bytes())
    except OSError as error:
        return job, [f"{shown(source)}: cannot be read ({error.strerror})"]
    if now == job.config[DIGEST]:
        return job, []
    return replace(job, config={**job.config, DIGEST: now}), [f"{shown(source)}: its content is another one"]


def digest(content: bytes) -> str:
    """What tells the contents of two files apart."""
    return hashlib.sha256(content).hexdigest()


def _said(value: Any) -> str:
    return plain(json.dumps(value, default=str), 60)
