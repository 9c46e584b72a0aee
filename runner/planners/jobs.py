"""A config and the arguments -> a Job: what all commands that start a training script have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from sys import intern
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
from runner.planners.executables import problem
from runner.planners.names import safe
from runner.planners.template import Values

NAME = r"[A-Za-z0-9][A-Za-z0-9._+=@-]{0,99}"
#: Files in which a value needs no quotes.
NOT_CODE = (".sh", ".bash", ".zsh", ".fish", ".env", ".ini", ".cfg", ".conf", ".toml", ".txt", "")
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
    refuse_secrets(config, request.options.not_secret)
    _refuse_broken(request.command, source, request.cwd)
    out_dir = root / name
    cwd = (checked.folder if request.command.module is None else None) or request.cwd
    argument, folder = str(source), str(out_dir)
    if checked.relative_paths:
        argument, folder = shown(source, cwd), shown(out_dir, cwd)
        if argument.startswith("-"):  # so that no program reads the file name as an option
            argument = f"./{argument}"
    snapshot = intern(safe(f"config_used{source.suffix}"))
    command = request.command.seen_from(cwd)
    values = Values(argument, folder, name, command.interpreter, cwd, checked.arguments, checked.takes_config)
    known = {word: word for word in (argument, folder, name)}  # kept once
    argv = tuple(known.get(word, word) for word in command.argv(values, checked.out_dir_option))
    return Job(
        name=name,
        argv=argv,
        copy_words=_copy_words(command, values, argv, str(out_dir / snapshot)),
        out_dir=out_dir,
        config=checked.config,
        overrides=checked.overrides,
        changes=checked.changes,
        source=source,
        source_argument=argument,
        snapshot=snapshot,
        files=copies(snapshot, config, checked, request.options.not_secret),
        runs_resolved=checked.runs_resolved,
        volatile=checked.volatile,
        bases={request.cwd / path: content for path, content in config.bases.items()},
        env=additions(request.environ, out_dir, root.name, name, request.base / layout.INDUCTOR_CACHE),
        cwd=cwd,
        rerun=rerun,
        disk_bytes=checked.disk_bytes,
        script=request.command.script,
        resume_args=request.resume_args or checked.resume_args,
        not_secret=request.options.not_secret,
    )


def copies(
    snapshot: str, config: ConfigFile, checked: Checked, shown_names: Sequence[str] = (), *, resolved: bool = False
) -> dict[str, bytes]:
    """The exact copy of a config; where that is not enough, or with `resolved`, all settings as one file too.

    Secrets of the command line are not in it; what the config itself holds is, as in the exact copy.
    """
    files = {snapshot: config.source}
    if config.bases or resolved or checked.runs_resolved or checked.depends_on_path:
        files[layout.RESOLVED] = _resolved(checked.config, config.path, checked.overrides, shown_names)
    return files


def _resolved(
    config: Mapping[str, Any], origin: Path, overrides: Mapping[str, str], shown_names: Sequence[str]
) -> bytes:
    """All settings of a job as one file."""
    recorded = redact.mapping(config, shown_names)
    given = {key.partition(".")[0] for key in overrides}
    values = {key: recorded[key] if key in given else value for key, value in config.items() if key != "out_dir"}
    line = f"# every setting of this job; from {shown(origin)}\n".encode(errors="backslashreplace")
    return line + yamlfile.write(values).encode()


def with_values(job: Job, values: Mapping[str, Any]) -> Job:
    """The job with these values in its config, and in the file of its settings if it has one."""
    config = {**job.config, **values}
    files = dict(job.files)
    if layout.RESOLVED in files and job.source is not None:
        files[layout.RESOLVED] = _resolved(config, job.source, job.overrides, job.not_secret)
    return replace(job, config=config, files=files)


def warnings_of_secrets(config: ConfigFile, not_secret: Sequence[str]) -> list[str]:
    """A note on each value that is hidden in the records, but not in the copy of its config."""
    cause = "may be a secret: it is hidden in the records, and is in the copy of the config all the same"
    fix = "put it into the environment, or give --not_secret"
    return [f"{config.place(key)}: {key!r} {cause}; {fix} {key}" for key in redact.doubtful(config.values, not_secret)]


def _copy_words(command: Command, values: Values, argv: Sequence[str], copy: str) -> dict[int, str]:
    """The words of a template that hold the config's path within other text, with that of the job's own copy."""
    if not command.template:
        return {}
    try:
        other = command.argv(replace(values, config=copy), "")
    except UserError:  # the path of the copy cannot be written there
        return {}
    pairs = enumerate(zip(argv, other, strict=True))
    return {index: new for index, (old, new) in pairs if old not in (new, values.config)}


def _refuse_broken(command: Command, source: Path, cwd: Path) -> None:
    """Raise UserError for a config that is the program itself, and cannot be started."""
    if command.template[:1] == ("{config}",) and source.exists() and (cause := problem(source)) is not None:
        raise UserError(f"{shown(source, cwd)}: {cause}")


def refuse_secrets(config: ConfigFile, not_secret: Sequence[str], sections: Sequence[str] = ()) -> None:
    """Raise UserError for a config that holds a secret, also one that it deletes or has in a remark.

    `sections` are the keys of a spec whose keys are those of the configs.
    """
    is_code = config.path.suffix not in NOT_CODE
    found = [(config.place(key), key) for key in redact.certain(config.values, not_secret)]
    if not found and redact.may_hold(source := config.source.decode(errors="replace")):
        certain = redact.certain_in_text(source, not_secret, is_code=is_code)
        found = [(f"{config.path}:{line}", name) for line, name in certain]
    if found:
        raise UserError(*(f"{place}: {_looks_like_a_secret(_below(name, sections))}" for place, name in found))


def _below(name: str, sections: Sequence[str]) -> str:
    section, dot, rest = name.partition(".")
    return rest if dot and section in sections else name


def _looks_like_a_secret(name: str) -> str:
    cause = "looks like a secret, and configs are copied beside their results; put it into the environment"
    return f"{name!r} {cause}, or give --not_secret {name}" if name else f"the line holds what {cause}"


def free_folder(base: Path, name: str) -> Path:
    """`base/name`, or `base/name_2`, … where that exists already."""
    found, number = base / name, 2
    while found.exists():
        found, number = base / f"{name}_{number}", number + 1
    return found
