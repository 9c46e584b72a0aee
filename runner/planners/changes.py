"""What has changed in the configs of a batch since it was planned. Reads configs, writes nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.configs.config_file import DIGEST, ConfigFile, digest
from runner.configs.reading import found, read_all
from runner.configs.scripts import recognize
from runner.configs.training_script import TrainingScript, checked
from runner.core import redact
from runner.core.errors import UserError, changed
from runner.core.job import Job, Plan
from runner.core.text import command, plain, shown
from runner.planners.jobs import copies

Read = ConfigFile | UserError


def reread(plan: Plan, names: Collection[str], *, accept: bool) -> Plan:
    """The plan with the configs of these jobs as they are now. Raises UserError for a change that is not accepted."""
    configs = _read_again([job for job in plan.jobs if job.name in names], plan.options.config_timeout)
    jobs, lines = [], []
    for job in plan.jobs:
        again = configs.get(job.name)
        now, differing = (job, []) if again is None else _reread(job, *again, resolved=plan.kind.keeps_resolved)
        jobs.append(now)
        lines += differing
    if lines and not accept:
        raise changed(lines, "the configs changed since the batch was planned; use --accept_changes to continue")
    return replace(plan, jobs=tuple(jobs))


def _read_again(jobs: Sequence[Job], time_limit: float) -> dict[str, tuple[TrainingScript | None, Read]]:
    """The config of each job that has one: by its name, the script and what it reads now."""
    by_script: defaultdict[Path | None, list[tuple[str, Path]]] = defaultdict(list)
    for job in jobs:
        if job.source is not None:
            by_script[job.script].append((job.name, Path(shown(job.source))))
    again: dict[str, tuple[TrainingScript | None, Read]] = {}
    for path, named in by_script.items():
        try:
            script = recognize(path)
        except UserError as error:
            again |= {name: (None, error) for name, _ in named}
            continue
        configs = read_all(script, [source for _, source in named], time_limit)
        again |= {name: (script, config) for (name, _), config in zip(named, configs, strict=True)}
    return again


def replanned(before: Plan, now: Plan, *, accept: bool) -> Plan:
    """`before`, if its spec still means the same runs, else `now`. Raises UserError if that is not accepted."""
    name = now.origin["experiment"]
    if before.origin.get("experiment") != name:
        raise UserError(f"{shown(before.root)}: is not an experiment of {name!r}; name one of its own, or none")
    earlier, later = ({job.name: job for job in plan.jobs} for plan in (before, now))
    lines = [line for name, job in later.items() if name in earlier for line in differences(name, earlier[name], job)]
    lines += [f"{name}: is new" for name in later if name not in earlier]
    lines += [f"{name}: is not in the spec any more" for name in earlier if name not in later]
    if not lines:
        return before
    if not accept:
        raise changed(lines, "the runs changed since the experiment began; use --accept_changes to continue")
    return replace(now, created_at=before.created_at)


def refuse_secrets(jobs: Sequence[Job]) -> None:
    """Raise UserError for jobs whose command had a secret: it was not recorded, so they cannot run again."""
    lost = [
        f"{job.name}: its command holds a secret, which was not written down; start it again with {command(job.rerun)}"
        for job in jobs
        if any(redact.REDACTED in word for word in job.argv)
    ]
    if lost:
        raise UserError(*lost)


def differences(what: str, before: Job, now: Job) -> list[str]:
    """A line for each key that has another value now: `config/easy.py: learning_rate 0.001 -> 0.01`."""
    return list(_differences(what, before, now))


def _differences(what: str, before: Job, now: Job) -> Iterator[str]:
    old, new = before.config, redact.mapping(now.config)
    for key in {**old, **new}:
        if repr(old.get(key)) != repr(new.get(key)) and not (key in before.volatile and key in now.volatile):
            yield f"{what}: {key} {_value(old.get(key))} -> {_value(new.get(key))}"


def _reread(job: Job, script: TrainingScript | None, read: Read, *, resolved: bool) -> tuple[Job, list[str]]:
    """The job as its config is now, and a line for each difference. `resolved`: all settings are kept as one file."""
    try:
        config = pinned(found(read), job)
        if _same_content(job, config):
            return job, []
        assert script is not None  # else there was an error
        result = checked(script, config, job.overrides)
    except UserError as error:
        return job, list(error.problems)
    bases = {Path.cwd() / path: content for path, content in config.bases.items()}
    files = copies(job.snapshot, config, result, resolved=resolved) if job.snapshot else job.files
    now = replace(
        job,
        config=redact.mapping(result.config),
        files=files,
        bases=bases,
        runs_resolved=result.runs_resolved,
        volatile=result.volatile,
    )
    if now.fingerprint == job.fingerprint:
        return now, []
    lines = differences(shown(config.path), job, now)
    if DIGEST in job.config or DIGEST in now.config:
        lines = [f"{shown(config.path)}: its content has changed", *(it for it in lines if DIGEST not in it)]
    return now, lines


def pinned(config: ConfigFile, job: Job) -> ConfigFile:
    """The config with the recorded values of the keys that would have another one at each evaluation."""
    kept = {key: job.config[key] for key in config.volatile if key in job.volatile and key in job.config}
    return replace(config, values={**config.values, **kept}) if kept else config


def _same_content(job: Job, config: ConfigFile) -> bool:
    """Whether a config that is not known completely is the one that was planned."""
    if config.partial is None and DIGEST not in job.config:
        return False
    if DIGEST in job.config:
        return bool(digest(config.source) == job.config[DIGEST])
    try:  # it was planned by a version that executed it
        return job.snapshot is not None and (job.out_dir / job.snapshot).read_bytes() == config.source
    except OSError:
        return False


def _value(value: Any) -> str:
    return plain(json.dumps(value, default=str), 60)
