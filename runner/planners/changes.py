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
from runner.core import program, redact
from runner.core.errors import UserError, changed
from runner.core.job import Job, Plan
from runner.core.text import listed, plain, shown
from runner.disk.reading import read_bytes
from runner.planners import search
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
    if "search" in before.origin or "search" in now.origin:
        return search.continued(before, now)
    earlier, later = ({job.name: job for job in plan.jobs} for plan in (before, now))
    lines = [line for name, job in later.items() if name in earlier for line in differences(name, earlier[name], job)]
    lines += [f"{name}: is new" for name in later if name not in earlier]
    lines += [f"{name}: is not in the spec any more" for name in earlier if name not in later]
    if not lines and not any(job.unrecorded for job in before.jobs):
        return before
    now = same_work(now, before)
    if not lines:  # what was not recorded was given again
        return replace(now, created_at=before.created_at, options=before.options)
    if not accept:
        raise changed(lines, "the runs changed since the experiment began; use --accept_changes to continue")
    same = {name: one for name, one in earlier.items() if name in later and not differences(name, one, later[name])}
    jobs = [replace(job, planned_as=same[job.name].planned_as) if job.name in same else job for job in now.jobs]
    return replace(now, created_at=before.created_at, jobs=tuple(jobs))


def refuse_moved(plan: Plan) -> None:
    """Raise UserError for a batch that is not where it was planned: it may be a copy of one that is still used."""
    if plan.moved_from is not None:
        cause = f"was {plan.moved_from} when it was planned"
        raise UserError(f"{shown(plan.root)}: {cause}; use --accept_moved to continue it where it is now")


def refuse_missing(jobs: Sequence[Job]) -> None:
    """Raise UserError for jobs of a moved batch whose config or script did not come along."""
    lost = {
        path: f"{job.name}: {path} is not there, and there is no copy of it; put it there, or at {job.cwd}"
        for job in jobs
        for path in (job.source, job.script)
        if path is not None and not path.exists()
    }
    if lost:
        raise UserError(*lost.values())


def refuse_secrets(plan: Plan, jobs: Sequence[Job]) -> None:
    """Raise UserError for jobs whose command had a secret: it was not recorded, so they cannot run again."""
    lost = [
        f"{job.name}: its command holds a secret, which was not written down{_named(job)}; {_again(plan, job)}"
        for job in jobs
        if job.unrecorded
    ]
    if lost:
        raise UserError(*lost)


def _named(job: Job) -> str:
    names = [f"--{name}" for name in job.unrecorded if name]
    return f" ({listed(names, 3)})" if names else ""


def _again(plan: Plan, job: Job) -> str:
    """What to do about a job whose command is not recorded as a whole."""
    names = [name for name in job.unrecorded if name]
    unless = f", with --not_secret {names[0]} if it is not one" if names else ""
    places = redact.with_places([f"--{name}={redact.REDACTED}" for name in names])
    if spec := plan.origin.get("spec"):
        return f"continue with {program.offered('--exp', spec, '--resume', plan.root, *places)}{unless}"
    if "config_root" in plan.origin:
        return f"give it again, by the command that ran the tree{unless}"
    return f"start it again with {program.pasted(job.rerun, plan.cwd)}{unless}"


def same_work(now: Plan, before: Plan) -> Plan:
    """`now`, with the recorded fingerprints of the jobs that do the same work as before."""
    earlier = {job.name: job.fingerprint for job in before.jobs}
    jobs = (
        job.with_fingerprint(earlier[job.name]) if job.name in earlier and job.is_work_of(earlier[job.name]) else job
        for job in now.jobs
    )
    return replace(now, jobs=tuple(jobs))


def differences(what: str, before: Job, now: Job) -> list[str]:
    """A line for each key that has another value now: `config/easy.py: learning_rate 0.001 -> 0.01`."""
    return list(_differences(what, before, now))


def _differences(what: str, before: Job, now: Job) -> Iterator[str]:
    old, new = before.config, redact.mapping(now.config, now.not_secret)
    for key in {**old, **new}:
        volatile = key in before.volatile and key in now.volatile
        if not volatile and not redact.agree(old.get(key), new.get(key)):
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
    files = copies(job.snapshot, config, result, job.not_secret, resolved=resolved) if job.snapshot else job.files
    now = replace(
        job,
        config=redact.mapping(result.config, job.not_secret),
        files=files,
        bases=bases,
        runs_resolved=result.runs_resolved,
        volatile=result.volatile,
    )
    lines = differences(shown(config.path), job, now)
    if not lines or (job.planned_as is None and now.fingerprint == job.fingerprint):
        return now, []
    if DIGEST in job.config or DIGEST in now.config:
        lines = [f"{shown(config.path)}: its content has changed", *(it for it in lines if DIGEST not in it)]
    return replace(now, planned_as=None), lines


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
        return job.snapshot is not None and read_bytes(job.out_dir / job.snapshot) == config.source
    except OSError:
        return False


def _value(value: Any) -> str:
    return plain(json.dumps(value, default=str), 60)
