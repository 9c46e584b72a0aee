"""What has changed in the configs of a batch since it was planned. Reads configs, writes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.configs.scripts import recognize
from runner.core import program, redact
from runner.core.errors import UserError, changed
from runner.core.job import Job, Plan
from runner.core.text import listed, plain, shown
from runner.planners.jobs import copies

DIGEST = "config_sha256"  # the one entry of a config whose format only the job itself can read


def reread(plan: Plan, names: Collection[str], *, accept: bool) -> Plan:
    """The plan with the configs of these jobs as they are now. Raises UserError for a change that is not accepted."""
    jobs, lines = [], []
    for job in plan.jobs:
        now, differing = _reread(job, resolved=plan.kind.keeps_resolved) if job.name in names else (job, [])
        jobs.append(now)
        lines += differing
    if lines and not accept:
        raise changed(lines, "the configs changed since the batch was planned; use --accept_changes to continue")
    return replace(plan, jobs=tuple(jobs))


def replanned(before: Plan, now: Plan, *, accept: bool) -> Plan:
    """`before`, if its spec still means the same runs, else `now`. Raises UserError if that is not accepted."""
    name = now.origin["experiment"]
    if before.origin.get("experiment") != name:
        raise UserError(f"{shown(before.root)}: is not an experiment of {name!r}; name one of its own, or none")
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
    return list(_differences(what, before.config, redact.mapping(now.config, now.not_secret)))


def _differences(what: str, old: dict[str, Any] | Any, new: dict[str, Any]) -> Iterator[str]:
    for key in {**old, **new}:
        if not redact.agree(old.get(key), new.get(key)):
            yield f"{what}: {key} {_value(old.get(key))} -> {_value(new.get(key))}"


def _reread(job: Job, *, resolved: bool) -> tuple[Job, list[str]]:
    """The job as its config is now, and a line for each difference. `resolved`: all settings are kept as one file."""
    if job.source is None:
        return job, []
    if DIGEST in job.config:
        return _reread_unknown(job, job.source)
    try:
        script = recognize(job.script)
        config = script.read(Path(shown(job.source)))
        checked = script.check(config, job.overrides)
    except UserError as error:
        return job, list(error.problems)
    bases = {Path.cwd() / path: content for path, content in config.bases.items()}
    files = copies(job.snapshot, config, checked, job.not_secret, resolved=resolved) if job.snapshot else job.files
    now = replace(job, config=redact.mapping(checked.config, job.not_secret), files=files, bases=bases)
    found = differences(shown(job.source), job, now)
    return (replace(now, planned_as=None) if found else now), found


def _reread_unknown(job: Job, source: Path) -> tuple[Job, list[str]]:
    try:
        now = digest(source.read_bytes())
    except OSError as error:
        return job, [f"{shown(source)}: cannot be read ({error.strerror})"]
    if now == job.config[DIGEST]:
        return job, []
    changed_job = replace(job, config={**job.config, DIGEST: now}, planned_as=None)
    return changed_job, [f"{shown(source)}: its content has changed"]


def digest(content: bytes) -> str:
    """The digest by which the contents of two files are compared."""
    return hashlib.sha256(content).hexdigest()


def _value(value: Any) -> str:
    return plain(json.dumps(value, default=str), 60)
