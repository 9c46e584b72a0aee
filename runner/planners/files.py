"""Globs of config files -> a Plan: one job a file, `SCRIPT CONFIG --out_dir=... --key=value`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runner.configs import reading
from runner.configs.config_file import ConfigFile
from runner.configs.reading import found, noted, read_each
from runner.configs.scripts import recognize
from runner.configs.training_script import TrainingScript, checked
from runner.core import clock, redact
from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.plan_kind import PlanKind
from runner.core.text import shown
from runner.disk import layout
from runner.planners import jobs
from runner.planners.jobs import Request, free_folder
from runner.planners.names import distinct
from runner.planners.patterns import Search, expand

KIND = PlanKind("files")


@dataclass(frozen=True, slots=True)
class Files:
    """Which configs. `rerun` builds the command line that runs one config alone again.

    `arguments` are the words of the command line without the configs. `before` is the plan of a batch that gets the
    jobs, instead of a new one. `progress` is called with how many configs of how many are planned.
    """

    patterns: Sequence[str]
    search: Search
    rerun: Callable[[str], tuple[str, ...]]
    name: str = "experiment"
    arguments: Sequence[str] = ()
    before: Plan | None = None
    progress: Callable[[int, int], None] = lambda done, total: None


def plan(request: Request, files: Files, now: datetime) -> Plan:
    """The plan for all configs. Raises UserError with every error."""
    expanded = expand(files.patterns, files.search)
    paths, notices, errors = expanded.files, expanded.notices, expanded.errors
    before = files.before
    root = before.root if before else free_folder(request.base, f"{files.name}_{now:%Y%m%d_%H%M%S}")
    script = recognize(request.command.script)
    planned, bases = [], []
    used: list[ConfigFile] = []
    names = distinct(paths, {*layout.BatchPaths.RESERVED, *(job.name for job in (before.jobs if before else ()))})
    files.progress(0, len(paths))
    for done, (path, name, read) in enumerate(zip(paths, names, _read(script, paths, request), strict=True)):
        files.progress(done, len(paths))
        try:
            config = found(read)
            if config.abstract:
                bases.append(shown(path, request.cwd))
                continue
            result = checked(script, config, request.overrides)
            rerun = files.rerun(shown(path, request.cwd))
            planned.append(jobs.job(request, root, name, config, result, path, rerun))
            used += noted(config)
            notices += [*result.warnings, *jobs.warnings_of_secrets(config, request.options.not_secret)]
        except UserError as error:
            errors += error.problems
    notices += reading.notices(script, used, request.overrides)
    if bases:
        notices.append(left_out(bases))
        errors += [] if planned or errors else [f"--configs: all are {left_out(bases)}; name a config that has a base"]
    if errors:
        raise UserError(*dict.fromkeys(errors))
    return Plan(
        name=root.name,
        root=root,
        jobs=tuple(planned),
        kind=KIND,
        created_at=clock.iso(now.timestamp()),
        overrides=redact.mapping(request.overrides, request.options.not_secret),
        notices=tuple(dict.fromkeys(notices)),
        options=request.options,
        origin={"arguments": redact.argv(files.arguments, request.options.not_secret)},
    )


def left_out(bases: Sequence[str]) -> str:
    """Why these configs are not run."""
    return f"left out, since they are base configs (abstract: true): {', '.join(bases)}"


def _read(script: TrainingScript, paths: Sequence[Path], request: Request) -> Iterator[ConfigFile | UserError]:
    return read_each(script, [Path(shown(path, request.cwd)) for path in paths], request.options.config_timeout)


def check_name(name: str) -> str | None:
    """Why `name` cannot be the name of a batch; None if it can."""
    if re.fullmatch(jobs.NAME, name):
        return None
    return f"--name {name!r}: a batch is a folder; {jobs.NAME_RULE}"
