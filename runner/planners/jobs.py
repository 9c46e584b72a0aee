"""A config and the arguments -> a Job: what all commands that start a training script have in common. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.configs import yamlfile
from runner.configs.config_file import ConfigFile
from runner.configs.training_script import Checked
from runner.core import redact
from runner.core.errors import UserError
from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.text import shown
from runner.disk import layout
from runner.planners.command import Command
from runner.planners.environment import additions
from runner.planners.names import safe

NAME = r"[A-Za-z0-9][A-Za-z0-9._+=@-]{0,99}"
NAME_RULE = "use up to 100 letters, digits and . _ + = @ -, a letter or digit first"


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments that do not depend on how jobs are named: overrides, where outputs go, how a job is started."""

    overrides: Mapping[str, str]
    base: Path
    command: Command
    cwd: Path
    environ: Mapping[str, str]
    resume_args: tuple[str, ...] = ()  # of scripts whose own are not known
    options: RunOptions = field(default_factory=RunOptions)


def job(
    request: Request,
    root: Path,
    name: str,
    config: ConfigFile,
    checked: Checked,
    source: Path,
    rerun: tuple[str, ...],
) -> Job:
    """The job that runs `config`, which is in the file `source`, now or when the batch begins. Raises UserError.

    `checked` is what the script makes of it; `rerun` is the command line that runs this job alone again.
    """
    _refuse_secrets(config)
    out_dir = root / name
    cwd = checked.folder or request.cwd
    argument = shown(source, cwd)
    if argument.startswith("-"):  # so that no program reads the file name as an option
        argument = f"./{argument}"
    snapshot = safe(f"config_used{source.suffix}")
    command = request.command.seen_from(cwd)
    return Job(
        name=name,
        argv=command.argv(
            shown(sys.executable, cwd), argument, shown(out_dir, cwd), name, checked.arguments, checked.out_dir_option
        ),
        out_dir=out_dir,
        config=checked.config,
        overrides=checked.overrides,
        changes=checked.changes,
        source=source,
        source_argument=argument,
        snapshot=snapshot,
        files=copies(snapshot, config, checked),
        runs_resolved=checked.runs_resolved,
        volatile=checked.volatile,
        bases={request.cwd / path: content for path, content in config.bases.items()},
        env=additions(request.environ, out_dir, root.name, name, request.base / layout.INDUCTOR_CACHE),
        cwd=cwd,
        rerun=rerun,
        disk_bytes=checked.disk_bytes,
        script=request.command.script,
        resume_args=request.resume_args or checked.resume_args,
    )


def copies(snapshot: str, config: ConfigFile, checked: Checked, *, resolved: bool = False) -> dict[str, bytes]:
    """The exact copy of a config; where it has a base, or with `resolved`, all settings as one file too."""
    files = {snapshot: config.source}
    if config.bases or resolved or checked.runs_resolved:
        files[layout.RESOLVED] = _resolved(checked.config, config.path)
    return files


def _resolved(config: Mapping[str, Any], origin: Path) -> bytes:
    """All settings of a job as one file."""
    values = {key: value for key, value in redact.mapping(config).items() if key != "out_dir"}
    line = f"# every setting of this job; from {shown(origin)}\n".encode(errors="backslashreplace")
    return line + yamlfile.write(values).encode()


def with_values(job: Job, values: Mapping[str, Any]) -> Job:
    """The job with these values in its config, and in the file of its settings if it has one."""
    config = {**job.config, **values}
    files = dict(job.files)
    if layout.RESOLVED in files and job.source is not None:
        files[layout.RESOLVED] = _resolved(config, job.source)
    return replace(job, config=config, files=files)


def _refuse_secrets(config: ConfigFile) -> None:
    cause = "looks like a secret, and configs are copied beside their results; put it into the environment instead"
    secrets = [key for key, value in config.values.items() if redact.mapping({key: value}) != {key: value}]
    if secrets:
        raise UserError(*(f"{config.place(key)}: {key!r} {cause}" for key in secrets))


def free_folder(base: Path, name: str) -> Path:
    """`base/name`, or `base/name_2`, … where that exists already."""
    found, number = base / name, 2
    while found.exists():
        found, number = base / f"{name}_{number}", number + 1
    return found
