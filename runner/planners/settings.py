"""A planned job with other settings: its config and its overrides are checked again, and its command made again.

Reads configs, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.configs import reading
from runner.configs.overrides import found, of_spelling, without
from runner.configs.scripts import recognize
from runner.configs.training_script import checked, normalized
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.text import shown
from runner.planners import jobs
from runner.planners.command import Command
from runner.planners.jobs import Request
from runner.planners.template import takes_overrides


@dataclass(frozen=True, slots=True)
class Settings:
    """`values` by key, from the option of this name. `command` is how the jobs of the batch are started."""

    option: str
    values: Mapping[str, str]
    command: Command


def changed(plan: Plan, job: Job, settings: Settings) -> Job:
    """The job with these settings. To be called in the folder that the batch was started in.

    Raises UserError with every error that its script would find.
    """
    if job.source is None:
        cause = "its config is not a file that the runner knows; change it in the program that planned it"
        raise UserError(f"{job.name}: {cause}")
    _refuse_lost(settings)
    request = Request({}, plan.root.parent, settings.command, Path.cwd(), {}, job.resume_args, plan.options)
    script = recognize(job.script)
    config = reading.found(reading.read_all(script, [Path(shown(job.source))], plan.options.config_timeout)[0])
    values = settings.values if script.exact_keys else normalized(settings.values)
    known = [*job.overrides, *config.values]
    given = {**job.overrides, **{of_spelling(key, known): text for key, text in values.items()}}
    result = checked(script, config, given)
    now = jobs.job(request, plan.root, job.name, config, result, job.source, _rerun(job, settings))
    if plan.kind.keeps_resolved and now.snapshot is not None:
        copies = jobs.copies(now.snapshot, config, result, plan.options.not_secret, resolved=True)
        now = replace(now, files=copies)
    return replace(now, env=job.env)


def extended(plan: Plan, job: Job, settings: Settings) -> Job | None:
    """The job with larger settings; None if it has them already. Raises UserError also for a setting that shrinks."""
    now = changed(plan, job, settings)
    grows, errors = False, []
    for key in normalized(settings.values):
        before, after = _value(job, now, key), found(key, now.config)
        if not (_is_number(before) and _is_number(after)):
            cause = f"{key} is not known to be a number, so it cannot grow"
            errors.append(f"--{settings.option} {key}: {cause} ({job.name}); use rerun with --set instead")
        elif after < before and len(settings.values) > 1:
            errors.append(f"--{settings.option} {key}={after}: is less than the {before} of {job.name}; leave it out")
        grows = grows or (not errors and after > before)
    if errors:
        raise UserError(*errors)
    return now if grows else None


def left_behind(before: Job, now: Job, settings: Settings) -> list[str]:
    """Notes on other settings that had the value of one that grew, and so probably depend on it."""
    notes = []
    for key in normalized(settings.values):
        old = _value(before, now, key)
        new = found(key, now.config)
        lengths = [name for name in now.config if name.endswith(("iters", "steps", "epochs"))]
        left = [name for name in lengths if now.config[name] == old != new and name not in settings.values]
        notes += [f"{name} stays {old}, as {key} was; --{settings.option} {name}={new} changes it too" for name in left]
    return notes


def without_checkpoint(job: Job, checkpoint: str | None) -> str | None:
    """Why a job that completed cannot continue; None if it can."""
    if not job.resume_args:
        cause = "which arguments continue it from a checkpoint is not known"
        return f"{job.name}: {cause}; start a batch with --resume_args, or use rerun with --set"
    if checkpoint is None:
        return f"{job.name}: has no checkpoint in {shown(job.out_dir)}; use rerun with --set to train it again"
    return None


def _rerun(job: Job, settings: Settings) -> tuple[str, ...]:
    """The command line that runs the job alone, with these settings instead of earlier ones."""
    if "--configs" not in job.rerun:
        return job.rerun
    return (*without(job.rerun, settings.values), *(f"--{key}={text}" for key, text in settings.values.items()))


def _refuse_lost(settings: Settings) -> None:
    """Raise UserError for a command without {overrides}, which would run as before."""
    if settings.command.template and not takes_overrides(settings.command.template):
        key = next(iter(settings.values))
        cause = "the --command has no {overrides}, so the setting would not reach the job"
        raise UserError(f"--{settings.option} {key}: {cause}; edit the config instead")


def _value(before: Job, now: Job, key: str) -> Any:
    """The value of a setting before; of one that only the script has, its default."""
    value = found(key, before.config)
    return value if value is not None else now.changes.get(key, (None, None))[0]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
