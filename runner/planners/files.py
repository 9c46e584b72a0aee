"""Globs of config files -> a Plan: one job a file, `train_run.py <config> --out_dir=... --key=value`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runner.configs import config_file, scripts
from runner.configs.config_file import ConfigFile
from runner.core import clock, redact
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.text import shown
from runner.disk import layout
from runner.planners import changes, jobs
from runner.planners.jobs import Request, free_folder
from runner.planners.names import distinct
from runner.planners.patterns import expand

KIND = PlanKind("files")


@dataclass(frozen=True, slots=True)
class Files:
    """Which configs. `own` are the project's scripts, which are none; `library` is searched for bare names; `rerun`
    builds the command line that runs one config alone once more."""

    patterns: Sequence[str]
    rerun: Callable[[str], tuple[str, ...]]
    name: str = "experiment"
    own: Sequence[Path] = ()
    library: Path | None = None


def plan(request: Request, wanted: Files, now: datetime) -> Plan:
    """The plan for `wanted`. Raises UserError with everything that is wrong."""
    files, notices, problems = expand(wanted.patterns, request.cwd, wanted.own, wanted.library)
    root = free_folder(request.base, f"{wanted.name}_{now:%Y%m%d_%H%M%S}")
    planned, abstract = [], []
    for path, name in zip(files, distinct(files, layout.BatchPaths.RESERVED), strict=True):
        try:
            config = _read(path, request)
            if config.abstract:
                abstract.append(shown(path, request.cwd))
                continue
            job, warnings = _job(request, wanted, config, path, name, root)
        except UserError as error:
            problems += error.problems
        else:
            planned.append(job)
            notices += warnings
    if abstract:
        said = f"left out, since abstract: true says that they are there to be built on: {', '.join(abstract)}"
        notices.append(said)
        problems += [] if planned or problems else [f"--configs: all are {said}; name a config that builds on one"]
    if problems:
        raise UserError(*dict.fromkeys(problems))
    overrides = redact.mapping(request.overrides)
    created_at = clock.iso(now.timestamp())
    told = tuple(dict.fromkeys(notices))
    return Plan(root.name, root, tuple(planned), KIND, created_at, overrides, told, request.options)


def _job(
    request: Request, wanted: Files, config: ConfigFile, path: Path, name: str, root: Path
) -> tuple[Job, Sequence[str]]:
    checked = scripts.check(request.command.script, config, request.overrides)
    rerun = wanted.rerun(shown(path, request.cwd))
    return jobs.job(request, root, name, config, checked, path, rerun), checked.warnings


def _read(path: Path, request: Request) -> ConfigFile:
    if request.command.script is None and path.suffix not in config_file.SUFFIXES:
        content = path.read_bytes()  # a --command may take a file that we cannot read
        return ConfigFile(path, content, {changes.DIGEST: changes.digest(content)}, {})
    return scripts.read(request.command.script, Path(shown(path, request.cwd)))


def check_name(name: str) -> str | None:
    """Why `name` cannot be the name of a batch; None if it can."""
    if re.fullmatch(jobs.NAME, name):
        return None
    return f"--name {name!r}: a batch is a folder; {jobs.NAME_RULE}"
