"""Globs of config files -> a Plan: one job a file, `train_run.py <config> --out_dir=... --key=value`. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from runner import clock, configfiles, layout, redact, trainscript
from runner.configfiles import ConfigError, ConfigFile
from runner.job import Job, Plan
from runner.plans import recorded
from runner.plans.command import Command
from runner.plans.names import distinct, safe
from runner.plans.patterns import expand
from runner.plans.surroundings import additions
from runner.wording import shown


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. `own` are the project's scripts, which are no configs; `library` is searched for bare
    names; `rerun` builds the command line that runs one config alone once more."""

    patterns: Sequence[str]
    overrides: Mapping[str, str]
    base: Path
    command: Command
    cwd: Path
    environ: Mapping[str, str]
    rerun: Callable[[str], tuple[str, ...]]
    name: str = "experiment"
    own: Sequence[Path] = ()
    library: Path | None = None
    resume_args: tuple[str, ...] = ()  # of other people's scripts
    options: Mapping[str, Any] = field(default_factory=dict)


def plan(request: Request, now: datetime) -> Plan:
    """The plan for `request`. Raises ConfigError with everything that is wrong."""
    files, notices, problems = expand(request.patterns, request.cwd, request.own, request.library)
    root = free_folder(request.base, f"{request.name}_{now:%Y%m%d_%H%M%S}")
    jobs = []
    for path, name in zip(files, distinct(files, layout.BatchPaths.RESERVED), strict=True):
        try:
            job, warnings = _job(request, path, name, root)
        except ConfigError as error:
            problems += error.problems
        else:
            jobs.append(job)
            notices += warnings
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    shown = redact.mapping(request.overrides)
    created_at = clock.iso(now.timestamp())
    told = tuple(dict.fromkeys(notices))
    return Plan(root.name, root, tuple(jobs), "files", created_at, shown, told, request.options)


def free_folder(base: Path, name: str) -> Path:
    """`base/name`, or `base/name_2`, … where that stands already."""
    found, number = base / name, 2
    while found.exists():
        found, number = base / f"{name}_{number}", number + 1
    return found


def _job(request: Request, path: Path, name: str, root: Path) -> tuple[Job, Sequence[str]]:
    config = _read(path, request)
    checked = trainscript.check(request.command.script, config, request.overrides)
    secrets = [key for key, value in config.values.items() if redact.mapping({key: value}) != {key: value}]
    if secrets:
        mend = "looks like a secret, and configs are copied beside their results; put it into the environment instead"
        places = [(_place(path, request.cwd, config.lines.get(key)), key) for key in secrets]
        raise ConfigError(*(f"{place}: {key!r} {mend}" for place, key in places))
    out_dir = root / name
    cwd = checked.folder or request.cwd
    source = shown(path, cwd)
    if source.startswith("-"):  # no program shall take the file for an option
        source = f"./{source}"
    snapshot = safe(f"config_used{path.suffix}")
    command = request.command.seen_from(cwd)
    return Job(
        name=name,
        argv=command.argv(shown(sys.executable, cwd), source, shown(out_dir, cwd), name, checked.overrides),
        out_dir=out_dir,
        config=checked.config,
        overrides=checked.overrides,
        changes=checked.changes,
        source=path,
        source_argument=source,
        snapshot=snapshot,
        files={snapshot: config.source},
        env=additions(request.environ, out_dir, root.name, name, request.base / layout.INDUCTOR_CACHE),
        cwd=cwd,
        rerun=request.rerun(shown(path, request.cwd)),
        disk_bytes=checked.disk_bytes,
        script=request.command.script,
        resume_args=request.resume_args or checked.resume_args,
    ), checked.warnings


def _read(path: Path, request: Request) -> ConfigFile:
    if request.command.script is None and path.suffix not in configfiles.SUFFIXES:
        content = path.read_bytes()  # a --command may take a file that we cannot read
        return ConfigFile(path, content, {recorded.DIGEST: recorded.digest(content)}, {})
    return configfiles.read(Path(shown(path, request.cwd)))


def _place(path: Path, cwd: Path, line: int | None) -> str:
    return shown(path, cwd) + (f":{line}" if line else "")


def check_name(name: str) -> str | None:
    """Why `name` cannot be the name of a batch; None if it can."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+=@-]{0,99}", name):
        return None
    return (
        f"--name {name!r}: a batch is a folder; use up to 100 letters, digits and . _ + = @ -, a letter or digit first"
    )
